package anchor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/anchor"
	"daybook/batch/seal"
	"daybook/batch/witness"
)

func newWitness(t *testing.T, logs ...witness.Log) (*witness.Witness, seal.Key) {
	t.Helper()
	key, _, err := witness.GenerateKey(filepath.Join(t.TempDir(), "key"), "witness.example.org/w1")
	if err != nil {
		t.Fatal(err)
	}
	w, err := witness.New(witness.Options{Dir: t.TempDir(), Signer: key, Logs: logs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, key
}

func server(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func witnessAt(t *testing.T, where, vkey string, o *anchor.Options) anchor.Anchor {
	t.Helper()
	a, err := anchor.NewWitness("other team", where, vkey, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWitness(t *testing.T) {
	l := newLog(t, 40)
	w, _ := newWitness(t, witness.Log{Origin: origin, Keys: []string{l.vkey}})
	a := witnessAt(t, server(t, w).URL, w.VerifierKey(), nil)
	for _, n := range []int64{3, 3, 4, 31, 32, 40} {
		s := l.at(n)
		r, err := a.Submit(t.Context(), s)
		if err != nil {
			t.Fatalf("size %d: %v", n, err)
		}
		if r.Ext != ".cosig" || r.By != "witness.example.org/w1" || time.Since(r.At).Abs() > time.Minute {
			t.Errorf("size %d: receipt %+v", n, r)
		}
		by, at, err := anchor.CheckCosignature(r.Data, s.Checkpoint, w.VerifierKey())
		if err != nil || by != r.By || !at.Equal(r.At) {
			t.Errorf("size %d: CheckCosignature = %s, %v, %v", n, by, at, err)
		}
	}
	_, err := a.Submit(t.Context(), l.at(31))
	says(t, err, anchor.ErrAhead, "anchor other team (witness): ", "size 40", "size 31")
	hinted(t, err)
	f := l.fork(35)
	_, err = a.Submit(t.Context(), f.at(40))
	says(t, err, anchor.ErrForked, "another root")
	hinted(t, err)
	f.grow("b", 50)
	_, err = a.Submit(t.Context(), f.at(50))
	says(t, err, anchor.ErrForked, "of 50 entries begins with the 40")
	hinted(t, err)
}

func TestWitnessDoesNotKnowUs(t *testing.T) {
	l, other := newLog(t, 9), newLog(t, 9)
	w, _ := newWitness(t, witness.Log{Origin: origin, Keys: []string{other.vkey}})
	_, err := witnessAt(t, server(t, w).URL, w.VerifierKey(), nil).Submit(t.Context(), l.at(5))
	says(t, err, anchor.ErrRefused, "trusts no key")
	hinted(t, err)
	w, _ = newWitness(t, witness.Log{Origin: "other", Keys: []string{other.vkey}})
	_, err = witnessAt(t, server(t, w).URL, w.VerifierKey(), nil).Submit(t.Context(), l.at(5))
	says(t, err, anchor.ErrRefused, "does not know the log "+origin)
	hinted(t, err)
}

// size answers that the witness knows another size.
func size(text string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(rw, text)
	}
}

func TestMisbehavingWitness(t *testing.T) {
	l := newLog(t, 40)
	honest, key := newWitness(t, witness.Log{Origin: origin, Keys: []string{l.vkey}})
	elsewhere, _ := newWitness(t, witness.Log{Origin: origin, Keys: []string{l.vkey}})
	// What an honest witness says to a size; each has its own.
	answerTo := func(w http.Handler, n int64) string {
		rec := httptest.NewRecorder()
		body := fmt.Appendf(nil, "old 0\n\n%s", l.checkpoint(n))
		w.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(body)))
		if rec.Code != http.StatusOK {
			t.Fatalf("status %d, %s", rec.Code, rec.Body)
		}
		return rec.Body.String()
	}
	ofFour, ofElsewhere := answerTo(honest, 4), answerTo(elsewhere, 5)
	// The witness's key, used for something else than a cosignature.
	text, _, _ := strings.Cut(string(l.checkpoint(5)), "\n\n")
	note1, err := note.Sign(&note.Note{Text: text + "\n"}, key)
	if err != nil {
		t.Fatal(err)
	}
	plain := string(note1[bytes.LastIndex(note1, []byte("\n\n"))+2:])
	reply := func(text string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, text) }
	}
	status := func(code int, text string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(code); _, _ = io.WriteString(rw, text) }
	}
	var turn atomic.Int64
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		is      error
		says    string
	}{
		"cosignature of another size":    {reply(ofFour), anchor.ErrCosignature, "witness.example.org/w1"},
		"cosignature of another witness": {reply(ofElsewhere), anchor.ErrCosignature, ""},
		"no cosignature but a signature": {reply(plain), anchor.ErrCosignature, ""},
		"empty":                          {reply(""), anchor.ErrCosignature, ""},
		"HTML":                           {reply("<html>\n"), anchor.ErrCosignature, "no signature line"},
		"cut":                            {reply(strings.TrimSuffix(ofFour, "\n")), anchor.ErrCosignature, "no signature line"},
		"a note within":                  {reply("\n" + string(note1)), anchor.ErrCosignature, "no signature line"},
		"a thousand signatures":          {reply(strings.Repeat(ofFour, 200)), anchor.ErrCosignature, ""},
		"redirect": {func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, anchor.ErrAnswer, "elsewhere (307)"},
		"endless":                      {endless, anchor.ErrAnswer, "over 65536 bytes"},
		"conflict without a size":      {status(http.StatusConflict, "no"), anchor.ErrAnswer, "without the size"},
		"a size that is none":          {size("five\n"), anchor.ErrAnswer, `"five\n" is no size`},
		"a size without line feed":     {size("3"), anchor.ErrAnswer, "is no size"},
		"a size with zero":             {size("03\n"), anchor.ErrAnswer, "is no size"},
		"a size below zero":            {size("-1\n"), anchor.ErrAnswer, "is no size"},
		"the size that was asked from": {size("0\n"), anchor.ErrAnswer, "it knows size 0"},
		"always the same size":         {size("3\n"), anchor.ErrAnswer, "it knows size 3"},
		"our size, and not our root":   {size("5\n"), anchor.ErrForked, "another root"},
		"a larger size":                {size("6\n"), anchor.ErrAhead, "size 6"},
		"a smaller size each time":     {func(rw http.ResponseWriter, r *http.Request) { size(fmt.Sprintf("%d\n", 4-turn.Add(1)))(rw, r) }, anchor.ErrAnswer, "set back"},
		"a larger size each time":      {func(rw http.ResponseWriter, r *http.Request) { size(fmt.Sprintf("%d\n", turn.Add(1)))(rw, r) }, anchor.ErrAnswer, "changed 4 times"},
		"our size, then told without one": {func(rw http.ResponseWriter, r *http.Request) {
			twice(&turn, size("5\n"), status(http.StatusConflict, "no"))(rw, r)
		}, anchor.ErrForked, "another root"},
		"the proof refused": {func(rw http.ResponseWriter, r *http.Request) {
			twice(&turn, size("3\n"), status(http.StatusUnprocessableEntity, "no"))(rw, r)
		}, anchor.ErrForked, "begins with the 3"},
		"busy":             {status(http.StatusServiceUnavailable, "later"), anchor.ErrRefused, `status 503, "later"`},
		"broken":           {status(http.StatusInternalServerError, strings.Repeat("x\n", 500)), anchor.ErrRefused, "status 500"},
		"taken, but later": {status(http.StatusAccepted, ofFour), anchor.ErrRefused, "status 202"},
	} {
		turn.Store(0)
		a := witnessAt(t, server(t, c.handler).URL+"/prefix/", honest.VerifierKey(), nil)
		r, err := a.Submit(t.Context(), l.at(5))
		if err == nil {
			t.Errorf("%s: receipt %+v", name, r)
			continue
		}
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "/prefix/add-checkpoint") {
			t.Errorf("%s: error %v, want %v that says %q", name, err, c.is, c.says)
		}
		if len(err.Error()) > 1000 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %d bytes of error, %.80q", name, len(err.Error()), err)
		}
	}
}

func twice(turn *atomic.Int64, first, second http.HandlerFunc) http.HandlerFunc {
	if turn.Add(1) == 1 {
		return first
	}
	return second
}

func endless(rw http.ResponseWriter, _ *http.Request) {
	for {
		if _, err := rw.Write(make([]byte, 4096)); err != nil {
			return
		}
	}
}

// Signatures of keys that we don't know are dropped, and so is what an answer holds of them.
func TestWitnessWithMoreKeys(t *testing.T) {
	l := newLog(t, 9)
	w, _ := newWitness(t, witness.Log{Origin: origin, Keys: []string{l.vkey}})
	s := server(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, "\u2014 someone/else AAAAAAAA\n")
		w.ServeHTTP(rw, r)
	}))
	r, err := witnessAt(t, s.URL, w.VerifierKey(), nil).Submit(t.Context(), l.at(5))
	if err != nil || bytes.Count(r.Data, []byte("\n")) != 1 || !bytes.HasPrefix(r.Data, []byte("\u2014 witness.example.org/w1 ")) {
		t.Errorf("receipt %q, %v", r.Data, err)
	}
}

func TestWitnessRequest(t *testing.T) {
	l := newLog(t, 40)
	var bodies []string
	s := server(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/w/add-checkpoint" || r.Method != http.MethodPost {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		if bodies = append(bodies, string(body)); len(bodies) == 1 {
			size("3\n")(rw, r)
		}
	}))
	w, _ := newWitness(t, witness.Log{Origin: origin, Keys: []string{l.vkey}})
	_, err := witnessAt(t, s.URL+"/w", w.VerifierKey(), nil).Submit(t.Context(), l.at(5))
	says(t, err, anchor.ErrCosignature)
	proof, err := tlog.ProveTree(5, 3, l)
	if err != nil {
		t.Fatal(err)
	}
	want := "old 3\n"
	for _, h := range proof {
		want += h.String() + "\n"
	}
	if len(bodies) != 2 || bodies[0] != "old 0\n\n"+string(l.checkpoint(5)) || bodies[1] != want+"\n"+string(l.checkpoint(5)) {
		t.Errorf("asked %q", bodies)
	}
}

func TestWitnessFaults(t *testing.T) {
	l := newLog(t, 9)
	w, _ := newWitness(t, witness.Log{Origin: origin, Keys: []string{l.vkey}})
	t.Run("no answer in time", func(t *testing.T) {
		done := make(chan struct{})
		s := server(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.(http.Flusher).Flush()
			<-done
		}))
		defer close(done)
		_, err := witnessAt(t, s.URL, w.VerifierKey(), &anchor.Options{Timeout: 50 * time.Millisecond}).Submit(t.Context(), l.at(5))
		says(t, err, context.DeadlineExceeded, "other team", s.URL)
	})
	t.Run("no proof to be had", func(t *testing.T) {
		broken := errors.New("the tile is gone")
		s := l.at(5)
		s.Prove = func(context.Context, int64) (tlog.TreeProof, error) { return nil, broken }
		_, err := witnessAt(t, server(t, size("3\n")).URL, w.VerifierKey(), nil).Submit(t.Context(), s)
		says(t, err, broken, "5 entries begins with that of 3")
		s.Prove = func(context.Context, int64) (tlog.TreeProof, error) { return make(tlog.TreeProof, 64), nil }
		_, err = witnessAt(t, server(t, size("3\n")).URL, w.VerifierKey(), nil).Submit(t.Context(), s)
		says(t, err, nil, "64 hashes")
	})
	t.Run("TLS", func(t *testing.T) {
		s := httptest.NewTLSServer(w)
		defer s.Close()
		s.Config.ErrorLog = nil
		_, pool := testTLS(t)
		if _, err := witnessAt(t, s.URL, w.VerifierKey(), &anchor.Options{RootCAs: pool}).Submit(t.Context(), l.at(5)); err != nil {
			t.Error(err)
		}
		_, err := witnessAt(t, s.URL, w.VerifierKey(), nil).Submit(t.Context(), l.at(5))
		says(t, err, nil, "certificate")
	})
	t.Run("link-local", func(t *testing.T) {
		_, err := witnessAt(t, "http://169.254.169.254/latest/meta-data", w.VerifierKey(), nil).Submit(t.Context(), l.at(5))
		says(t, err, nil, "no anchor can have this address")
	})
	for where, want := range map[string]string{
		"ftp://w.example.org":                 "must begin with https://",
		"https://":                            "must begin with https://",
		"w.example.org":                       "must begin with https://",
		"https://user:secret@w.example.org":   "neither a user",
		"https://w.example.org/#x":            "nor a fragment",
		"https://w.example.org/?x":            "no query",
		"https://user:secret@w.example.org:x": "not a URL",
	} {
		_, err := anchor.NewWitness("other team", where, w.VerifierKey(), nil)
		says(t, err, nil, "anchor other team (witness): ", want)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("it tells a secret: %v", err)
		}
	}
	for _, vkey := range []string{"", "x", l.vkey, w.VerifierKey() + "A"} {
		_, err := anchor.NewWitness("other team", "https://w.example.org", vkey, nil)
		says(t, err, nil, "not a verifier key for cosignatures")
		hinted(t, err)
	}
}

func TestCheckCosignature(t *testing.T) {
	l := newLog(t, 40)
	w, _ := newWitness(t, witness.Log{Origin: origin, Keys: []string{l.vkey}})
	r, err := witnessAt(t, server(t, w).URL, w.VerifierKey(), nil).Submit(t.Context(), l.at(5))
	if err != nil {
		t.Fatal(err)
	}
	cosig, vkey := r.Data, w.VerifierKey()
	stranger, _ := newWitness(t, witness.Log{Origin: origin, Keys: []string{l.vkey}})
	flipped := bytes.Clone(cosig)
	flipped[len(flipped)-10] ^= 1
	for name, c := range map[string]struct {
		cosig, checkpoint []byte
		vkey              string
		want              error
	}{
		"another size":      {cosig, l.checkpoint(6), vkey, anchor.ErrCosignature},
		"another history":   {cosig, l.fork(2).checkpoint(5), vkey, anchor.ErrCosignature},
		"another witness":   {cosig, l.checkpoint(5), stranger.VerifierKey(), anchor.ErrCosignature},
		"flipped":           {flipped, l.checkpoint(5), vkey, anchor.ErrCosignature},
		"empty":             {nil, l.checkpoint(5), vkey, anchor.ErrCosignature},
		"text before":       {append([]byte("x\n"), cosig...), l.checkpoint(5), vkey, anchor.ErrCosignature},
		"too long":          {bytes.Repeat(cosig, 1000), l.checkpoint(5), vkey, anchor.ErrCosignature},
		"no checkpoint":     {cosig, []byte("x"), vkey, anchor.ErrCheckpoint},
		"the log's own key": {cosig, l.checkpoint(5), l.vkey, nil},
	} {
		if _, _, err := anchor.CheckCosignature(c.cosig, c.checkpoint, c.vkey); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
	// It is over the checkpoint and not over its signature, which a rotated key would make anew.
	again := append(bytes.SplitAfter(l.checkpoint(5), []byte("\n\n"))[0], "\u2014 x AAAA\n"...)
	if _, _, err := anchor.CheckCosignature(cosig, again, vkey); err != nil {
		t.Error(err)
	}
}

// The environment is read once in a process, so that this one runs itself again.
func TestNoProxy(t *testing.T) {
	l := newLog(t, 9)
	const vkeyOf = "DAYBOOK_TEST_WITNESS_KEY"
	if vkey := os.Getenv(vkeyOf); vkey != "" {
		_, err := witnessAt(t, "http://witness.invalid", vkey, nil).Submit(t.Context(), l.at(5))
		says(t, err, nil, "witness.invalid")
		return
	}
	w, _ := newWitness(t, witness.Log{Origin: origin, Keys: []string{l.vkey}})
	proxy := server(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNoProxy$")
	cmd.Env = append(os.Environ(), vkeyOf+"="+w.VerifierKey(), "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
