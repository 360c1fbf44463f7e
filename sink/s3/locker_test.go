package s3_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"daybook/sink"
)

// TestWireOfHolds holds what goes over the wire: a hold and a longer lock are of one version, and never with the right to bypass.
func TestWireOfHolds(t *testing.T) {
	f := newFake(t)
	s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
	o := object("a", "x", sink.Compliance)
	o.Hold = true
	info, err := s.Put(t.Context(), o)
	if err != nil || !info.Held {
		t.Fatalf("Put = %+v, %v", info, err)
	}
	for _, r := range f.took() {
		if got := r.header.Get("X-Amz-Object-Lock-Legal-Hold"); (got == "ON") != (r.method == "PUT") {
			t.Errorf("%v: legal hold %q", r, got)
		}
	}
	until := time.Date(2099, 3, 10, 0, 0, 0, 1, time.UTC)
	if info, err = s.Lengthen(t.Context(), "a", "", sink.Lock{Mode: sink.Compliance, RetainUntil: until}); err != nil || info.Lock.RetainUntil != until.Add(time.Second-1) {
		t.Fatalf("Lengthen = %+v, %v", info, err)
	}
	if info, err = s.Hold(t.Context(), "a", "", false); err != nil || info.Held {
		t.Fatalf("Hold(false) = %+v, %v", info, err)
	}
	want := []string{
		"HEAD /bucket/audit/a", "PUT /bucket/audit/a?retention=&versionId=v1", "HEAD /bucket/audit/a?versionId=v1",
		"HEAD /bucket/audit/a", "PUT /bucket/audit/a?legal-hold=&versionId=v1", "HEAD /bucket/audit/a?versionId=v1", "GET /bucket/audit/a?legal-hold=&versionId=v1",
	}
	requests := f.took()
	if got := strings.Join(strings.Fields(fmt.Sprint(requests)), " "); got != "["+strings.Join(want, " ")+"]" {
		t.Errorf("requests %s\nwant     %v", got, want)
	}
	for _, r := range requests {
		if r.header.Get("X-Amz-Bypass-Governance-Retention") != "" || r.method == "PUT" && r.header.Get("Content-Md5") == "" {
			t.Errorf("%v: headers %v", r, r.header)
		}
	}
}

// TestHoldNotKept meets stores that take a hold, or a longer lock, and do not show it.
func TestHoldNotKept(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *fakeBucket)
		hint   string
	}{
		"forgets": {func(b *fakeBucket) { b.ignoresLock = true }, "s3:GetObjectLegalHold"},
		"hides":   {func(b *fakeBucket) { b.mayNotSeeHold = true }, "s3:GetObjectLegalHold"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
			if _, err := s.Put(t.Context(), object("a", "x", sink.Compliance)); err != nil {
				t.Fatal(err)
			}
			f.change(c.change)
			_, err := s.Hold(t.Context(), "a", "", true)
			if !errors.Is(err, sink.ErrHold) || !strings.Contains(hint(err), c.hint) {
				t.Errorf("Hold = %v (%s)", err, hint(err))
			}
			if name == "forgets" {
				return
			}
			held := object("b", "x", sink.Compliance)
			held.Hold = true
			if _, err := s.Put(t.Context(), held); !errors.Is(err, sink.ErrHold) {
				t.Errorf("Put = %v", err)
			}
		})
	}
	f := newFake(t)
	s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
	f.fail(fault{method: "PUT", query: "legal-hold", times: -1, status: 403, code: "AccessDenied"})
	if _, err := s.Put(t.Context(), object("a", "x", sink.Compliance)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold(t.Context(), "a", "", true); err == nil || !strings.Contains(hint(err), "s3:PutObjectLegalHold") {
		t.Errorf("Hold without the right to = %v (%s)", err, hint(err))
	}
}
