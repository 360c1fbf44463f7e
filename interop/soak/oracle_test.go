package soak_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/event"
)

// settle ends all disturbance, and wants everything that is closed to be sealed, every event to be accounted for, and nothing to be altered.
func (w *world) settle() {
	w.t.Helper()
	if err := w.proxy.set(); err != nil {
		w.t.Fatal(err)
	}
	w.asides.Wait()
	var err error
	for range 5 { // what was under way when the disturbance ended may fail once more
		if err = w.roll(); err == nil {
			break
		}
	}
	if err != nil {
		w.t.Fatalf("the store is back, but: %v\n%s", err, w.service.tail())
	}
	w.daybook("status", "--reconcile", "--config", w.path(configFile))
	w.quiet() // files of a seal that is half made are explained by nothing yet
	w.verify()
	w.start()
	w.check()
}

// verify has the auditor look at the store.
func (w *world) verify() {
	w.t.Helper()
	stdout, stderr, code, err := run(w.binary, w.env, "verify", "--deep", "--config", w.path(auditorFile), "--key", w.path("keys/signing.key.pub"))
	if err != nil || code != 0 {
		w.t.Fatalf("daybook verify --deep: exit code %d, %v\n%s%s\n%s", code, err, stdout, stderr, w.service.tail())
	}
}

// row is what is looked at of an evidence row.
type row struct {
	ID, Source, Org, Type, Action string
	Time                          time.Time
	ProjectID                     string `json:"project_id"`
	ObjectName                    string `json:"object_name"`
	Info                          struct{ Nonce, Note string }
}

// audit holds what is sealed, and what is pending in the data folder, which nobody holds now, against what was acknowledged.
func (w *world) audit() {
	w.t.Helper()
	w.verify()
	for _, v := range w.server.Versions(w.t, bucket, prefix+"/") {
		if !v.Latest || v.DeleteMarker {
			w.t.Errorf("%s has more than one version", v.Key)
		}
	}
	seals := 0
	places := map[string]map[string][]string{} // by trail and nonce
	for _, trail := range trails {
		found := map[string][]string{}
		places[trail] = found
		for n := uint64(1); ; n++ {
			data := w.server.Read(w.t, bucket, prefix+"/"+seal.ManifestKey(trail, n))
			if data == nil {
				break
			}
			m, err := seal.ParseManifest(data)
			if err != nil {
				w.t.Fatal(err)
			}
			seals++
			for _, f := range m.Files {
				if f.Format == "jsonl" {
					w.read(m, f.Key, found)
				}
			}
		}
	}
	pending := w.pending(places)
	w.compare(places)
	w.receipts()
	w.t.Logf("%d seals; %d events wait in the spool", seals, pending)
}

// read notes the events of an evidence file.
func (w *world) read(m *seal.Manifest, key string, found map[string][]string) {
	w.t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(w.server.Read(w.t, bucket, prefix+"/"+key)))
	if err != nil {
		w.t.Fatal(err)
	}
	defer z.Close()
	var rows bytes.Buffer
	if _, err := rows.ReadFrom(z); err != nil {
		w.t.Fatalf("%s: %v", key, err)
	}
	for line := range bytes.Lines(rows.Bytes()) {
		w.note(m.Day.Day, line, fmt.Sprintf("seal %d, %v", m.Seal, m.Day), found)
	}
}

// note notes an event, and wants it to say what it was sent with.
func (w *world) note(day event.Day, line []byte, where string, found map[string][]string) {
	w.t.Helper()
	var r row
	if err := json.Unmarshal(line, &r); err != nil {
		w.t.Fatal(err)
	}
	if r.Source == "daybook" {
		return
	}
	f := w.book.facts[r.Info.Nonce]
	if f == nil {
		w.t.Errorf("%s holds an event that nobody sent: %s", where, line)
		return
	}
	found[f.nonce] = append(found[f.nonce], where)
	switch {
	case f.id != "" && r.ID != f.id, len(r.ID) == 0, r.Source != f.source, r.Org != f.org, r.Type != f.kind, r.Action != f.action, r.ProjectID != f.project, !r.Time.Equal(f.at),
		r.Info.Note != text(f.nonce), r.ObjectName != text(f.nonce):
		w.t.Errorf("%s: %s\nwas sent as %s", where, line, f.line)
	case !f.elsewhere && day != event.DayOf(f.at):
		w.t.Errorf("%s holds an event of %v", where, f.at)
	}
}

// pending notes the events that wait in the spool.
func (w *world) pending(places map[string]map[string][]string) (n int64) {
	w.t.Helper()
	store, err := spool.Open(w.data()+"/spool", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			w.t.Error(err)
		}
	}()
	for _, trail := range trails {
		id, err := store.TrailID(trail)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, d := range store.Days() {
			if d.Trail != id {
				continue
			}
			for left := d.Events; left > 0; { // behind a generation that is frozen there may be one that is not
				number, err := store.Freeze(id, d.Day)
				if err != nil || number == 0 {
					w.t.Fatalf("%d events of %v wait in no generation: %v", left, d.Day, err)
				}
				var written int64
				for item, err := range store.Scan(id, d.Day, nil) {
					if err != nil {
						w.t.Fatal(err)
					}
					w.note(d.Day, item.Row, fmt.Sprintf("the spool, %v", d.Day), places[trail])
					written++
				}
				if err := store.MarkSealed(id, d.Day, number, spool.Sealing{Seal: 1, At: time.Now(), Written: written}); err != nil {
					w.t.Fatal(err)
				}
				n += written
				left -= written
			}
		}
	}
	return n
}

// compare wants each event that was acknowledged once in each of its trails, and no other in any.
func (w *world) compare(places map[string]map[string][]string) {
	w.t.Helper()
	wrong := 0
	for _, f := range w.book.facts {
		for _, trail := range trails {
			at := places[trail][f.nonce]
			own := false
			for _, name := range f.trails() {
				own = own || name == trail
			}
			most, least := 0, 0
			if own && (f.must || f.may) {
				most = 1
			}
			if own && f.must {
				least = 1
			}
			if len(at) <= most && len(at) >= least {
				continue
			}
			if wrong++; wrong <= 10 {
				w.t.Errorf("the trail %s has %d times (%s) what was sent as %s, of %s; it was acknowledged: %t, left open: %t", trail, len(at), strings.Join(at, "; "), f.line, f.source, f.must, f.may)
			}
		}
	}
	if wrong > 10 {
		w.t.Errorf("and %d more", wrong-10)
	}
}

// checkedReceipts is how many receipts are held against the store.
const checkedReceipts = 15

func (w *world) receipts() {
	w.t.Helper()
	w.book.random.Shuffle(len(w.book.receipts), func(i, j int) {
		w.book.receipts[i], w.book.receipts[j] = w.book.receipts[j], w.book.receipts[i]
	})
	for _, r := range w.book.receipts[:min(checkedReceipts, len(w.book.receipts))] {
		path := w.path("receipt")
		if err := os.WriteFile(path, []byte(r), 0o600); err != nil {
			w.t.Fatal(err)
		}
		stdout, stderr, code, err := run(w.binary, w.env, "verify", "--receipt", path, "--config", w.path(auditorFile), "--key", w.path("keys/signing.key.pub"))
		if err != nil || code != 0 {
			w.t.Errorf("verify --receipt: exit code %d, %v\n%s%s%s", code, err, r, stdout, stderr)
		}
	}
}
