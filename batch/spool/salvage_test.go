package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"

	"daybook/batch/spool"
	"daybook/internal/effort"
)

const salvageClasses, salvageEvents = 3, 3000

// frozenOnDisk returns a folder, closed, in whose tables are the events of a frozen generation, by their keys: many of each second, in several classes.
func frozenOnDisk(t *testing.T) (disk *vfs.MemFS, items []spool.Item) {
	t.Helper()
	disk = vfs.NewCrashableMem()
	s := prepared(t, disk, "spool")
	for class := range salvageClasses {
		_, err := s.ClassID(fmt.Sprint("class", class))
		must(t, err)
	}
	for n := range salvageEvents {
		a := made(tenth.Start().Add(time.Duration(n/20)*time.Second), fmt.Sprintf("id-%06d", n), fmt.Sprintf("%x", rand.New(rand.NewPCG(uint64(n), 1)).Uint64())+strings.Repeat("x", 300))
		item := a.item()
		item.Group.Class = uint8(n % salvageClasses)
		items = append(items, item)
	}
	for from := 0; from < len(items); from += 100 {
		appendAll(t, s, items[from:from+100]...)
	}
	_, err := s.Freeze(0, tenth)
	must(t, err)
	must(t, s.Close())
	must(t, openStore(t, disk, "spool").Close()) // which puts what the log has into a table
	return disk, items
}

// salvaged is what comes out.
func salvaged(t *testing.T, s *spool.Store) (list []out, told []spool.Damage) {
	t.Helper()
	for item, err := range s.Salvage(0, tenth, func(d spool.Damage) { told = append(told, d) }) {
		must(t, err)
		list = append(list, outOf(t, item))
	}
	return list, told
}

func TestSalvageOfWhatIsNotDamaged(t *testing.T) {
	disk, items := frozenOnDisk(t)
	s := openStore(t, disk, "spool")
	list, told := salvaged(t, s)
	if len(list) != len(items) || told != nil {
		t.Errorf("%d of %d events came out, and damage was told: %v", len(list), len(items), told)
	}
	if diff := gocmp.Diff(scanStore(t, s, 0, tenth), list); diff != "" {
		t.Errorf("it differs from a scan: %s", diff)
	}
	for range s.Salvage(0, tenth+1, nil) {
		t.Error("there is an event of another day")
	}
	for range s.Salvage(0, tenth, nil) {
		break
	}
	names, err := s.QuarantineDamage("quarantine")
	if err != nil || names != nil {
		t.Errorf("damaged are %v, %v", names, err)
	}
	must(t, s.Close())
}

// TestSalvage turns over bytes at many places of the tables. Every event is handed out, each once and in order, or counted as missing.
func TestSalvage(t *testing.T) {
	effort.NeedsLongOrThorough(t)
	disk, _ := frozenOnDisk(t)
	s := openStore(t, disk, "spool")
	whole := scanStore(t, s, 0, tenth)
	must(t, s.Close())
	index := map[out]int{}
	for i, o := range whole {
		index[o] = i
	}
	rng := rand.New(rand.NewPCG(1, 1))
	asItIs := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng}
	files, err := disk.List("spool")
	must(t, err)
	step := 190
	if effort.Thorough() {
		step = 11
	}
	places, refused := 0, 0
	missing := map[int][]int{} // by how many bytes were turned over
	for _, name := range files {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		for place := 0; place < 1000; place += step {
			for _, times := range []int{1, 2, 5} {
				left := disk.CrashClone(asItIs)
				where := make([]int, times)
				damageFile(t, left, "spool/"+name, func(b []byte) []byte {
					for i := range where {
						where[i] = place * len(b) / 1000
						if i > 0 {
							where[i] = rng.IntN(len(b))
						}
						b = flip(b, where[i])
					}
					return b
				})
				when := fmt.Sprintf("%s, turned over at %v", name, where)
				s, err := spool.Open("spool", &spool.Options{FS: left, MemTable: smallMemTable})
				if err != nil { // what is read at first is damaged
					refused++
					if !errors.Is(err, spool.ErrCorrupt) {
						t.Errorf("%s: %v", when, err)
					}
					continue
				}
				places++
				missing[times] = append(missing[times], checkSalvaged(t, s, whole, index, when))
				must(t, s.Close())
			}
		}
	}
	for _, list := range missing {
		slices.Sort(list)
	}
	t.Logf("%d times, and %d refused by Open; events missing, by damaged bytes: %v", places, refused, missing)
	if places < 10 || refused > places/2 { // how many tables there are, each with a foot, depends on the engine
		t.Error("that is no test")
	}
	if usual := missing[1][len(missing[1])/2]; usual == 0 || usual > 150 { // where an index is damaged it may be many more
		t.Errorf("one byte costs %d events", usual)
	}
}

func checkSalvaged(t *testing.T, s *spool.Store, whole []out, index map[out]int, when string) (missing int) {
	t.Helper()
	list, told := salvaged(t, s)
	again, toldAgain := salvaged(t, s)
	if diff := gocmp.Diff(told, toldAgain); diff != "" || len(list) != len(again) {
		t.Errorf("%s: the second time differs: %s", when, diff)
	}
	last := -1
	for n, o := range list {
		i, ok := index[o]
		if !ok || i <= last || o != again[n] {
			t.Fatalf("%s: event %v comes after number %d", when, o, last)
		}
		last = i
	}
	switch missing = len(whole) - len(list); {
	case missing == 0 && told != nil:
		t.Errorf("%s: nothing is missing, and damage is told: %v", when, told)
		return 0
	case missing == 0:
		return 0
	case len(told) != 1 || told[0].Events != int64(missing) || len(told[0].Ranges) == 0:
		t.Fatalf("%s: %d events are missing, and damage is told: %v", when, missing, told)
	}
	checkRanges(t, list, whole, told[0].Ranges, when)
	number, err := s.Freeze(0, tenth)
	must(t, err)
	names, err := s.QuarantineDamage("quarantine")
	if err != nil || len(names) == 0 {
		t.Errorf("%s: damaged are %v, %v", when, names, err)
	}
	var scanErr error
	for _, err := range s.Scan(0, tenth, &spool.ScanStats{}) {
		scanErr = err
	}
	if !errors.Is(scanErr, spool.ErrCorrupt) {
		t.Errorf("%s: Scan gives %v", when, scanErr)
	}
	must(t, s.MarkSealed(0, tenth, number, spool.Sealing{Seal: 1, At: time.Unix(1, 0), Written: int64(len(list)), Damaged: int64(missing)}))
	if totals := checkTotals(t, s, 0, when); totals.Damaged != int64(missing) || totals.Pending != 0 {
		t.Errorf("%s: totals are %+v", when, totals)
	}
	return missing
}

// checkRanges looks for every event that did not come out in a range that was told.
func checkRanges(t *testing.T, list, whole []out, ranges []spool.DamagedRange, when string) {
	t.Helper()
	for len(whole) > 0 {
		if len(list) > 0 && list[0] == whole[0] {
			list, whole = list[1:], whole[1:]
			continue
		}
		o, found := whole[0], false
		for _, r := range ranges {
			from := r.After.IsZero() || r.AfterClass < o.Class || r.AfterClass == o.Class && r.After.UnixMicro() <= o.Micros
			to := r.Before.IsZero() || r.BeforeClass > o.Class || r.BeforeClass == o.Class && r.Before.UnixMicro() >= o.Micros
			found = found || from && to
		}
		if !found {
			t.Fatalf("%s: %v is missing and in no range of %v", when, o, ranges)
		}
		whole = whole[1:]
	}
}

// TestAppendBesideDamage appends events again whose block can't be read: they are taken, since nobody can say that they are known.
func TestAppendBesideDamage(t *testing.T) {
	disk, items := frozenOnDisk(t)
	files, err := disk.List("spool")
	must(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, ".sst") {
			damageFile(t, disk, "spool/"+name, func(b []byte) []byte { return flip(b, len(b)/3) })
		}
	}
	s := openStore(t, disk, "spool")
	_, told := salvaged(t, s)
	if len(told) != 1 {
		t.Fatalf("damage is told: %v", told)
	}
	fresh := make([]bool, len(items))
	must(t, s.AppendEach(items, fresh))
	n := int64(0)
	for _, f := range fresh {
		if f {
			n++
		}
	}
	if n == 0 || n > told[0].Events {
		t.Errorf("%d events are missing, and %d were new", told[0].Events, n)
	}
	must(t, s.Close())
}

func TestQuarantineDamage(t *testing.T) {
	dir := t.TempDir()
	disk, _ := frozenOnDisk(t)
	if _, err := vfs.Clone(disk, vfs.Default, "spool", filepath.Join(dir, "spool")); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "spool", "*.sst"))
	must(t, err)
	content := map[string][]byte{}
	for _, name := range tables {
		b, err := os.ReadFile(name)
		must(t, err)
		content[filepath.Base(name)] = flip(b, len(b)/2)
		must(t, os.WriteFile(name, b, 0o644))
	}
	s := openStore(t, nil, filepath.Join(dir, "spool"))
	if _, told := salvaged(t, s); len(told) != 1 {
		t.Fatalf("damage is told: %v", told)
	}
	quarantine := filepath.Join(dir, "deep", "quarantine")
	names, err := s.QuarantineDamage(quarantine)
	must(t, err)
	again, err := s.QuarantineDamage(quarantine)
	must(t, err)
	if diff := gocmp.Diff(names, again); diff != "" || len(names) == 0 {
		t.Errorf("files are %v, then %v", names, again)
	}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(quarantine, name))
		must(t, err)
		info, err := os.Stat(filepath.Join(quarantine, name))
		must(t, err)
		if !bytes.Equal(b, content[name]) || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has %d bytes and mode %v", name, len(b), info.Mode())
		}
	}
	if left, err := os.ReadDir(quarantine); err != nil || len(left) != len(names) {
		t.Errorf("there are %v, %v", left, err)
	}
	must(t, s.Close())
}
