package s3

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7/pkg/encrypt"

	"daybook/sink"
)

// Encryption is how a server encrypts objects that it keeps.
type Encryption string

const (
	// SSES3 is by keys that the server keeps itself.
	SSES3 Encryption = "sse-s3"
	// SSEKMS is by a key of a key management service.
	SSEKMS Encryption = "sse-kms"
)

// encryption is what a server is asked for, and what it must then say of an object.
type encryption struct {
	ask       encrypt.ServerSide // nil: nothing
	algorithm string             // of X-Amz-Server-Side-Encryption
	key       string             // of KMS; blank: any
}

func newEncryption(e Encryption, key string) (encryption, error) {
	switch {
	case key != "" && e != SSEKMS:
		return encryption{}, fmt.Errorf("a KMS key is named, and encryption is %q: it must be %s", e, SSEKMS)
	case e == "":
		return encryption{}, nil
	case e == SSES3:
		return encryption{ask: encrypt.NewSSE(), algorithm: "AES256"}, nil
	case e == SSEKMS:
		ask, err := encrypt.NewSSEKMS(key, nil)
		return encryption{ask: ask, algorithm: "aws:kms", key: key}, err
	}
	return encryption{}, fmt.Errorf("encryption %q: must be %s or %s", e, SSES3, SSEKMS)
}

// checkEncryption holds what the server says of an object against what it was asked for. Some servers take the wish and do nothing.
func (s *Store) checkEncryption(name string, h http.Header) error {
	if s.sse.ask == nil {
		return nil
	}
	algorithm, key := h.Get("X-Amz-Server-Side-Encryption"), h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")
	if algorithm == s.sse.algorithm && sameKey(s.sse.key, key) {
		return nil
	}
	found := "not encrypted"
	if algorithm != "" {
		found = "encrypted by " + strings.TrimSpace(algorithm+" "+key)
	}
	return &sink.HintError{
		Err: fmt.Errorf("%s: %w: %s was asked for, and the store says that the object is %s", s.url(name), sink.ErrUnfit, strings.TrimSpace(s.sse.algorithm+" "+s.sse.key), found),
		Hint: "`daybook doctor` tells what this server encrypts; take store.encryption out where the disk below it is encrypted, or use another server; " +
			"the object that was put stays as it is; if it is older than the setting, take that out until its day is sealed",
	}
}

// sameKey reports whether a server's name of a key may be that of the key asked for: servers tell ARNs, whatever they were given. What an alias stands for
// can't be told.
func sameKey(asked, told string) bool {
	return asked == "" || strings.Contains(asked, "alias/") || told == asked || strings.HasSuffix(told, ":"+asked) || strings.HasSuffix(told, "/"+asked)
}
