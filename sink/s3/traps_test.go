package s3_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3"
	"daybook/sink/s3test"
)

// trap is something that S3 servers do, or minio-go does, and one would not expect.
type trap struct {
	// title, does and answer are for the document: what it is, what was seen on the two servers, and what Daybook does about it.
	title, does, answer string
	// test falls into the trap on a server, and holds Daybook to its answer.
	test func(w *trapWorld)
}

// traps are all of them, in the order of the document.
func traps() []trap {
	return []trap{
		governance, unstamped, weaker, denied, multipart, fractions, droppedTags, unchecked, looseTier, expiry, copies, codes, leastRights,
		overMarker, olderVersions, oddKeys, storageClass, unencrypted, repeated, backdated,
	}
}

// trapWorld is a bucket with Object Lock on a server, for one trap.
type trapWorld struct {
	*testing.T
	server *s3test.Server
	minio  bool // the server is MinIO; else versitygw
	bucket string
	wire   *s3test.Recorder
	// store is the root user's, at audit/, and raw what the root user can do beside Daybook. Both go through wire.
	store *s3.Store
	raw   minio.Core
}

// TestTraps falls into each trap on both servers.
func TestTraps(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	for name, start := range map[string]func(testing.TB) *s3test.Server{"minio": s3test.MinIOScanning, "versitygw": s3test.VersityGW} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			root := s3test.User{AccessKey: server.AccessKey, SecretKey: server.SecretKey}
			for i, trap := range traps() {
				t.Run(fmt.Sprintf("%02d %s", i+1, trap.title), func(t *testing.T) {
					t.Parallel()
					w := &trapWorld{T: t, server: server, minio: name == "minio", bucket: fmt.Sprintf("trap-%02d", i+1), wire: server.Record(t)}
					server.CreateBucket(t, w.bucket, true)
					w.store, w.raw = w.as(root, sink.Compliance), minio.Core{Client: w.client(root)}
					trap.test(w)
				})
			}
		})
	}
}

// as is the store as a user sees it.
func (w *trapWorld) as(u s3test.User, mode sink.Mode) *s3.Store {
	w.Helper()
	return open(w.T, "s3://"+w.bucket+"/audit", &s3.Options{
		Mode: mode, Unlocked: mode == sink.None, Endpoint: w.wire.URL, Region: w.server.Region, PathStyle: true, AccessKey: u.AccessKey, SecretKey: u.SecretKey, Retry: fast,
	})
}

func (w *trapWorld) client(u s3test.User) *minio.Client {
	w.Helper()
	c, err := minio.New(strings.TrimPrefix(w.wire.URL, "http://"), &minio.Options{Creds: credentials.NewStaticV4(u.AccessKey, u.SecretKey, ""), Region: w.server.Region, MaxRetries: 1})
	w.must(err)
	return c
}

// user makes a user whose name is of this trap alone, with the policies that policy gives for its access key.
func (w *trapWorld) user(name string, policies ...func(principal string) []byte) s3test.User {
	w.Helper()
	u := w.server.AddUser(w.T, name+"-"+w.bucket)
	if w.minio && len(policies) > 0 {
		w.server.Grant(w.T, u, w.bucket, merge(w.T, policies))
		return u
	}
	for _, p := range policies {
		w.server.Grant(w.T, u, w.bucket, p(u.AccessKey))
	}
	return u
}

// role is the policy that Daybook makes for a role.
func (w *trapWorld) role(role s3.Role, opts s3.PolicyOptions) func(principal string) []byte {
	return func(principal string) []byte {
		opts.Server = s3.MinIO
		if !w.minio {
			opts.Server, opts.Principal = s3.VersityGW, principal
		}
		policy, err := s3.Policy("s3://"+w.bucket+"/audit", role, &opts)
		w.must(err)
		return policy
	}
}

// allow is a policy of these actions on all of the bucket.
func (w *trapWorld) allow(actions string) func(principal string) []byte {
	return func(principal string) []byte {
		who := ""
		if !w.minio {
			who = fmt.Sprintf(`"Principal":{"AWS":[%q]},`, principal)
		}
		var statements []string
		for _, action := range strings.Fields(actions) {
			resource := "arn:aws:s3:::" + w.bucket + "/*"
			if strings.Contains(action, "Bucket") {
				resource = "arn:aws:s3:::" + w.bucket
			}
			statements = append(statements, fmt.Sprintf(`{"Effect":"Allow",%s"Action":[%q],"Resource":[%q]}`, who, action, resource))
		}
		return []byte(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)
	}
}

// merge makes one policy of several, for a server whose users have one.
func merge(t *testing.T, policies []func(string) []byte) []byte {
	t.Helper()
	var parts []string
	for _, p := range policies {
		_, statements, _ := strings.Cut(string(p("")), `"Statement"`)
		statements = statements[strings.Index(statements, "[")+1 : strings.LastIndex(statements, "]")]
		parts = append(parts, statements)
	}
	return []byte(`{"Version":"2012-10-17","Statement":[` + strings.Join(parts, ",") + `]}`)
}

func (w *trapWorld) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// want fails unless a fact is as it should be.
func (w *trapWorld) want(what string, got, want any) {
	w.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// put has Daybook put an object.
func (w *trapWorld) put(key, body string) sink.Info {
	w.Helper()
	info, err := w.store.Put(w.Context(), object(key, body, sink.Compliance))
	w.must(err)
	return info
}

// lies puts an object as somebody else would.
func (w *trapWorld) lies(key, body string, mode sink.Mode, retain time.Duration) (version string) {
	w.Helper()
	lock := sink.Lock{}
	if mode != sink.None {
		lock = sink.Lock{Mode: mode, RetainUntil: time.Now().Add(retain)}
	}
	return w.server.Overwrite(w.T, w.bucket, "audit/"+key, []byte(body), lock)
}

// mode is that of a version's lock, as the root user sees it.
func (w *trapWorld) mode(key, version string) sink.Mode {
	w.Helper()
	mode, _ := w.server.Lock(w.T, w.bucket, s3test.Version{Key: "audit/" + key, ID: version})
	return sink.Mode(mode)
}

// count is how many versions and markers a key has.
func (w *trapWorld) count(key string) int {
	w.Helper()
	return len(w.server.Versions(w.T, w.bucket, "audit/"+key))
}

// await asks until something is so, which the server does in its own time.
func (w *trapWorld) await(what string, so func() bool) {
	w.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !so() {
		if time.Now().After(deadline) {
			w.Fatalf("waited too long for %s", what)
		}
		time.Sleep(20 * time.Millisecond) // the server tells nobody
	}
}

// pick is one of two values, by the server.
func pick[T any](w *trapWorld, minio, versitygw T) T {
	if w.minio {
		return minio
	}
	return versitygw
}

var update = flag.Bool("update", false, "rewrite the traps in docs/BUCKETS.md")

const (
	trapsBegin = "<!-- made from the suite of traps in sink/s3; do not edit -->\n"
	trapsEnd   = "<!-- end of the traps -->\n"
)

// TestTrapsDocument compares the document with the suite.
func TestTrapsDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| no. | trap | seen | what Daybook does |\n|---|---|---|---|\n")
	for i, trap := range traps() {
		for _, text := range []string{trap.title, trap.does, trap.answer} {
			if text == "" || strings.Contains(text, "|") {
				t.Errorf("trap %d: %q is no text for a table", i+1, text)
			}
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", i+1, trap.title, trap.does, trap.answer)
	}
	b.WriteString("\n")
	path := filepath.Join("..", "..", "docs", "BUCKETS.md")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(data), trapsBegin)
	table, after, ends := strings.Cut(rest, trapsEnd)
	if !begins || !ends {
		t.Fatal("docs/BUCKETS.md has no place for the traps")
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+trapsBegin+b.String()+trapsEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		table = b.String()
	}
	if diff := cmp.Diff(table, b.String()); diff != "" {
		t.Errorf("docs/BUCKETS.md is not what the suite says; run this test with -update (-file +suite):\n%s", diff)
	}
}
