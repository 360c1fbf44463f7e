package spool_test

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"daybook/batch/spool"
)

// wants opens the store that is meant, which must be there.
func wants(fs vfs.FS, dir, id string) (*spool.Store, error) {
	return spool.Open(dir, &spool.Options{FS: fs, MemTable: smallMemTable, MustExist: true, ID: id})
}

// A store keeps its ID, has it in its copies, and is told from none and from another.
func TestIdentity(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := prepared(t, mem, "spool")
	id := s.ID()
	appendAll(t, s, numbered(1, 10))
	must(t, errors.Join(s.Checkpoint("copy"), s.Close(), openStore(t, mem, "other").Close(), mem.MkdirAll("mount/lost+found", 0o700)))
	if id == "" {
		t.Fatal("it has no ID")
	}
	for _, dir := range []string{"spool", "copy"} {
		s, err := wants(mem, dir, id)
		must(t, err)
		if s.ID() != id || s.Pending(0, tenth) != 1 {
			t.Errorf("%s has the ID %s, want %s, and %d events", dir, s.ID(), id, s.Pending(0, tenth))
		}
		must(t, s.Close())
	}
	for _, dir := range []string{"nowhere", "mount"} {
		for _, id := range []string{id, ""} {
			if _, err := wants(mem, dir, id); !errors.Is(err, spool.ErrAbsent) {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
	if _, err := mem.Stat("nowhere"); err == nil {
		t.Error("a folder was made")
	}
	if names, err := mem.List("mount"); err != nil || len(names) != 1 {
		t.Errorf("there are %v, %v", names, err)
	}
	if _, err := wants(mem, "other", id); !errors.Is(err, spool.ErrOther) {
		t.Errorf("another one: %v", err)
	}
	must(t, openStore(t, mem, "other").Close()) // and is as it was
}

// A store of which a part is left is damaged, and not absent.
func TestAbsentIsNotDamaged(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := prepared(t, mem, "spool")
	id := s.ID()
	must(t, s.Close())
	names, err := mem.List("spool")
	must(t, err)
	for _, name := range names {
		if name != "REVISION" {
			must(t, mem.Remove("spool/"+name))
		}
	}
	if _, err := wants(mem, "spool", id); !errors.Is(err, spool.ErrCorrupt) {
		t.Errorf("of a store only its revision is left: %v", err)
	}
}

// A store of before there were IDs is given one, and keeps what it has.
func TestIdentityOfAnOldStore(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := prepared(t, mem, "spool")
	first := s.ID()
	appendAll(t, s, numbered(1, 10))
	must(t, s.Close())
	db, err := pebble.Open("spool", &pebble.Options{FS: mem, FormatMajorVersion: pebble.FormatTableFormatV6})
	must(t, err)
	must(t, errors.Join(db.Delete([]byte{'I'}, pebble.Sync), db.Close()))

	if _, err := wants(mem, "spool", first); !errors.Is(err, spool.ErrOther) {
		t.Errorf("another is meant: %v", err)
	}
	s, err = wants(mem, "spool", "")
	must(t, err)
	id := s.ID()
	if id == "" || id == first || s.Pending(0, tenth) != 1 {
		t.Errorf("it has the ID %q, and %d events", id, s.Pending(0, tenth))
	}
	must(t, s.Close())
	s, err = wants(mem, "spool", id)
	must(t, err)
	must(t, s.Close())
}
