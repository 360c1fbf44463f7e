package tamper_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/formats"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3"
	"daybook/sink/s3test"
)

// small is what a real server is given for each variant.
var small = shape{3, []formats.Format{formats.JSONL, formats.CSV}}

// server is a bucket of a real server, in an administrator's hands.
type server struct {
	t      testing.TB
	s      *s3test.Server
	bucket string
}

func (h *server) Overwrite(key string, body []byte, lock sink.Lock) {
	h.s.Overwrite(h.t, h.bucket, key, body, lock)
}
func (h *server) Hide(key string)                    { h.s.Hide(h.t, h.bucket, key) }
func (h *server) SetExpiry(rules ...sink.ExpiryRule) { h.s.SetLifecycle(h.t, h.bucket, rules...) }

// weakening is a store that gives one object another lock than it is asked for.
type weakening struct {
	*s3.Store
	h *server
	w *world
	v variant
}

func (s *weakening) Put(ctx context.Context, o sink.Object) (sink.Info, error) {
	if s.v.weak == nil || o.Key != s.v.weak.key(s.w) {
		return s.Store.Put(ctx, o)
	}
	if info, err := s.Store.Head(ctx, o.Key, ""); err == nil {
		return info, nil // its lock is not lengthened either
	}
	data, err := io.ReadAll(io.NewSectionReader(o.Body, 0, o.Size))
	if err != nil {
		return sink.Info{}, err
	}
	version := s.h.s.Overwrite(s.h.t, s.h.bucket, o.Key, data, s.v.weak.lock(o.Lock))
	return s.Store.Head(ctx, o.Key, version)
}

// TestMinIO repeats on a real server what is about versions, markers, locks and rules.
func TestMinIO(t *testing.T) {
	effort.NeedsLong(t)
	minio := s3test.MinIO(t)
	n := 0
	for _, c := range storeCases() {
		for i, v := range c.variants {
			if !v.real() {
				continue
			}
			n++
			h := &server{s: minio, bucket: fmt.Sprintf("tamper-%d", n)}
			t.Run(fmt.Sprintf("%02d %s/%d %s", c.number, c.title, i+1, v.does), func(t *testing.T) {
				t.Parallel()
				h.t = t
				minio.CreateBucket(t, h.bucket, true)
				w := serverWorld(t, h, v, sink.Compliance)
				if v.both != nil {
					v.both(h, w)
				}
				f := &forger{t: t, w: w, o: &verify.Options{}}
				if v.names != nil {
					f.at = v.names(w)
				}
				v.check(t, f, f.verify(w.Store, v.with))
			})
		}
	}
	t.Run("37 Delete a file after, or before, its retention has ended", func(t *testing.T) { testServerExpiry(t, minio) })
}

// testServerExpiry deletes what is in governance mode, which an administrator can.
func testServerExpiry(t *testing.T, minio *s3test.Server) {
	for _, mode := range []sink.Mode{sink.Compliance, sink.Governance} {
		t.Run(string(mode), func(t *testing.T) {
			h := &server{t, minio, map[sink.Mode]string{sink.Compliance: "tamper-compliance", sink.Governance: "tamper-governance"}[mode]}
			minio.CreateBucket(t, h.bucket, true)
			w := serverWorld(t, h, variant{}, mode)
			f := &forger{t: t, w: w, o: &verify.Options{}, at: evidenceOf(w)}
			info, err := w.Store.Head(t.Context(), f.at, "")
			f.must(err)
			err = minio.DeleteVersion(t, h.bucket, f.at, info.Version)
			if mode == sink.Compliance {
				if err == nil {
					t.Fatal("the server deleted what is locked")
				}
				if r := f.verify(w.Store, nil); r.ExitCode() != 0 {
					t.Errorf("exit code %d\n%s", r.ExitCode(), text(t, r))
				}
				return
			}
			f.must(err)
			variant{says: []string{"file-missing"}, exit: 1}.check(t, f, f.verify(w.Store, nil))
			f.o.Now = func() time.Time { return w.now.AddDate(0, 0, 60) }
			variant{notes: []string{"file-expired"}}.check(t, f, f.verify(w.Store, nil))
		})
	}
}

// serverWorld makes a small good store on a real server, but for a lock that is weak.
func serverWorld(t *testing.T, h *server, v variant, mode sink.Mode) *world {
	t.Helper()
	dir := t.TempDir()
	access, secret := filepath.Join(dir, "access"), filepath.Join(dir, "secret")
	for path, text := range map[string]string{access: h.s.AccessKey, secret: h.s.SecretKey} {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store, err := s3.New("s3://"+h.bucket, &s3.Options{Mode: mode, Endpoint: h.s.URL, Region: h.s.Region, AccessKeyFile: access, SecretKeyFile: secret})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{checkpoints: map[int64][]byte{}}
	w.base = today() - 12
	w.Builder = verifytest.NewUnsigned(t, &weakening{store, h, w, v}, mode)
	w.begin(t)
	w.fill(small, func(int64) {})
	w.now = time.Now().Add(time.Minute)
	return w
}
