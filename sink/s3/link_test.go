package s3_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"daybook/sink"
	"daybook/sink/s3"
)

func TestLinkSendsNothing(t *testing.T) {
	f := newFake(t)
	s := open(t, "s3://bucket/audit", f.options(t, sink.None))
	before := time.Now()
	link, err := s.Link(t.Context(), "a/b.csv.gz", "v7", `größe "1".csv.gz`, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link.URL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Path != "/bucket/audit/a/b.csv.gz" || q.Get("versionId") != "v7" || q.Get("X-Amz-Expires") != "3600" || q.Get("response-content-disposition") != "attachment; filename*=utf-8''gr%C3%B6%C3%9Fe%20%221%22.csv.gz" {
		t.Errorf("link %s", link.URL)
	}
	if d := link.Until.Sub(before); d < time.Hour-2*time.Second || d > time.Hour+time.Minute {
		t.Errorf("until %v", link.Until)
	}
	if sent := f.took(); len(sent) > 0 {
		t.Errorf("sent %v", sent)
	}
	for _, expires := range []time.Duration{0, -time.Hour, time.Millisecond, s3.MaxLink + time.Second} {
		if _, err := s.Link(t.Context(), "a", "", "a", expires); err == nil {
			t.Errorf("a link for %s", expires)
		}
	}
	if _, err := s.Link(t.Context(), "../a", "", "a", time.Hour); err == nil {
		t.Error("a link out of the store")
	}
}

func TestLinkWithoutCredentials(t *testing.T) {
	environment(t, nil)
	f := newFake(t)
	s := open(t, "s3://bucket", &s3.Options{Unlocked: true, Endpoint: f.URL, Region: "us-east-1"})
	if link, err := s.Link(t.Context(), "a", "", "a", time.Hour); err == nil || strings.Contains(link.URL, "http") {
		t.Errorf("Link = %+v, %v", link, err)
	}
}
