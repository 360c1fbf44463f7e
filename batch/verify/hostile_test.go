package verify_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// nowhere takes everything and keeps nothing.
type nowhere struct{ sink.Store }

func (nowhere) Put(context.Context, sink.Object) (sink.Info, error) { return sink.Info{}, nil }

func holdLeaf() *logs.Leaf {
	day := seal.Date{Day: verifytest.Day(1)}
	return &logs.Leaf{Type: logs.TypeHold, Hold: &logs.HoldLeaf{Action: logs.HoldPut, Trail: "x", From: day, To: day, Reason: "r", By: "b"}}
}

func record16(data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
}

// endless is a store of which some objects never end, whatever their size is said to be.
type endless struct {
	*sinktest.Memory
	keys []string
}

type zeros struct{ read int64 }

func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	z.read += int64(len(p))
	return len(p), nil
}

func (e endless) Get(ctx context.Context, key, version string) (io.ReadCloser, error) {
	if slices.Contains(e.keys, key) {
		return io.NopCloser(&zeros{}), nil
	}
	return e.Memory.Get(ctx, key, version)
}

func TestObjectsThatNeverEnd(t *testing.T) {
	effort.NeedsLong(t)
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	s := store.Clone(t)
	s.Overwrite(logs.AnchorKey(23, "w", ".cosig"), []byte("x"), sink.Lock{})
	s.Overwrite(logs.AnchorKey(23, "w", ".tsr"), []byte("x"), sink.Lock{})
	parquet := strings.NewReplacer("csv/", "parquet/", ".csv.gz", ".parquet").Replace(firstCSV)
	e := endless{s, []string{
		firstCSV, firstEvidence, parquet, manifestKey(2), noteKey(3), seal.KeyKey(good.First.ID()), logs.CheckpointKey(5), logs.NextKey(5), "log/tile/0/000.p/5", "log/tile/entries/000.p/5",
		logs.AnchorKey(23, "w", ".cosig"), logs.AnchorKey(23, "w", ".tsr"),
	}}
	r := run(t, e, &verify.Options{Deep: true})
	want := []string{"checkpoint-invalid", "cosignature-invalid", "file-altered", "key-file-invalid", "log-altered", "manifest-invalid", "note-signature", "timestamp-invalid"}
	got := codes(r)
	for _, c := range want {
		if !slices.Contains(got, c) {
			t.Errorf("no finding %s in %q", c, got)
		}
	}
}

func TestHugeManifest(t *testing.T) {
	effort.NeedsLong(t)
	store := memory(t)
	verifytest.GoodStore(t, store, sink.Compliance)
	s := store.Clone(t)
	s.Replace(manifestKey(2), make([]byte, seal.MaxManifest+1))
	if diff := cmp.Diff([]string{"manifest-invalid"}, codes(run(t, s, nil))); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestPathOutOfTheStore(t *testing.T) {
	for _, key := range []string{"../../etc/passwd", "csv/class=standard/../../x", "/etc/passwd", `csv\x`} {
		s := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: verifytest.Day(1).Start}).Clone(t)
		b := verifytest.New(t, s, sink.Compliance)
		day := oneDay(1)
		day.Bytes = func(data []byte) []byte { return bytes.Replace(data, []byte(firstCSV), []byte(key), 1) }
		b.Seal(day)
		b.Publish()
		if diff := cmp.Diff([]string{"manifest-invalid"}, codes(run(t, s, nil))); diff != "" {
			t.Errorf("%s: findings (-want +got):\n%s", key, diff)
		}
	}
}
