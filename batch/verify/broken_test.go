package verify_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"testing"

	"daybook/batch/seal"
	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// broken is a store whose listings end with an error after so many entries.
type broken struct {
	*sinktest.Memory
	left int
}

var errBroken = errors.New("the connection was reset")

func (b *broken) Versions(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		for e, err := range b.Memory.Versions(ctx, prefix) {
			if b.left--; b.left < 0 {
				yield(sink.Entry{}, errBroken)
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// What a listing that breaks off does not have may be there: it is never told as missing.
func TestListingThatBreaksOff(t *testing.T) {
	effort.NeedsLongOrThorough(t)
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	witness := verifytest.NewWitness(t, "a.example")
	store.Overwrite("log/anchors/000000000023/a.cosig", witness.Cosign(good.Head, verifytest.Now), store.History("log/checkpoints/000000000023")[0].Lock)
	o := verify.Options{
		Now: now, Keys: []seal.PublicKey{good.First.Public()}, Checkpoints: [][]byte{good.Head, good.Earlier}, Policy: verifytest.Policy(good.Second.Public(), witness), Deep: true,
	}
	stride := 7
	if effort.Thorough() {
		stride = 1
	}
	told := map[string]int{}
	for i := 1; ; i += stride {
		s := &broken{store, i}
		report, err := verify.Run(t.Context(), s, &o)
		if err != nil {
			t.Fatalf("after %d entries: %v", i, err)
		}
		if s.left >= 0 {
			if report.ExitCode() != 0 {
				t.Errorf("whole: exit code %d, found %q", report.ExitCode(), codes(report))
			}
			break
		}
		for _, f := range report.Findings {
			if f.Status == verify.Altered {
				told[f.Code]++
			}
		}
		if report.ExitCode() != 3 || !has(report, "list-failed") {
			t.Errorf("after %d entries: exit code %d, found %q", i, report.ExitCode(), codes(report))
		}
	}
	if len(told) > 0 {
		t.Errorf("told as altered: %v", slices.Sorted(maps.Keys(told)))
	}
}
