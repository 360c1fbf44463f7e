package witness_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	"daybook/batch/witness"
	"daybook/sink"
)

const origin = "audit.example.org/prod"

// testLog is a log of n leaves; two with other seeds have other histories.
type testLog struct {
	t      *testing.T
	origin string
	signer note.Signer
	vkey   string
	hashes []tlog.Hash
	n      int64
}

func newLog(t *testing.T, origin, seed string, n int64) *testLog {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	l := &testLog{t: t, origin: origin, signer: signer, vkey: vkey}
	l.grow(seed, n)
	return l
}

func (l *testLog) grow(seed string, n int64) {
	l.t.Helper()
	for ; l.n < n; l.n++ {
		hashes, err := tlog.StoredHashes(l.n, fmt.Appendf(nil, "%s %d", seed, l.n), l)
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes = append(l.hashes, hashes...)
	}
}

// fork has the first n leaves of l and the same key, and goes on by itself.
func (l *testLog) fork(n int64) *testLog {
	return &testLog{t: l.t, origin: l.origin, signer: l.signer, vkey: l.vkey, n: n, hashes: append([]tlog.Hash(nil), l.hashes[:tlog.StoredHashCount(n)]...)}
}

func (l *testLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = l.hashes[at]
	}
	return out, nil
}

func (l *testLog) root(n int64) tlog.Hash {
	l.t.Helper()
	root, err := tlog.TreeHash(n, l)
	if err != nil {
		l.t.Fatal(err)
	}
	return root
}

func (l *testLog) sign(text string, signers ...note.Signer) []byte {
	l.t.Helper()
	data, err := note.Sign(&note.Note{Text: text}, append([]note.Signer{l.signer}, signers...)...)
	if err != nil {
		l.t.Fatal(err)
	}
	return data
}

func (l *testLog) text(n int64) string {
	return torchwood.Checkpoint{Origin: l.origin, Tree: tlog.Tree{N: n, Hash: l.root(n)}}.String()
}

func (l *testLog) checkpoint(n int64) []byte { return l.sign(l.text(n)) }

func (l *testLog) prove(old, n int64) []string {
	l.t.Helper()
	var lines []string
	if old > 0 {
		proof, err := tlog.ProveTree(n, old, l)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, h := range proof {
			lines = append(lines, h.String())
		}
	}
	return lines
}

// body is an add-checkpoint request of l at size n from old.
func (l *testLog) body(old, n int64) []byte { return body(old, l.prove(old, n), l.checkpoint(n)) }

func body(old int64, proof []string, checkpoint []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	for _, line := range proof {
		b.WriteString(line + "\n")
	}
	b.WriteByte('\n')
	b.Write(checkpoint)
	return b.Bytes()
}

func newKey(t *testing.T) seal.Key {
	t.Helper()
	k, _, err := witness.GenerateKey(filepath.Join(t.TempDir(), "witness.key"), "witness.example.org/w1")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func start(t *testing.T, dir string, k seal.Signer, logs ...witness.Log) *witness.Witness {
	t.Helper()
	w, err := witness.New(witness.Options{Dir: dir, Signer: k, Logs: logs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() }) // some tests have closed it
	return w
}

func stop(t *testing.T, w *witness.Witness) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func watch(l *testLog) witness.Log { return witness.Log{Origin: l.origin, Keys: []string{l.vkey}} }

func post(w http.Handler, body []byte) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(body)))
	return rec
}

// cosigned checks that an answer is a cosignature of the checkpoint.
func cosigned(t *testing.T, w *witness.Witness, rec *httptest.ResponseRecorder, checkpoint []byte) {
	t.Helper()
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d, %q", rec.Code, rec.Body)
	}
	v, err := torchwood.NewCosignatureVerifier(w.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(append(bytes.Clone(checkpoint), rec.Body.Bytes()...), note.VerifierList(v))
	if err != nil {
		t.Fatalf("%v: %q", err, rec.Body)
	}
	at, err := torchwood.CosignatureTimestamp(n.Sigs[0])
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
		t.Errorf("cosigned at %v (%v)", time.Unix(at, 0), err)
	}
	if lines := strings.Count(rec.Body.String(), "\n"); lines != 1 || !strings.HasPrefix(rec.Body.String(), "\u2014 witness.example.org/w1 ") {
		t.Errorf("answered %q, want one line", rec.Body)
	}
}

func conflicted(t *testing.T, rec *httptest.ResponseRecorder, size int64) {
	t.Helper()
	if rec.Code != http.StatusConflict || rec.Header().Get("Content-Type") != "text/x.tlog.size" || rec.Body.String() != fmt.Sprintf("%d\n", size) {
		t.Errorf("status %d, %q, %q, want 409 and %d", rec.Code, rec.Header().Get("Content-Type"), rec.Body, size)
	}
}

func TestWitness(t *testing.T) {
	l := newLog(t, origin, "a", 70)
	dir, key := t.TempDir(), newKey(t)
	w := start(t, dir, key, watch(l))
	conflicted(t, post(w, l.body(3, 5)), 0)
	cosigned(t, w, post(w, l.body(0, 5)), l.checkpoint(5))
	conflicted(t, post(w, l.body(0, 9)), 5)
	cosigned(t, w, post(w, l.body(5, 9)), l.checkpoint(9))
	cosigned(t, w, post(w, l.body(9, 9)), l.checkpoint(9)) // the same again
	stop(t, w)
	w = start(t, dir, key, watch(l))
	conflicted(t, post(w, l.body(5, 9)), 9)
	conflicted(t, post(w, l.body(0, 5)), 9) // a roll-back
	conflicted(t, post(w, l.body(5, 5)), 9)
	cosigned(t, w, post(w, l.body(9, 70)), l.checkpoint(70))

	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	for _, want := range []string{"name: witness.example.org/w1\n", "vkey: " + w.VerifierKey() + "\n", "\n70 " + origin + "\n"} {
		if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("GET /: status %d, %s, want it to say %q", rec.Code, rec.Body, want)
		}
	}
	if vkey, err := witness.VerifierKey(key); err != nil || vkey != w.VerifierKey() {
		t.Errorf("VerifierKey = %q, %v, want %q", vkey, err, w.VerifierKey())
	}
}

func TestRefusals(t *testing.T) {
	l, stranger := newLog(t, origin, "a", 20), newLog(t, "other.example.org", "a", 20)
	impostor := newLog(t, origin, "a", 20) // the same leaves, another key
	forked := l.fork(5)
	forked.grow("b", 20)
	w := start(t, t.TempDir(), newKey(t), watch(l))
	cosigned(t, w, post(w, l.body(0, 7)), l.checkpoint(7))
	flip := func(data []byte, what, with string) []byte {
		if !bytes.Contains(data, []byte(what)) {
			t.Fatalf("%q is not in %q", what, data)
		}
		return bytes.Replace(data, []byte(what), []byte(with), 1)
	}
	good := l.body(7, 9)
	wrong := l.prove(7, 9)
	wrong[0] = l.root(3).String()
	many := make([]string, 64)
	for i := range many {
		many[i] = l.root(3).String()
	}
	for name, c := range map[string]struct {
		body []byte
		want int
	}{
		"empty":                    {nil, 400},
		"no blank line":            {flip(good, "\n\n", "\n"), 400},
		"no old":                   {flip(good, "old ", ""), 400},
		"old in words":             {flip(good, "old 7", "old seven"), 400},
		"old with zero":            {flip(good, "old 7", "old 07"), 400},
		"old with plus":            {flip(good, "old 7", "old +7"), 400},
		"old below zero":           {flip(good, "old 7", "old -7"), 400},
		"old beyond 63 bits":       {flip(good, "old 7", "old 9223372036854775808"), 400},
		"old with space":           {flip(good, "old 7\n", "old 7 \n"), 400},
		"CR LF":                    {bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")), 400},
		"a proof line is no hash":  {body(7, []string{"x"}, l.checkpoint(9)), 400},
		"a proof line is blank":    {body(7, append([]string{""}, l.prove(7, 9)...), l.checkpoint(9)), 404}, // the checkpoint begins behind it
		"too many hashes":          {body(7, many, l.checkpoint(9)), 400},
		"most hashes":              {body(7, many[:63], l.checkpoint(9)), 422},
		"no checkpoint":            {[]byte("old 7\n\n"), 400},
		"an unsigned checkpoint":   {body(7, l.prove(7, 9), []byte(l.text(9))), 400},
		"text behind":              {append(bytes.Clone(good), "x\n"...), 400},
		"no checkpoint, signed":    {body(7, nil, l.sign(origin+"\nhello\n")), 400},
		"size with zero":           {body(7, l.prove(7, 9), l.sign(flipString(t, l.text(9), "\n9\n", "\n09\n"))), 400},
		"root with loose bits":     {body(7, l.prove(7, 9), l.sign(looseBits(t, l.text(9)))), 400},
		"too large":                {append(bytes.Clone(good), bytes.Repeat([]byte("x"), witness.MaxBody)...), 413},
		"unknown log":              {stranger.body(0, 9), 404},
		"the origin's case":        {flip(good, origin, strings.ToUpper(origin)), 404},
		"another key":              {impostor.body(7, 9), 403},
		"forged":                   {flip(good, l.text(9), l.text(10)), 403},
		"another log's signature":  {body(7, l.prove(7, 9), stranger.sign(l.text(9))), 403},
		"old over size":            {body(7, nil, l.checkpoint(5)), 400},
		"no proof":                 {body(7, nil, l.checkpoint(9)), 422},
		"wrong proof":              {body(7, wrong, l.checkpoint(9)), 422},
		"proof of another size":    {body(7, l.prove(6, 9), l.checkpoint(9)), 422},
		"proof with one more":      {body(7, append(l.prove(7, 9), many[0]), l.checkpoint(9)), 422},
		"a fork":                   {forked.body(7, 9), 422},
		"a fork, true log's proof": {body(7, l.prove(7, 9), forked.checkpoint(9)), 422},
		"a fork of the same size":  {forked.body(7, 7), 409},
		"same size with a proof":   {body(7, many[:1], l.checkpoint(7)), 422},
	} {
		rec := post(w, c.body)
		if rec.Code != c.want || bytes.Contains(rec.Body.Bytes(), []byte("\u2014")) {
			t.Errorf("%s: status %d, %q, want %d", name, rec.Code, rec.Body, c.want)
		}
		if c.want == 409 && rec.Header().Get("Content-Type") == "text/x.tlog.size" {
			t.Errorf("%s: told as another size", name)
		}
	}
	cosigned(t, w, post(w, good), l.checkpoint(9)) // nothing of that left a trace
	for method, want := range map[string]int{http.MethodGet: 405, http.MethodPut: 405} {
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, httptest.NewRequest(method, "/add-checkpoint", nil))
		if rec.Code != want {
			t.Errorf("%s: status %d, want %d", method, rec.Code, want)
		}
	}
}

func flipString(t *testing.T, s, what, with string) string {
	t.Helper()
	if !strings.Contains(s, what) {
		t.Fatalf("%q is not in %q", what, s)
	}
	return strings.Replace(s, what, with, 1)
}

// looseBits sets the bits of the root's last digit that stand for nothing: the same hash, in other bytes.
func looseBits(t *testing.T, text string) string {
	t.Helper()
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := strings.LastIndex(text, "=") - 1
	return text[:at] + string(digits[strings.IndexByte(digits, text[at])+1]) + text[at+1:]
}

// A log whose key is rotated is watched with both keys for a while; what was known before stays known.
func TestKeyRotation(t *testing.T) {
	old := newLog(t, origin, "a", 20)
	rotated := newLog(t, origin, "a", 20)
	dir, key := t.TempDir(), newKey(t)
	w := start(t, dir, key, watch(old))
	cosigned(t, w, post(w, old.body(0, 5)), old.checkpoint(5))
	stop(t, w)
	w = start(t, dir, key, witness.Log{Origin: origin, Keys: []string{old.vkey, rotated.vkey}})
	cosigned(t, w, post(w, rotated.body(5, 8)), rotated.checkpoint(8))
	cosigned(t, w, post(w, old.body(8, 9)), old.checkpoint(9))
	both := old.sign(old.text(10), rotated.signer)
	cosigned(t, w, post(w, body(9, old.prove(9, 10), both)), both)
	stop(t, w)
	w = start(t, dir, key, watch(rotated))
	if rec := post(w, old.body(10, 11)); rec.Code != http.StatusForbidden {
		t.Errorf("the old key: status %d", rec.Code)
	}
	cosigned(t, w, post(w, rotated.body(10, 11)), rotated.checkpoint(11))
}

// Signatures that the witness does not know are passed over, however many there are, and don't get into its state.
func TestForeignSignatures(t *testing.T) {
	l := newLog(t, origin, "a", 20)
	dir, key := t.TempDir(), newKey(t)
	w := start(t, dir, key, watch(l))
	var others []note.Signer
	for range 99 {
		others = append(others, newLog(t, origin, "x", 0).signer)
	}
	checkpoint := l.sign(l.text(5), others...)
	rec := post(w, body(0, nil, checkpoint))
	cosigned(t, w, rec, l.checkpoint(5))
	stop(t, w)
	w = start(t, dir, key, watch(l))
	conflicted(t, post(w, l.body(0, 5)), 5)
}

// Of many requests at a time that all begin where the witness is, one is taken; all the others are told the new size.
func TestRace(t *testing.T) {
	l := newLog(t, origin, "a", 40)
	w := start(t, t.TempDir(), newKey(t), watch(l))
	cosigned(t, w, post(w, l.body(0, 5)), l.checkpoint(5))
	var bodies [][]byte
	for n := int64(6); n < 30; n++ {
		bodies = append(bodies, l.body(5, n))
	}
	answers := make([]*httptest.ResponseRecorder, len(bodies))
	var wait sync.WaitGroup
	for i, b := range bodies {
		wait.Go(func() { answers[i] = post(w, b) })
	}
	wait.Wait()
	won := int64(0)
	for i, rec := range answers {
		if rec.Code == http.StatusOK {
			if won != 0 {
				t.Errorf("sizes %d and %d were both cosigned from 5", won, i+6)
			}
			won = int64(i + 6)
		}
	}
	if won == 0 {
		t.Fatal("none was cosigned")
	}
	for _, rec := range answers {
		if rec.Code != http.StatusOK {
			conflicted(t, rec, won)
		}
	}
	conflicted(t, post(w, l.body(5, 40)), won)
}

// The race that tlog-witness tells of: a request is held up between the comparison and the write, and another overtakes it.
func TestOvertaken(t *testing.T) {
	l := newLog(t, origin, "a", 40)
	w := start(t, t.TempDir(), newKey(t), watch(l))
	cosigned(t, w, post(w, l.body(0, 5)), l.checkpoint(5))
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.SetBefore(func(op, _ string) error {
		if op == "create" {
			once.Do(func() { close(held); <-release })
		}
		return nil
	})
	first, second := make(chan *httptest.ResponseRecorder), make(chan *httptest.ResponseRecorder)
	go func() { first <- post(w, l.body(5, 6)) }()
	<-held
	go func() { second <- post(w, l.body(5, 9)) }()
	close(release)
	a, b := <-first, <-second
	cosigned(t, w, a, l.checkpoint(6))
	conflicted(t, b, 6)
}

func TestBusy(t *testing.T) {
	l := newLog(t, origin, "a", 5)
	dir, key := t.TempDir(), newKey(t)
	w := start(t, dir, key, watch(l))
	if _, err := witness.New(witness.Options{Dir: dir, Signer: key, Logs: []witness.Log{watch(l)}}); !errors.Is(err, witness.ErrBusy) {
		t.Errorf("a second witness of the folder: %v, want ErrBusy", err)
	}
	stop(t, w)
	start(t, dir, key, watch(l))
}

// lost is a connection that breaks before the answer is through.
type lost struct{ http.ResponseWriter }

func (lost) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// A crash after the checkpoint is on the disk, before the answer: the log asks again, is told the size, and gets its cosignature from there.
func TestCrashBeforeAnswer(t *testing.T) {
	l := newLog(t, origin, "a", 20)
	dir, key := t.TempDir(), newKey(t)
	w := start(t, dir, key, watch(l))
	w.ServeHTTP(lost{httptest.NewRecorder()}, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(l.body(0, 5))))
	stop(t, w)
	w = start(t, dir, key, watch(l))
	conflicted(t, post(w, l.body(0, 5)), 5)
	cosigned(t, w, post(w, l.body(5, 5)), l.checkpoint(5))
	forked := newLog(t, origin, "b", 20)
	forked.signer, forked.vkey = l.signer, l.vkey
	if rec := post(w, forked.body(5, 5)); rec.Code != http.StatusConflict {
		t.Errorf("a fork: status %d", rec.Code)
	}
}

// Each operation on the disk fails in turn, with and without the process going on: nothing is cosigned that is not on the disk, and what the witness knows never goes back.
func TestFailedWrites(t *testing.T) {
	l := newLog(t, origin, "a", 20)
	forked := l.fork(5)
	forked.grow("b", 20)
	for _, failing := range []string{"create", "write", "sync", "close", "rename", "sync folder"} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", failing, restart), func(t *testing.T) {
				dir, key := t.TempDir(), newKey(t)
				w := start(t, dir, key, watch(l))
				cosigned(t, w, post(w, l.body(0, 5)), l.checkpoint(5))
				w.SetBefore(func(op, _ string) error {
					if op == failing {
						return errors.New("the disk says no")
					}
					return nil
				})
				if rec := post(w, l.body(5, 9)); rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), "disk") {
					t.Fatalf("status %d, %q", rec.Code, rec.Body)
				}
				w.SetBefore(func(string, string) error { return nil })
				unknown := failing == "rename" || failing == "sync folder"
				if restart {
					stop(t, w)
					w = start(t, dir, key, watch(l))
				} else if unknown {
					if rec := post(w, forked.body(5, 9)); rec.Code != http.StatusInternalServerError {
						t.Fatalf("cosigned though the disk is unknown: status %d, %q", rec.Code, rec.Body)
					}
					stop(t, w)
					w = start(t, dir, key, watch(l))
				}
				known := int64(5)
				if failing == "sync folder" {
					known = 9 // the rename was done
				}
				conflicted(t, post(w, l.body(0, 9)), known)
				cosigned(t, w, post(w, l.body(known, 12)), l.checkpoint(12))
				if left, err := filepath.Glob(filepath.Join(dir, "logs", ".new-*")); err != nil || len(left) > 0 {
					t.Errorf("left behind: %v, %v", left, err)
				}
			})
		}
	}
}

// What a crash leaves half written is cleared away.
func TestHalfWritten(t *testing.T) {
	l := newLog(t, origin, "a", 20)
	dir, key := t.TempDir(), newKey(t)
	stop(t, start(t, dir, key, watch(l)))
	for _, name := range []string{".new-1", "logs/.new-2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := start(t, dir, key, watch(l))
	cosigned(t, w, post(w, l.body(0, 5)), l.checkpoint(5))
	if left, err := filepath.Glob(filepath.Join(dir, "logs", ".new-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDamagedState(t *testing.T) {
	l, second := newLog(t, origin, "a", 20), newLog(t, "other.example.org/b", "a", 20)
	logFile := func(dir, prefix string) string {
		found, err := filepath.Glob(filepath.Join(dir, "logs", prefix+"*"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		return found[0]
	}
	change := func(path string, f func([]byte) []byte) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for name, damage := range map[string]func(dir string){
		"a log's file is gone":  func(dir string) { remove(logFile(dir, "audit")) },
		"a log's file is empty": func(dir string) { change(logFile(dir, "audit"), func([]byte) []byte { return nil }) },
		"a log's file is cut":   func(dir string) { change(logFile(dir, "audit"), func(d []byte) []byte { return d[:len(d)-5] }) },
		"a log's size was set back": func(dir string) {
			change(logFile(dir, "audit"), func(d []byte) []byte { return bytes.Replace(d, []byte("\n5\n"), []byte("\n4\n"), 1) })
		},
		"a log's file is endless": func(dir string) {
			change(logFile(dir, "audit"), func(d []byte) []byte { return bytes.Repeat(d, 2000) })
		},
		"not cosigned": func(dir string) { change(logFile(dir, "audit"), func([]byte) []byte { return l.checkpoint(9) }) },
		"another log's file": func(dir string) {
			change(logFile(dir, "audit"), func([]byte) []byte { d, _ := os.ReadFile(logFile(dir, "other")); return d })
		},
		"the index is gone": func(dir string) { remove(filepath.Join(dir, "index")) },
		"the index is cut":  func(dir string) { change(filepath.Join(dir, "index"), func(d []byte) []byte { return d[:40] }) },
		"a log is not in the index": func(dir string) {
			change(filepath.Join(dir, "index"), func(d []byte) []byte { return bytes.Replace(d, []byte(origin+"\n"), nil, 1) })
		},
		"an unwatched log's is gone": func(dir string) { remove(logFile(dir, "other")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, key := t.TempDir(), newKey(t)
			w := start(t, dir, key, watch(l), watch(second))
			cosigned(t, w, post(w, l.body(0, 5)), l.checkpoint(5))
			cosigned(t, w, post(w, second.body(0, 7)), second.checkpoint(7))
			stop(t, w)
			damage(dir)
			_, err := witness.New(witness.Options{Dir: dir, Signer: key, Logs: []witness.Log{watch(l)}})
			var hint *sink.HintError
			if !errors.Is(err, witness.ErrState) || !errors.As(err, &hint) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v, want ErrState with a hint", err)
			}
			if _, err := witness.New(witness.Options{Dir: dir, Signer: key, Logs: []witness.Log{watch(l)}}); errors.Is(err, witness.ErrBusy) {
				t.Error("the folder is still held")
			}
		})
	}
	t.Run("another key", func(t *testing.T) {
		dir := t.TempDir()
		stop(t, start(t, dir, newKey(t), watch(l)))
		if _, err := witness.New(witness.Options{Dir: dir, Signer: newKey(t), Logs: []witness.Log{watch(l)}}); !errors.Is(err, witness.ErrState) {
			t.Errorf("error %v, want ErrState", err)
		}
	})
	t.Run("not readable", func(t *testing.T) {
		dir, key := t.TempDir(), newKey(t)
		stop(t, start(t, dir, key, watch(l)))
		path := filepath.Join(dir, "index")
		remove(path)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := witness.New(witness.Options{Dir: dir, Signer: key, Logs: []witness.Log{watch(l)}}); err == nil || errors.Is(err, witness.ErrState) {
			t.Errorf("error %v, want one that does not condemn the state", err)
		}
	})
}

// A crash between a new log's first file and the index leaves the file alone.
func TestCrashWhileAdopting(t *testing.T) {
	l, second := newLog(t, origin, "a", 20), newLog(t, "other.example.org/b", "a", 20)
	dir, key := t.TempDir(), newKey(t)
	w := start(t, dir, key, watch(l))
	cosigned(t, w, post(w, l.body(0, 5)), l.checkpoint(5))
	stop(t, w)
	index, err := os.ReadFile(filepath.Join(dir, "index"))
	if err != nil {
		t.Fatal(err)
	}
	stop(t, start(t, dir, key, watch(l), watch(second)))
	if err := os.WriteFile(filepath.Join(dir, "index"), index, 0o600); err != nil {
		t.Fatal(err)
	}
	w = start(t, dir, key, watch(l), watch(second))
	conflicted(t, post(w, l.body(0, 5)), 5)
	cosigned(t, w, post(w, second.body(0, 7)), second.checkpoint(7))
}

func TestOptions(t *testing.T) {
	l := newLog(t, origin, "a", 1)
	_, err := witness.New(witness.Options{PerMinute: -1, Logs: []witness.Log{
		{Origin: ""}, {Origin: "a\nb", Keys: []string{"x"}}, watch(l), watch(l),
	}})
	for _, want := range []string{"no state folder", "no key", "-1 checkpoints", `log "": its origin`, `log "a\nb"`, `key "x"`, origin + " is listed twice", "log  has no key"} {
		if !errors.Is(err, witness.ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want ErrOptions that says %q", err, want)
		}
	}
}

func TestLimit(t *testing.T) {
	l, second := newLog(t, origin, "a", 20), newLog(t, "other.example.org/b", "a", 20)
	now := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	w, err := witness.New(witness.Options{
		Dir: t.TempDir(), Signer: newKey(t), Logs: []witness.Log{watch(l), watch(second)}, PerMinute: 3, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { stop(t, w) }()
	impostor := newLog(t, origin, "a", 20)
	for range 10 { // what the log did not sign is not counted against it
		if rec := post(w, impostor.body(0, 5)); rec.Code != http.StatusForbidden {
			t.Fatalf("status %d", rec.Code)
		}
	}
	for n := range int64(3) {
		cosigned(t, w, post(w, l.body(n, n+1)), l.checkpoint(n+1))
	}
	if rec := post(w, l.body(3, 4)); rec.Code != http.StatusTooManyRequests {
		t.Errorf("the fourth of a minute: status %d", rec.Code)
	}
	cosigned(t, w, post(w, second.body(0, 4)), second.checkpoint(4))
	now = now.Add(20 * time.Second)
	cosigned(t, w, post(w, l.body(3, 4)), l.checkpoint(4))
	if rec := post(w, l.body(4, 5)); rec.Code != http.StatusTooManyRequests {
		t.Errorf("the next: status %d", rec.Code)
	}
}

// A log that contradicts itself has signed the evidence; it gets into the witness's own log.
func TestEvidence(t *testing.T) {
	l := newLog(t, origin, "a", 20)
	forked := l.fork(3)
	forked.grow("b", 20)
	var said bytes.Buffer
	w, err := witness.New(witness.Options{
		Dir: t.TempDir(), Signer: newKey(t), Logs: []witness.Log{watch(l)}, Log: slog.New(slog.NewJSONHandler(&said, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { stop(t, w) }()
	cosigned(t, w, post(w, l.body(0, 5)), l.checkpoint(5))
	for _, n := range []int64{5, 9} {
		said.Reset()
		post(w, forked.body(5, n))
		if !strings.Contains(said.String(), `"level":"ERROR"`) || !strings.Contains(said.String(), forked.root(n).String()) {
			t.Errorf("size %d: logged %s", n, said.String())
		}
	}
}

// Over a connection: a body that never ends is cut off, and a request in flight outlives its client.
func TestServed(t *testing.T) {
	l := newLog(t, origin, "a", 20)
	w := start(t, t.TempDir(), newKey(t), watch(l))
	server := httptest.NewServer(w)
	defer server.Close()
	resp, err := http.Post(server.URL+"/add-checkpoint", "text/plain", io.MultiReader(bytes.NewReader(l.body(0, 5)), endless{}))
	if err == nil {
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("an endless body: status %d", resp.StatusCode)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.SetBefore(func(op, _ string) error {
		if op == "sync" {
			cancel()
		}
		return nil
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/add-checkpoint", bytes.NewReader(l.body(0, 5)))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(request); err == nil {
		_ = resp.Body.Close() // the answer was quicker
	}
	server.Close() // waits for what is being served
	conflicted(t, post(w, l.body(0, 5)), 5)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func FuzzParseRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		old, proof, note, err := witness.ParseRequest(data)
		if err != nil {
			return
		}
		if diff := cmp.Diff(string(data), string(body(old, proof, note))); diff != "" {
			t.Errorf("taken, though it is written otherwise:\n%s", diff)
		}
		if len(proof) > 63 || old < 0 {
			t.Errorf("old %d, %d hashes", old, len(proof))
		}
	})
}
