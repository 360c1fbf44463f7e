package s3test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// A User is one that a server has beside its root user, and may do nothing until it is granted something.
type User struct{ AccessKey, SecretKey string }

// AddUser makes a user. Its access key is its name.
func (s *Server) AddUser(t testing.TB, name string) User {
	t.Helper()
	u := User{name, base64.RawURLEncoding.EncodeToString(randomBytes(24))}
	if s.kind.name == "versitygw" {
		body, err := xml.Marshal(struct {
			XMLName xml.Name `xml:"Account"`
			Access  string
			Secret  string
			Role    string
		}{Access: u.AccessKey, Secret: u.SecretKey, Role: "user"})
		if err != nil {
			t.Fatal(err)
		}
		s.admin(t, http.MethodPatch, "/create-user", nil, body)
		return u
	}
	s.minioAdmin(t, http.MethodPut, "add-user", url.Values{"accessKey": {name}}, map[string]string{"secretKey": u.SecretKey, "status": "enabled"})
	return u
}

// Grant lets a user do what a policy says: on MinIO as the policy of the user, on versitygw, which has none, as a part of that of the bucket.
func (s *Server) Grant(t testing.TB, u User, bucket string, policy []byte) {
	t.Helper()
	if s.kind.name == "versitygw" {
		client := s.Client(t)
		var whole, more struct {
			Version   string
			Statement []json.RawMessage
		}
		before, err := client.GetBucketPolicy(t.Context(), bucket)
		if err == nil && before != "" {
			err = json.Unmarshal([]byte(before), &whole)
		}
		if err == nil {
			err = json.Unmarshal(policy, &more)
		}
		if err != nil {
			t.Fatalf("policy of %s on %s: %v", bucket, s.kind.name, err)
		}
		whole.Version, whole.Statement = more.Version, append(whole.Statement, more.Statement...)
		if policy, err = json.Marshal(whole); err != nil {
			t.Fatal(err)
		}
		if err := client.SetBucketPolicy(t.Context(), bucket, string(policy)); err != nil {
			t.Fatalf("set the policy of %s on %s: %v", bucket, s.kind.name, err)
		}
		return
	}
	name := "policy-" + u.AccessKey
	s.admin(t, http.MethodPut, "/minio/admin/v3/add-canned-policy", url.Values{"name": {name}}, policy)
	s.admin(t, http.MethodPut, "/minio/admin/v3/set-user-or-group-policy", url.Values{"userOrGroup": {u.AccessKey}, "isGroup": {"false"}, "policyName": {name}}, nil)
}

// minioAdmin calls MinIO's admin API with a document that is to be kept secret on the way.
func (s *Server) minioAdmin(t testing.TB, method, call string, query url.Values, document any) {
	t.Helper()
	plain, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	s.admin(t, method, "/minio/admin/v3/"+call, query, seal(t, s.SecretKey, plain))
}

// admin sends a signed request of the root user, and fails the test where it is refused.
func (s *Server) admin(t testing.TB, method, path string, query url.Values, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	request = signer.SignV4(*request, s.AccessKey, s.SecretKey, "", s.Region)
	transport := &http.Transport{TLSClientConfig: s.tls}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatalf("%s %s of %s: %v", method, path, s.kind.name, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		t.Fatalf("%s %s of %s: %s %s %v", method, path, s.kind.name, response.Status, answer, err)
	}
}

// seal encrypts what MinIO's admin API takes encrypted only, under the root user's secret key: salt, a byte that names the algorithm (2: PBKDF2 and
// AES-256-GCM), nonce, and the text in one fragment of the format of secure-io/sio-go.
func seal(t testing.TB, password string, plain []byte) []byte {
	t.Helper()
	const iterations, pbkdf2AESGCM, lastFragment = 8192, 2, 0x80
	if len(plain) > 1<<14 {
		t.Fatalf("%d bytes do not fit into one fragment", len(plain))
	}
	salt := randomBytes(32)
	key, err := pbkdf2.Key(sha256.New, password, salt, iterations, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	prefix := randomBytes(aead.NonceSize() - 4)
	nonce := func(n byte) []byte { return append(bytes.Clone(prefix), n, 0, 0, 0) }
	associated := append([]byte{lastFragment}, aead.Seal(nil, nonce(0), nil, nil)...)
	out := append(salt, pbkdf2AESGCM)
	out = append(out, prefix...)
	return aead.Seal(out, nonce(1), plain, associated)
}

// MinIOTier makes a bucket of another MinIO a tier of this one: lifecycle rules can move objects there, under the name of the tier as a storage class.
func (s *Server) MinIOTier(t testing.TB, tier string, other *Server, bucket string) {
	t.Helper()
	if s.kind.name != "minio" || other.kind.name != "minio" {
		t.Fatal("only MinIO has tiers")
	}
	s.minioAdmin(t, http.MethodPut, "tier", nil, map[string]any{
		"Version": "v1", "Type": "minio", "Name": tier,
		"MinIO": map[string]string{
			"Endpoint": other.URL, "AccessKey": other.AccessKey, "SecretKey": other.SecretKey, "Bucket": bucket, "Prefix": "", "Region": other.Region,
		},
	})
}

func (u User) String() string { return fmt.Sprintf("user %s", u.AccessKey) }
