package spool_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"daybook/batch/spool"
	"daybook/internal/effort"
)

// life is what happens to a store: all of it, in steps that can be done again after a failure.
func life(fs vfs.FS, acknowledged map[int]bool) (err error) {
	s, err := spool.Open("data/spool", &spool.Options{FS: fs, MemTable: smallMemTable})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.TrailID("audit"); err != nil {
		return err
	}
	if _, err := s.ClassID("standard"); err != nil {
		return err
	}
	number, err := s.Freeze(0, tenth)
	if err != nil {
		return err
	}
	for n := 0; n < 60; n += 3 {
		if n == 30 && number == 0 {
			if number, err = s.Freeze(0, tenth); err != nil {
				return err
			}
		}
		if _, err := s.Append([]spool.Item{numbered(n, 10_000), numbered(n+1, 10_000), numbered(n+2, 10_000)}); err != nil {
			return err
		}
		acknowledged[n], acknowledged[n+1], acknowledged[n+2] = true, true, true
	}
	var stats spool.ScanStats
	events := 0
	for _, err := range s.Scan(0, tenth, &stats) {
		if err != nil {
			return err
		}
		events++
	}
	if err := s.MarkSealed(0, tenth, number, sealed(events, time.Unix(1, 0))); err != nil {
		return err
	}
	if _, err := s.Expire(time.Unix(2, 0)); err != nil {
		return err
	}
	if _, err := s.Freeze(0, tenth); err != nil {
		return err
	}
	for _, err := range s.Scan(0, tenth, &stats) {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestEveryOperationFails fails file system operation n, for n = 1, 2, … until none is left, once for a moment and once for good. Whatever is left on
// the disk by then, less what was not synced, opens and has all that was acknowledged.
func TestEveryOperationFails(t *testing.T) {
	effort.NeedsThorough(t)
	for _, forGood := range []bool{false, true} {
		for n := int32(0); ; n++ {
			mem := vfs.NewCrashableMem()
			index := errorfs.OnIndex(n)
			var failed bool
			var mu sync.Mutex
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				mu.Lock()
				defer mu.Unlock()
				err := index.MaybeError(op)
				failed = failed || err != nil
				if failed && forGood {
					return errorfs.ErrInjected
				}
				return err
			}))
			acknowledged := map[int]bool{}
			err := life(fs, acknowledged)
			mu.Lock()
			done := !failed
			mu.Unlock()
			if err != nil && done {
				t.Fatalf("operation %d did not fail, but: %v", n, err)
			}
			checkAcknowledged(t, mem.CrashClone(vfs.CrashCloneCfg{}), acknowledged, fmt.Sprintf("operation %d failed with %v", n, err))
			if done {
				t.Logf("there are %d operations", n)
				break
			}
		}
	}
}

// checkAcknowledged opens what a crash left and finishes the life of the store, looking for the events that were acknowledged. They are in one of three
// places: frozen, open, or dropped after all of them were.
func checkAcknowledged(t *testing.T, fs vfs.FS, acknowledged map[int]bool, when string) {
	t.Helper()
	s, err := spool.Open("data/spool", &spool.Options{FS: fs, MemTable: smallMemTable})
	if err != nil {
		t.Fatalf("%s: then Open: %v", when, err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("%s: then Close: %v", when, err)
		}
	}()
	_, err = s.TrailID("audit")
	must(t, err)
	_, err = s.ClassID("standard")
	must(t, err)
	if totals := checkTotals(t, s, 0, when); totals.Accepted < int64(len(acknowledged)) {
		t.Errorf("%s: %d events were acknowledged, and the totals are %+v", when, len(acknowledged), totals)
	}
	found := map[string]bool{}
	total := int64(0)
	for _, d := range s.Days() {
		total += d.Events
	}
	for range 2 {
		before := len(found)
		number, err := s.Freeze(0, tenth)
		must(t, err)
		for _, o := range scanStore(t, s, 0, tenth) {
			if found[o.ID] {
				t.Errorf("%s: %s is there twice", when, o.ID)
			}
			found[o.ID] = true
		}
		must(t, s.MarkSealed(0, tenth, number, sealed(len(found)-before, time.Unix(3, 0))))
	}
	if totals := checkTotals(t, s, 0, when); totals.Pending != 0 {
		t.Errorf("%s: all is sealed, and the totals are %+v", when, totals)
	}
	if int64(len(found)) != total {
		t.Errorf("%s: %d events, but the days have %d", when, len(found), total)
	}
	for n := range 60 {
		sealed := n < 30 && len(acknowledged) == 60 // it may be, and be dropped
		if acknowledged[n] && !found[fmt.Sprintf("id-%06d", n)] && !sealed {
			t.Errorf("%s: event %d was acknowledged and is lost", when, n)
		}
	}
}

func TestAStoppedStoreStaysStopped(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var toggle errorfs.Toggle
	toggle.Injector = errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData {
			return errorfs.ErrInjected
		}
		return nil
	})
	fs := errorfs.Wrap(mem, &toggle)
	var logged bytes.Buffer
	s, err := spool.Open("spool", &spool.Options{FS: fs, MemTable: smallMemTable, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	must(t, err)
	_, err = s.TrailID("audit")
	must(t, err)
	_, err = s.ClassID("standard")
	must(t, err)
	appendAll(t, s, numbered(1, 10))
	toggle.On()
	_, err = s.Append([]spool.Item{numbered(2, 10)})
	if !errors.Is(err, spool.ErrStopped) || !errors.Is(err, errorfs.ErrInjected) || !strings.Contains(err.Error(), "spool spool: append") {
		t.Errorf("Append gives %v", err)
	}
	toggle.Off()
	_, appendErr := s.Append([]spool.Item{numbered(2, 10)})
	_, freezeErr := s.Freeze(0, tenth)
	_, trailErr := s.TrailID("other")
	_, classErr := s.ClassID("standard")
	var scanErr error
	for _, err := range s.Scan(0, tenth, &spool.ScanStats{}) {
		scanErr = err
	}
	_, countErr := s.Count(t.Context(), 0)
	var sealingsErr error
	for _, err := range s.Sealings(0) {
		sealingsErr = err
	}
	for i, err := range []error{appendErr, freezeErr, trailErr, classErr, scanErr, s.Drop(0, tenth, 1), s.MarkSealed(0, tenth, 1, sealed(1, time.Unix(1, 0))), countErr, sealingsErr, s.Close()} {
		if !errors.Is(err, spool.ErrStopped) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if !strings.Contains(logged.String(), "stopped") {
		t.Errorf("the log is %q", logged.String())
	}
	s = openStore(t, mem, "spool")
	if n := appendAll(t, s, numbered(1, 10)); n != 0 {
		t.Error("an acknowledged event is lost")
	}
	must(t, s.Close())
}

func TestClosed(t *testing.T) {
	s := prepared(t, vfs.NewMem(), "spool")
	must(t, s.Close())
	must(t, s.Close())
	if _, err := s.Append([]spool.Item{numbered(1, 10)}); !errors.Is(err, spool.ErrStopped) {
		t.Errorf("Append gives %v", err)
	}
}

func TestAFullDiskIsNoticedBeforehand(t *testing.T) {
	mem := vfs.NewMem()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 2 << 30})
	s := prepared(t, mem, "spool")
	appendAll(t, s, numbered(1, 10))
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 20, TotalBytes: 2 << 30})
	if _, err := s.Append([]spool.Item{numbered(2, 10)}); !errors.Is(err, spool.ErrFull) {
		t.Errorf("Append gives %v", err)
	}
	number, err := s.Freeze(0, tenth) // what frees space still works
	must(t, err)
	if got := scanStore(t, s, 0, tenth); len(got) != 1 {
		t.Errorf("%d events", len(got))
	}
	must(t, s.MarkSealed(0, tenth, number, sealed(1, time.Unix(1, 0))))
	must(t, s.Drop(0, tenth, number))
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 2 << 30})
	appendAll(t, s, numbered(2, 10))
	must(t, s.Close())
}

// TestKilled kills a process of its own while it appends, again and again.
func TestKilled(t *testing.T) {
	effort.NeedsLong(t)
	const childDir = "DAYBOOK_TEST_SPOOL"
	if dir := os.Getenv(childDir); dir != "" {
		s := prepared(t, nil, dir)
		days := s.Days()
		n := 0
		if len(days) > 0 {
			n = int(days[0].Events)
		}
		for ; ; n++ {
			appendAll(t, s, numbered(n, 10_000))
			fmt.Println("appended", n)
		}
	}
	dir := filepath.Join(t.TempDir(), "data", "spool")
	last := -1
	for range 5 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
		child.Env = append(os.Environ(), childDir+"="+dir)
		output, err := child.StdoutPipe()
		must(t, err)
		must(t, child.Start())
		lines := bufio.NewScanner(output)
		for appended := 0; appended < 40 && lines.Scan(); appended++ {
			if _, err := fmt.Sscanf(lines.Text(), "appended %d", &last); err != nil {
				t.Fatal(lines.Text())
			}
		}
		must(t, child.Process.Kill())
		for lines.Scan() {
			if _, err := fmt.Sscanf(lines.Text(), "appended %d", &last); err != nil {
				t.Log(lines.Text()) // cut off
			}
		}
		_ = child.Wait() // it was killed
		s := openStore(t, nil, dir)
		days := s.Days()
		if len(days) != 1 || days[0].Events < int64(last)+1 {
			t.Fatalf("%d events were acknowledged, and %v are there", last+1, days)
		}
		must(t, s.Close())
	}
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v", info.Mode())
	}
	s := openStore(t, nil, dir)
	_, err = s.Freeze(0, tenth)
	must(t, err)
	seen := map[string]bool{}
	for _, o := range scanStore(t, s, 0, tenth) {
		seen[o.ID] = true
	}
	for n := range last + 1 {
		if !seen[fmt.Sprintf("id-%06d", n)] {
			t.Errorf("event %d is lost", n)
		}
	}
	if second, err := spool.Open(dir, nil); err == nil {
		t.Error("two have the folder open", second.Close())
	}
	must(t, s.Close())
}

// TestDamage turns over a byte in each file, cuts it and takes it away. What was acknowledged is never left out in silence, but for the end of the log and
// of the manifest after a crash: there is no telling whether it was written.
func TestDamage(t *testing.T) {
	effort.NeedsLong(t)
	t.Run("closed", func(t *testing.T) { testDamage(t, true) })
	t.Run("killed", func(t *testing.T) { testDamage(t, false) })
}

func testDamage(t *testing.T, closed bool) {
	mem := vfs.NewCrashableMem()
	s := prepared(t, mem, "spool")
	const events = 120
	const each = 2 // at each damaged byte the engine tries, with all of the record, what other byte it may have been
	for n := 0; n < events; n += each {
		var items []spool.Item
		for i := range each {
			items = append(items, numbered(n+i, 10_000))
		}
		appendAll(t, s, items...)
	}
	_, err := s.Freeze(0, tenth)
	must(t, err)
	asItIs := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}
	killed := mem.CrashClone(asItIs)
	must(t, s.Close())
	if !closed {
		mem = killed
	}
	files, err := mem.List("spool")
	must(t, err)
	kinds := map[string]int{}
	for _, name := range files {
		kind := strings.TrimLeft(name, "0123456789")
		kind, _, _ = strings.Cut(kind, "-")
		kind, _, _ = strings.Cut(kind, ".0")
		if kind == "LOCK" || kind == "OPTIONS" || strings.HasPrefix(kind, "marker.format") {
			continue // nothing depends on what is in them
		}
		for what, damage := range damages {
			if !closed && (kind == ".log" || kind == "MANIFEST") && what != "removed" && what != "a byte in the middle" || !closed && kind == ".log" && what == "removed" {
				continue
			}
			disk := mem.CrashClone(asItIs)
			if !damageFile(t, disk, "spool/"+name, damage) {
				continue
			}
			kinds[kind]++
			found, err := readAll(disk)
			if err == nil && found != events {
				t.Errorf("%s, %s: %d of %d events came out and there is no error", name, what, found, events)
			}
			if err != nil && (!strings.Contains(err.Error(), "spool spool: ") || strings.Contains(err.Error(), "\n")) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			if err != nil && !strings.HasPrefix(what, "cut") && !errors.Is(err, spool.ErrCorrupt) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
	t.Logf("damaged: %v", kinds)
	for _, kind := range []string{".sst", ".log", "MANIFEST", "REVISION", "marker.manifest"} {
		if kinds[kind] == 0 {
			t.Errorf("no %s was damaged", kind)
		}
	}
}

// damages return nil for a file to be removed.
var damages = map[string]func([]byte) []byte{
	"a byte at the start":  func(b []byte) []byte { return flip(b, 0) },
	"a byte in the middle": func(b []byte) []byte { return flip(b, len(b)/2) },
	"a byte near the end":  func(b []byte) []byte { return flip(b, len(b)-20) },
	"cut":                  func(b []byte) []byte { return b[:len(b)/2] },
	"cut near the end":     func(b []byte) []byte { return b[:max(len(b)-20, 0)] },
	"removed":              func([]byte) []byte { return nil },
}

func flip(b []byte, at int) []byte {
	if len(b) > 0 {
		b[max(at, 0)] ^= 0xff
	}
	return b
}

// damageFile reports whether there was anything to damage. A log may be longer than what was written to it.
func damageFile(t *testing.T, disk vfs.FS, name string, damage func([]byte) []byte) bool {
	t.Helper()
	in, err := disk.Open(name)
	must(t, err)
	content, err := io.ReadAll(in)
	must(t, errors.Join(err, in.Close(), disk.Remove(name)))
	if !strings.Contains(name, "marker") {
		content = bytes.TrimRight(content, "\x00")
	}
	content = damage(content)
	if content == nil {
		return true
	}
	file, err := disk.Create(name, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = file.Write(content)
	must(t, errors.Join(err, file.Close()))
	return len(content) > 0
}

// readAll opens a store and counts what is frozen for the tenth.
func readAll(fs vfs.FS) (n int, err error) {
	s, err := spool.Open("spool", &spool.Options{FS: fs, MemTable: smallMemTable})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, err := range s.Scan(0, tenth, &spool.ScanStats{}) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
