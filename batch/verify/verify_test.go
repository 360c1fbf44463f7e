package verify_test

import (
	"bytes"
	"testing"
	"time"

	"daybook/batch/seal"
	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/sink"
	"daybook/sink/file"
	"daybook/sink/sinktest"
)

func memory(t *testing.T) *sinktest.Memory {
	return sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return verifytest.Day(1).Start() }})
}

func now() time.Time { return verifytest.Now }

// run verifies a store, and prints the report if the test fails.
func run(t *testing.T, store sink.Store, o *verify.Options) *verify.Report {
	t.Helper()
	if o == nil {
		o = &verify.Options{}
	}
	o.Now = now
	r, err := verify.Run(t.Context(), store, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			var b bytes.Buffer
			if err := r.WriteText(&b); err != nil {
				t.Error(err)
			}
			t.Log(b.String())
		}
	})
	return r
}

func TestGoodStoreInMemory(t *testing.T) {
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	for name, o := range map[string]*verify.Options{
		"nothing in hand": {},
		"first key":       {Keys: []seal.PublicKey{good.First.Public()}},
		"second key":      {Keys: []seal.PublicKey{good.Second.Public()}},
		"head":            {Checkpoints: [][]byte{good.Head}},
		"earlier":         {Checkpoints: [][]byte{good.Earlier}},
		"deep":            {Deep: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, store, o)
			if r.ExitCode() != 0 || !r.Levels.Files.Intact || !r.Levels.Chain.Intact || !r.Levels.Chain.Logged || !r.Levels.Files.Locks {
				t.Errorf("exit code %d, levels %+v", r.ExitCode(), r.Levels)
			}
			if (len(r.Levels.Chain.VouchedBy) > 0) != (len(o.Keys) > 0) {
				t.Errorf("vouched for by %q", r.Levels.Chain.VouchedBy)
			}
			if anchored := name == "head"; r.Levels.Head.Anchored != anchored {
				t.Errorf("anchored: %v", r.Levels.Head.Anchored)
			}
		})
	}
}

func folder(t *testing.T) *file.Store {
	t.Helper()
	store, err := file.New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Preflight(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func TestGoodStoreInAFolder(t *testing.T) {
	store := folder(t)
	verifytest.GoodStore(t, store, sink.None)
	r := run(t, store, nil)
	if r.ExitCode() != 0 || !r.Levels.Files.Intact || !r.Levels.Chain.Intact {
		t.Errorf("exit code %d, levels %+v", r.ExitCode(), r.Levels)
	}
}
