package batch_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// plant puts what somebody who may write to the store, and has no key of its log, can put: events of their own, and a manifest that follows the victim's
// first seal. It names the victim's key and has no note, or is signed by a key of theirs. It returns what was put.
func plant(t *testing.T, victim *installation, store *sinktest.Memory, signed bool) (keys []string) {
	t.Helper()
	thief, own := newInstallation(t), memory(t)
	mustExport(t, thief, thief.settings(own), writeLines(t, records("forged", 8, 7)...))
	m, err := seal.ParseManifest(own.Bytes(seal.ManifestKey("audit", 1)))
	if err != nil {
		t.Fatal(err)
	}
	m.Seal, m.Previous = 2, seal.Sum(store.Bytes(seal.ManifestKey("audit", 1)))
	if !signed {
		m.Key = victim.key.ID()
	}
	put := func(key string, data []byte) string {
		keys = append(keys, key)
		info, err := store.Put(context.Background(), sink.Object{
			Key: key, ContentType: "application/octet-stream", Size: int64(len(data)), SHA256: seal.Sum(data),
			Lock: sink.Lock{Mode: sink.Compliance, RetainUntil: now.Add(48 * time.Hour)}, Body: bytes.NewReader(data),
		})
		if err != nil {
			t.Fatal(err)
		}
		return info.Version
	}
	for i := range m.Files {
		m.Files[i].Version = put(m.Files[i].Key, own.Bytes(m.Files[i].Key))
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(seal.ManifestKey("audit", 2), data)
	if signed {
		note, err := seal.Note(data, thief.key)
		if err != nil {
			t.Fatal(err)
		}
		put(seal.NoteKey("audit", 2), note)
		put(seal.KeyKey(thief.key.ID()), thief.key.PublicPEM())
	}
	return keys
}

// Who may write to the store must not get the exporter to sign what never happened.
func TestAManifestThatIsNotOursIsNotSigned(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	mustExport(t, i, i.settings(store), writeLines(t, records("x", 9, 10)...))
	plant(t, i, store, false)
	next := writeLines(t, records("true", 10, 20)...)
	for range 2 {
		_, err := i.export(t, i.settings(store), next)
		var hint *sink.HintError
		if !errors.Is(err, sink.ErrConflict) || !errors.As(err, &hint) {
			t.Errorf("error %v", err)
		}
		if store.Bytes(seal.NoteKey("audit", 2)) != nil {
			t.Fatal("it was signed")
		}
	}
	// Only a person can tell that it is theirs after all.
	s := i.settings(store)
	s.TakeOver = true
	mustExport(t, i, s, next)
	if store.Bytes(seal.NoteKey("audit", 2)) == nil || store.Bytes(seal.NoteKey("audit", 3)) == nil {
		t.Error("it was not taken over")
	}
}

// What a stranger sealed stops the exporter, but not for longer than it lies in the store.
func TestAStrangersSealIsNotLearnt(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	mustExport(t, i, i.settings(store), writeLines(t, records("x", 9, 10)...))
	keys := plant(t, i, store, true)
	next := writeLines(t, records("true", 10, 20)...)
	if _, err := i.export(t, i.settings(store), next); !errors.Is(err, sink.ErrConflict) || !errors.Is(err, tlog.ErrUnknownKey) {
		t.Errorf("error %v", err)
	}
	for _, key := range keys {
		store.Erase(key)
	}
	store = store.Clone(t) // which does not hold us to the stranger's bytes
	mustExport(t, i, i.settings(store), next)
	mustHold(t, store, i, ids(append(records("x", 9, 10), records("true", 10, 20)...)...))
}
