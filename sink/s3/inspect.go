package s3

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"

	"daybook/sink"
)

var _ sink.Inspector = (*Store)(nil)

// none is the value of a setting that is not set.
const none = "none"

// Inspect implements sink.Inspector. It takes the rights to read what it tells; without one the setting is unknown.
func (s *Store) Inspect(ctx context.Context) ([]sink.Setting, error) {
	var (
		list  []sink.Setting
		large *http.MaxBytesError
		odd   []error // answers that nobody looks for
	)
	for _, of := range []struct {
		name   string
		absent string // what the server says where it is not set
		read   func(answer []byte) (string, error)
		ask    string // the subresource
	}{
		{"versioning", "", readVersioning, "versioning"},
		{"object-lock", "ObjectLockConfigurationNotFoundError", readLocking, "object-lock"},
		{"default-retention", "ObjectLockConfigurationNotFoundError", readFloor, "object-lock"},
		{"lifecycle", "NoSuchLifecycleConfiguration", readRules, "lifecycle"},
		{"policy", "NoSuchBucketPolicy", readPolicy, "policy"},
		{"encryption", "ServerSideEncryptionConfigurationNotFoundError", readEncryption, "encryption"},
	} {
		setting := sink.Setting{Name: of.name}
		answer, err := s.setting(ctx, http.MethodGet, of.ask, nil)
		switch r, ok := response(err); {
		case err == nil:
			if setting.Value, err = of.read(answer); err != nil {
				setting.Unknown = fmt.Sprintf("the answer can't be read: %v", err)
			}
		case said(err, "NoSuchBucket"):
			return nil, s.missingBucket()
		case of.absent != "" && said(err, of.absent):
			setting.Value = none
		case ok && !credentialFault(r.Code) && !retryable(err) && (r.StatusCode == http.StatusForbidden || r.StatusCode == http.StatusNotImplemented || r.StatusCode == http.StatusMethodNotAllowed):
			setting.Unknown = fmt.Sprintf("%d %s", r.StatusCode, r.Code)
		case ok && !credentialFault(r.Code) && (!retryable(err) || r.StatusCode == http.StatusInternalServerError), errors.As(err, &large):
			// The others may be told all the same: some servers fail at what they do not have.
			setting.Unknown = "the answer is too large"
			if ok {
				setting.Unknown = fmt.Sprintf("%d %s", r.StatusCode, r.Code)
			}
			odd = append(odd, err)
		default:
			return nil, s.explain(err, "s3:Get* of its settings", "")
		}
		list = append(list, setting)
	}
	if len(odd) == len(list) {
		return nil, s.explain(odd[0], "s3:Get* of its settings", "")
	}
	return list, nil
}

func readVersioning(answer []byte) (string, error) {
	var v minio.BucketVersioningConfiguration
	err := xml.Unmarshal(answer, &v)
	return cmp.Or(v.Status, none), err
}

// locking is the part of a lock configuration that is read here.
type locking struct {
	Enabled string `xml:"ObjectLockEnabled"`
	Default struct {
		Mode        string
		Days, Years int
	} `xml:"Rule>DefaultRetention"`
}

func readLocking(answer []byte) (string, error) {
	var l locking
	err := xml.Unmarshal(answer, &l)
	return cmp.Or(l.Enabled, none), err
}

func readFloor(answer []byte) (string, error) {
	var l locking
	err := xml.Unmarshal(answer, &l)
	switch d := l.Default; {
	case d.Years > 0:
		return fmt.Sprintf("%s, %d years", d.Mode, d.Years), err
	case d.Days > 0:
		return fmt.Sprintf("%s, %d days", d.Mode, d.Days), err
	}
	return none, err
}

// readPolicy takes the blanks out of a policy: servers lay it out as they like.
func readPolicy(answer []byte) (string, error) {
	if len(bytes.TrimSpace(answer)) == 0 {
		return none, nil
	}
	var compact bytes.Buffer
	err := json.Compact(&compact, answer)
	return compact.String(), err
}

func readEncryption(answer []byte) (string, error) {
	var c struct {
		Rules []struct {
			Algorithm string `xml:"ApplyServerSideEncryptionByDefault>SSEAlgorithm"`
			Key       string `xml:"ApplyServerSideEncryptionByDefault>KMSMasterKeyID"`
		} `xml:"Rule"`
	}
	err := xml.Unmarshal(answer, &c)
	if len(c.Rules) == 0 {
		return none, err
	}
	return strings.TrimSpace(c.Rules[0].Algorithm + " " + c.Rules[0].Key), err
}

// readRules writes the rules of a lifecycle so that equal ones are equal text: a rule a line, in the order of their text.
func readRules(answer []byte) (string, error) {
	rules, err := splitRules(answer)
	if err != nil {
		return "", err
	}
	var lines []string
	for _, r := range rules {
		lines = append(lines, "ID="+r.id+" "+r.text)
	}
	slices.Sort(lines)
	return cmp.Or(strings.Join(lines, "\n"), none), nil
}
