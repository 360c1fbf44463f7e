package control_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/control"
	"daybook/batch/seal"
	"daybook/sink"
)

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(path, data, 0o600))
}

// snapshot is all that a Control tells, but for events.
type snapshot struct {
	Version uint64
	Admins  []control.Admin
	Tokens  []control.Token
	Trails  []control.TrailState
	Gaps    map[string][]seal.Gap
	Sources map[string][]string
	On      map[string]string
	Events  []string
}

func snap(t *testing.T, c *control.Control, now time.Time) snapshot {
	t.Helper()
	s := snapshot{
		Version: c.Version(), Admins: c.Admins(), Tokens: c.Tokens(), Trails: c.Trails(),
		Gaps: map[string][]seal.Gap{}, Sources: map[string][]string{}, On: map[string]string{},
	}
	for _, trail := range s.Trails {
		name := trail.Spec.Name
		s.Gaps[name] = c.Gaps(name, morning.Add(-1000*hour), now.Add(1000*hour))
		s.Sources[trail.Spec.Org] = c.Sources(trail.Spec.Org, now)
		var on strings.Builder
		for at := morning.Add(-hour); at.Before(now.Add(200 * hour)); at = at.Add(hour) {
			fmt.Fprint(&on, map[bool]string{true: "1", false: "0"}[c.On(name, at)])
		}
		s.On[name] = on.String()
	}
	for own, err := range c.Events(0) {
		must(t, err)
		s.Events = append(s.Events, fmt.Sprintf("%d %v %s", own.Seq, own.Trails, own.Event.AppendJSON(nil)))
	}
	return s
}

// filled is a world with a record of most kinds, and a pause between them.
func filled(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	_, err := w.CreateAdmin(control.Local, "root", control.RoleAdmin, "*", time.Time{})
	must(t, err)
	must(t, w.Enable(alice, acme, w.today(), false))
	w.wait(hour)
	must(t, w.RequestDisable(alice, "acme", "migration <&> \u2028 \"quoted\"", time.Time{}))
	must(t, w.Approve(bob, "acme"))
	w.wait(2 * hour)
	_, _, err = w.CreateToken(bob, "acme", "app", time.Time{})
	must(t, err)
	return w
}

// A crash may leave any part of the last line; it was never acknowledged, and is cut. The next record takes its place.
func TestTornTail(t *testing.T) {
	w := filled(t)
	must(t, w.Close())
	whole := read(t, w.journal())
	last := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	write(t, w.journal(), whole[:last])
	w.open()
	before := snap(t, w.Control, w.clock())
	must(t, w.Close())
	for n := last; n < len(whole); n += stride() {
		tails := [][]byte{whole[:n], append(bytes.Clone(whole[:n]), make([]byte, len(whole)-n)...)}
		if n < len(whole)-1 {
			// Its end reached the disk, and what is before did not.
			tails = append(tails, bytes.Join([][]byte{whole[:last], make([]byte, n+1-last), whole[n+1:]}, nil))
		}
		for i, tail := range tails {
			write(t, w.journal(), tail)
			w.open()
			if diff := cmp.Diff(before, snap(t, w.Control, w.clock())); i == 0 && diff != "" {
				t.Fatalf("cut %d at %d (-want +got):\n%s", i, n, diff)
			}
			if w.Version() != before.Version {
				t.Fatalf("cut %d at %d: %d records, want %d", i, n, w.Version(), before.Version)
			}
			must(t, w.Close())
			if !bytes.Equal(read(t, w.journal()), whole[:last]) {
				t.Fatalf("cut %d at %d left something", i, n)
			}
		}
	}
	w.open()
	_, err := w.CreateAdmin(control.Local, "eve", control.RoleAdmin, "*", time.Time{})
	must(t, err)
	w.reopen()
	if got := w.Version(); got != before.Version+1 {
		t.Errorf("%d records", got)
	}
}

func TestDamage(t *testing.T) {
	w := filled(t)
	must(t, w.Started("v1", config1, nil)) // alive.json knows the last line, too
	must(t, w.Close())
	whole := read(t, w.journal())
	lines := bytes.SplitAfter(whole, []byte("\n"))
	lines = lines[:len(lines)-1]
	if len(lines) < 6 {
		t.Fatalf("%d lines", len(lines))
	}
	refuse := func(name string, data []byte, line int) {
		t.Helper()
		write(t, w.journal(), data)
		c, err := control.Open(w.dir, w.options())
		if err == nil {
			t.Errorf("%s: opens", name)
			must(t, c.Close())
			return
		}
		refused(t, err, control.ErrDamaged)
		if where := fmt.Sprintf("%s: line %d: ", w.journal(), line); line > 0 && !strings.Contains(err.Error(), where) {
			t.Errorf("%s: %v, want %s", name, err, where)
		}
		var h *sink.HintError
		if !errors.As(err, &h) || h.Hint == "" {
			t.Errorf("%s: no hint", name)
		}
		if !bytes.Equal(read(t, w.journal()), data) {
			t.Errorf("%s: the file was changed", name)
		}
	}
	join := func(l ...[]byte) []byte { return bytes.Join(l, nil) }
	start := 0
	for i, line := range lines {
		for at := i % stride(); at < len(line); at += stride() {
			if at == len(line)-1 && i == len(lines)-1 {
				continue // without its line feed it is a tail that was torn, below
			}
			data := bytes.Clone(whole)
			data[start+at] ^= 1
			// An altered line that still is one shows in the line after it, or in alive.json.
			refuse(fmt.Sprintf("line %d, byte %d", i+1, at), data, 0)
		}
		start += len(line)
	}
	zeros := bytes.Clone(whole)
	clear(zeros[len(lines[0])+10 : len(lines[0])+20])
	refuse("zeros in line 2", zeros, 2)
	refuse("line 2 missing", join(lines[0], join(lines[2:]...)), 2)
	refuse("line 2 twice", join(lines[0], lines[1], lines[1], join(lines[2:]...)), 3)
	refuse("lines 2 and 3 changed places", join(lines[0], lines[2], lines[1], join(lines[3:]...)), 2)
	refuse("line 1 missing", join(lines[1:]...), 1)
	refuse("another name", bytes.Replace(whole, []byte(`"name":"bob"`), []byte(`"name":"bab"`), 1), 5)
	refuse("an unknown action", bytes.Replace(whole, []byte(`daybook.trail.enable`), []byte(`daybook.trail.enabel`), 1), 2)
	refuse("an unknown member", bytes.Replace(whole, []byte(`"by":`), []byte(`"x":1,"by":`), 1), 1)
	refuse("a blank", bytes.Replace(whole, []byte(`"by":`), []byte(`"by": `), 1), 1)
	refuse("a blank line at the end", append(bytes.Clone(whole), '\n'), len(lines)+1)
	refuse("another file's line at the end", append(bytes.Clone(whole), "{}\n"...), len(lines)+1)
	refuse("a line that is too long", append(bytes.Clone(lines[0]), bytes.Repeat([]byte("x"), 5<<20)...), 2)

	// That it was cut, or replaced as a whole, shows by the last sign of life.
	for n := range lines {
		refuse(fmt.Sprintf("cut to %d lines", n), join(lines[:n]...), n+1)
	}
	refuse("the last line torn", whole[:len(whole)-1], len(lines))
	other := filled(t)
	_, err := other.CreateAdmin(control.Local, "eve", control.RoleAdmin, "*", time.Time{})
	must(t, err)
	refuse("another journal", read(t, other.journal()), len(lines))

	// Without a sign of life the lines themselves must do.
	must(t, os.Remove(filepath.Join(w.dir, "control", "alive.json")))
	refuse("a line that is too long, and no sign of life", append(bytes.Clone(lines[0]), bytes.Repeat([]byte("x"), 5<<20)...), 2)
	refuse("begins with line 2", bytes.Replace(lines[0], []byte(`"seq":1`), []byte(`"seq":2`), 1), 1)
	write(t, w.journal(), whole)
	w.open()
}

func TestDamagedSignOfLife(t *testing.T) {
	w := newWorld(t)
	must(t, w.Started("v1", config1, nil))
	must(t, w.Close())
	path := filepath.Join(w.dir, "control", "alive.json")
	whole := read(t, path)
	for _, bad := range []string{"", "{}\n", "x", string(whole) + "\n", strings.TrimSpace(string(whole)), strings.ToUpper(string(whole)), strings.Replace(string(whole), `"seq":1`, `"seq":0`, 1)} {
		write(t, path, []byte(bad))
		_, err := control.Open(w.dir, w.options())
		refused(t, err, control.ErrDamaged)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// What the hint says helps.
	must(t, os.Remove(path))
	w.wait(hour)
	w.open()
	must(t, w.Started("v1", config1, nil))
	w.wantGaps("acme", gap(0, hour, "daybook was down: it died"))
}

// A write or a sync fails, and part of the line, all of it or nothing is on the disk: nothing more is written until the journal is opened again, which keeps what is whole.
func TestFailedWriteStops(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range []struct {
		name, op string
		part     int // how much of the line is on the disk, in percent
		kept     bool
	}{
		{"write, nothing", "write", 0, false},
		{"write, half", "write", 50, false},
		{"write, all", "write", 100, true},
		{"sync", "sync", 100, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := filled(t)
			before := snap(t, w.Control, w.clock())
			good := read(t, w.journal())
			// The line that the failed write is to leave comes from a copy of the folder.
			scratch := newWorld(t)
			scratch.now = w.clock()
			must(t, scratch.Close())
			write(t, scratch.journal(), good)
			scratch.open()
			must(t, scratch.Enable(alice, beta, w.today(), false))
			line := read(t, scratch.journal())[len(good):]

			w.before = func(op string) error {
				if op != test.op {
					return nil
				}
				if op == "write" {
					f, err := os.OpenFile(w.journal(), os.O_WRONLY|os.O_APPEND, 0)
					must(t, err)
					_, err = f.Write(line[:len(line)*test.part/100])
					must(t, errors.Join(err, f.Close()))
				}
				return broken
			}
			err := w.Enable(alice, beta, w.today(), false)
			refused(t, err, control.ErrStopped)
			refused(t, err, broken)
			w.before = nil
			size := len(read(t, w.journal()))
			_, _, err = w.CreateToken(alice, "acme", "late", time.Time{})
			refused(t, err, control.ErrStopped)
			refused(t, w.Tick(), control.ErrStopped)
			refused(t, w.Alive(), control.ErrStopped)
			if len(read(t, w.journal())) != size {
				t.Error("it was written to after a write that failed")
			}
			if diff := cmp.Diff(before, snap(t, w.Control, w.clock())); diff != "" {
				t.Errorf("what failed has changed something (-want +got):\n%s", diff)
			}
			w.reopen()
			if _, ok := w.Trail("beta"); ok != test.kept {
				t.Errorf("kept: %t, want %t", ok, test.kept)
			}
			must(t, w.Enable(alice, control.TrailSpec{Name: "next", Org: "acme"}, w.today(), false))
			w.reopen()
		})
	}
}

// Open fails at each of its operations, and then succeeds with all that there was.
func TestFailedOpen(t *testing.T) {
	broken := errors.New("broken")
	w := filled(t)
	before := snap(t, w.Control, w.clock())
	must(t, w.Close())
	whole := read(t, w.journal())
	for n := 1; ; n++ {
		write(t, w.journal(), append(bytes.Clone(whole), "{"...))
		calls := 0
		c, err := control.OpenWith(w.dir, w.options(), func(string) error {
			if calls++; calls == n {
				return broken
			}
			return nil
		})
		if err == nil {
			must(t, c.Close())
			if n < 5 {
				t.Errorf("only %d operations", n-1)
			}
			break
		}
		refused(t, err, broken)
		w.open()
		if diff := cmp.Diff(before, snap(t, w.Control, w.clock())); diff != "" {
			t.Fatalf("after operation %d failed (-want +got):\n%s", n, diff)
		}
		must(t, w.Close())
	}
	w.open()
}

// The last line is written again at Open, in its place: a sync that failed may have left it in memory only.
func TestOpenSecuresTheLastLine(t *testing.T) {
	w := filled(t)
	must(t, w.Close())
	whole := read(t, w.journal())
	var ops []string
	c, err := control.OpenWith(w.dir, w.options(), func(op string) error { ops = append(ops, op); return nil })
	must(t, err)
	must(t, c.Close())
	if diff := cmp.Diff([]string{"open", "write", "sync", "sync folder"}, ops); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
	if !bytes.Equal(read(t, w.journal()), whole) {
		t.Error("it has changed")
	}
	w.open()
}

func TestClosed(t *testing.T) {
	w := newWorld(t)
	must(t, w.Close())
	must(t, w.Close())
	refused(t, w.Enable(alice, acme, w.today(), false), control.ErrStopped)
	refused(t, w.Tick(), control.ErrStopped)
	w.open()
}

func TestOpenWithoutOptions(t *testing.T) {
	c, err := control.Open(t.TempDir(), nil)
	must(t, err)
	must(t, c.Enable(control.Local, acme, 0, false))
	if !c.On("acme", time.Now()) {
		t.Error("it is not on")
	}
	must(t, c.Close())
}

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	w := newWorld(t)
	must(t, w.Started("v1", config1, nil))
	for name, want := range map[string]os.FileMode{".": 0o700, "journal.jsonl": 0o600, "alive.json": 0o600} {
		info, err := os.Stat(filepath.Join(w.dir, "control", name))
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o", name, got)
		}
	}
}
