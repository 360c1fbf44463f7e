package receiver_test

import (
	"runtime"
	"testing"
	"weak"

	"daybook/batch/intake/receiver"
)

// A handler lets go of the one in whose place it came: a service makes one at each reload, and must not keep all of them.
func TestAHandlerLetsGoOfTheOneBefore(t *testing.T) {
	made := func(after *receiver.Handler) *receiver.Handler {
		h, err := receiver.New(&backend{t: t}, credentials{}, settings(t), &receiver.Options{After: after})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	before, second := func() (weak.Pointer[receiver.Handler], *receiver.Handler) {
		first := made(nil)
		return weak.Make(first), made(first)
	}()
	runtime.GC()
	if before.Value() != nil {
		t.Error("the handler before is kept")
	}
	runtime.KeepAlive(second)
}
