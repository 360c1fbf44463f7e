package receiver_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/intake/receiver"
	"daybook/batch/receipt"
	"daybook/batch/seal"
	"daybook/event"
)

func newKey(t testing.TB) seal.Key {
	t.Helper()
	k, err := seal.GenerateKey(filepath.Join(t.TempDir(), "key"), "daybook")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestReceipts(t *testing.T) {
	k := newKey(t)
	w := newWorld(t, receiver.Options{Signer: k, ChunkEvents: 2})
	both := `{"id":"b\n","time":"2026-03-11T09:30:00Z","action":"both"}`
	body := line("a") + "\n" + both + "\n{}\n" + `{"time":"2026-03-10T09:30:00Z","action":"ignored"}` + "\n" + line("a")
	for _, how := range []string{"?receipt=true", "Daybook-Receipt: true"} {
		got := w.sendText(body, how)
		if got.code != 200 || got.ReceiptsOmitted != 0 {
			t.Fatalf("%d %s", got.code, got.text)
		}
		place := func(trail, id, day string, row int) receipt.Receipt {
			d, err := event.ParseDay(day)
			if err != nil {
				t.Fatal(err)
			}
			leaf := sha256.Sum256([]byte("\x00" + w.rows[row]))
			return receipt.Receipt{Trail: trail, Day: d, ID: id, Content: leaf, Received: now, SealedBy: time.Date(2026, 3, 21, 1, 0, 0, 0, time.UTC)}
		}
		want := []receipt.Receipt{place("acme", "a", "2026-03-10", 0), place("acme", "b\n", "2026-03-11", 1), place("acme copy", "b\n", "2026-03-11", 1), place("acme", "a", "2026-03-10", 0)}
		var receipts []receipt.Receipt
		for _, text := range got.Receipts {
			r, names, err := receipt.Verify([]byte(text), seal.Verifiers(k.Public()))
			if err != nil || names[0] != "daybook" {
				t.Fatalf("%v: %s", err, text)
			}
			if _, _, err := receipt.Verify([]byte(strings.Replace(text, "2026-03-21", "2026-03-22", 1)), seal.Verifiers(k.Public())); err == nil {
				t.Errorf("altered, it verifies: %s", text)
			}
			receipts = append(receipts, r)
		}
		if diff := cmp.Diff(want, receipts); diff != "" {
			t.Error(diff)
		}
	}
	if got := w.sendText(body); got.Receipts != nil {
		t.Errorf("receipts that nobody asked for: %s", got.text)
	}
}

func TestReceiptsNameTheirEvents(t *testing.T) {
	w := newWorld(t, receiver.Options{Signer: newKey(t), ChunkEvents: 10_000})
	const n = 6000 // more than a buffer holds, in one chunk
	got := w.sendText(lines(n), "?receipt=true")
	if len(got.Receipts) != n {
		t.Fatalf("%d receipts", len(got.Receipts))
	}
	for i, text := range got.Receipts {
		if r, err := receipt.Parse([]byte(text)); err != nil || r.ID != fmt.Sprintf("e%05d", i) || r.Content != sha256.Sum256([]byte("\x00"+w.rows[i])) {
			t.Fatalf("receipt %d is of %q, %v", i, r.ID, err)
		}
	}
}

func TestReceiptsThatAreNotGiven(t *testing.T) {
	w := newWorld(t, receiver.Options{Signer: newKey(t), MaxReceipts: 3, ChunkEvents: 2})
	if got := w.sendText(lines(5), "?receipt=true"); len(got.Receipts) != 3 || got.ReceiptsOmitted != 2 {
		t.Errorf("%d receipts, %d omitted", len(got.Receipts), got.ReceiptsOmitted)
	}
	how := settings(t)
	how.RecordLimit = 10_000
	h, err := receiver.New(w.backend, credentials{}, how, &receiver.Options{Signer: newKey(t), Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	w.server.Config.Handler = h
	if got := w.sendText(line(strings.Repeat("x", 5000)), "?receipt=true"); got.code != 200 || got.Accepted != 1 || got.Receipts != nil || got.ReceiptsOmitted != 1 {
		t.Errorf("a long id: %d %s", got.code, got.text)
	}
}

// mute is a signer that can't sign.
type mute struct{ seal.Key }

func (mute) Sign([]byte) ([]byte, error) { return nil, errors.New("the key is away") }

func TestASignerThatFails(t *testing.T) {
	w := newWorld(t, receiver.Options{Signer: mute{newKey(t)}})
	got := w.sendText(line("a"), "?receipt=true")
	got.is(t, 503, [4]int64{1, 0, 0, 0}, "could not be signed")
	if strings.Contains(got.text, "away") {
		t.Errorf("the answer tells what is inside: %s", got.text)
	}
	w.sendText(line("a")).is(t, 200, [4]int64{0, 1, 0, 0}, "")
}
