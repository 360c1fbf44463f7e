package service_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"daybook/service"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// bucket is a store that tells how it is set up.
type bucket struct {
	*sinktest.Memory
	mu       sync.Mutex
	settings map[string]sink.Setting
	away     error
	looks    int
}

func (b *bucket) Inspect(context.Context) ([]sink.Setting, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks++
	var list []sink.Setting
	for _, name := range []string{"versioning", "lifecycle", "policy"} {
		s := b.settings[name]
		s.Name = name
		list = append(list, s)
	}
	if s, ok := b.settings[tier]; ok {
		list = append(list, s)
	}
	return list, b.away
}

const tier = "tier WARM"

// setTier is set of a tier, which a bucket has once that was called.
func (b *bucket) setTier(value, unknown string, away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settings[tier] = sink.Setting{Name: tier, Value: value, Unknown: unknown, Away: away}
}

func (b *bucket) set(name, value, unknown string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settings[name] = sink.Setting{Value: value, Unknown: unknown}
}

func (w *world) problemsOf(codes ...string) (found []service.Problem) {
	w.t.Helper()
	for _, p := range w.status().Problems {
		for _, code := range codes {
			if p.Code == code {
				found = append(found, p)
			}
		}
	}
	return found
}

// seen names the look that the status tells of.
func (w *world) seen() service.AcceptRequest {
	w.t.Helper()
	return service.AcceptRequest{Digest: w.status().Bucket.Digest}
}

// newBucketWorld makes a world whose store tells how its bucket is set up.
func newBucketWorld(t *testing.T) (*world, *bucket) {
	t.Helper()
	b := &bucket{settings: map[string]sink.Setting{}}
	w := newWorld(t, func(c *service.Config) {
		b.Memory = c.Batch.Store.(*sinktest.Memory)
		c.Batch.Store = b
	})
	w.people()
	return w, b
}

// What others change in the bucket is an alert until it is taken back, or accepted; and an event of the trail, once.
func TestBucketDrift(t *testing.T) {
	t.Parallel()
	w, b := newBucketWorld(t)
	look := func() *service.Drift {
		t.Helper()
		d, err := w.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	b.set("versioning", "Enabled", "")
	b.set("lifecycle", "none", "")
	b.set("policy", "", "403 AccessDenied")
	look()
	b.set("policy", "none", "") // the right to read it came later, and is no change
	if d := look(); len(d.Changes) != 0 || len(w.problemsOf("bucket-changed", "bucket-unread")) != 0 {
		t.Fatalf("without a change: %+v", d)
	}

	b.set("lifecycle", "ID=evil Expiration.Days=1", "")
	look()
	look()
	if p := w.problemsOf("bucket-changed"); len(p) != 1 || p[0].Level != service.LevelAlert || !strings.Contains(p[0].Text, "lifecycle: added ID=evil") || !strings.Contains(p[0].Hint, "bucket accept") {
		t.Fatalf("problems %+v", p)
	}
	if !strings.Contains(w.scrape(), "\ndaybook_bucket_changes 1\n") {
		t.Error("no metric tells of it")
	}
	b.away = errors.New("nothing answers")
	if d := look(); d.Error == "" || len(d.Changes) != 1 {
		t.Errorf("while the store is away: %+v", d)
	}
	if p := w.problemsOf("bucket-unseen"); len(p) != 1 || p[0].Level != service.LevelWarning || !strings.Contains(p[0].Text, "nothing answers") {
		t.Errorf("while the store is away, problems %+v", p)
	}
	unseen := func(want string) {
		t.Helper()
		if !strings.Contains(w.scrape(), "\ndaybook_bucket_unseen "+want+"\n") {
			t.Errorf("the metric of a bucket that is not seen is not %s", want)
		}
	}
	unseen("1")
	w.call(w.alice, http.MethodPost, "/v1/bucket/accept", w.seen(), http.StatusInternalServerError, nil)
	b.away = nil
	b.set("lifecycle", "none", "")
	if d := look(); len(d.Changes) != 0 || len(w.problemsOf("bucket-unseen")) != 0 {
		t.Errorf("once it is taken back: %+v", d)
	}
	unseen("0")

	b.set("policy", "", "403 AccessDenied")
	look()
	if p := w.problemsOf("bucket-unread"); len(p) != 1 || p[0].Level != service.LevelWarning {
		t.Errorf("problems %+v", p)
	}
	var d service.Drift
	w.call(w.alice, http.MethodPost, "/v1/bucket/accept", w.seen(), http.StatusOK, &d)
	if len(d.Changes) != 0 || len(w.problemsOf("bucket-unread", "bucket-changed")) != 0 {
		t.Errorf("once it is accepted: %+v", d)
	}
	w.shut()
	w.open() // what was accepted outlives the process
	if d := look(); len(d.Changes) != 0 {
		t.Errorf("after a restart: %+v", d)
	}

	w.clock.move(26 * time.Hour)
	if p := w.problemsOf("bucket-unseen"); len(p) != 1 || !strings.Contains(p[0].Text, "was last looked at") {
		t.Errorf("a day after the last look, problems %+v", p)
	}
	unseen("1")
	look()
	if p := w.problemsOf("bucket-unseen"); len(p) != 0 {
		t.Errorf("after a look, problems %+v", p)
	}
	w.heartbeat()
	w.roll()
	rows := w.evidence(w.manifests("audit")[0])
	if n := strings.Count(rows, `"action":"daybook.store.change"`); n != 2 || !strings.Contains(rows, "ID=evil") {
		t.Errorf("%d changes in the trail:\n%s", n, rows)
	}
	if n := strings.Count(rows, `"action":"daybook.store.accept"`); n != 1 {
		t.Errorf("%d acceptings in the trail", n)
	}
}

// A tier whose server is away is not changed: what was known of it stands until it can be asked.
func TestTierAway(t *testing.T) {
	t.Parallel()
	w, b := newBucketWorld(t)
	const locks, none, away = "Object Lock, default retention COMPLIANCE, 30 days", "no Object Lock", "its server does not answer"
	look := func(when string, changes, unseen int) {
		t.Helper()
		d, err := w.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Changes) != changes || len(w.problemsOf("bucket-changed", "bucket-unread")) != changes || len(w.problemsOf("bucket-unseen")) != unseen {
			t.Errorf("%s: %+v, problems %+v", when, d, w.status().Problems)
		}
		if text := fmt.Sprintf("\ndaybook_bucket_unseen %d\n", unseen); !strings.Contains(w.scrape(), text) {
			t.Errorf("%s: the metrics have no %q", when, text)
		}
	}
	b.setTier("", away, true)
	look("away at the first look", 0, 1)
	b.setTier(locks, "", false)
	look("it answers", 0, 0)
	b.setTier("", away, true)
	look("away", 0, 1)
	if p := w.problemsOf("bucket-unseen"); len(p) == 1 && !strings.Contains(p[0].Text, tier+": "+away) {
		t.Errorf("the problem does not tell the tier: %+v", p)
	}
	b.setTier("", "503 SlowDown", true)
	look("too busy", 0, 1)
	b.setTier(locks, "", false)
	look("as it was", 0, 0)
	b.setTier(none, "", false)
	look("otherwise than before", 1, 0)
	b.setTier("", away, true)
	look("away while it is changed", 1, 1)

	// What is accepted is the change that was told; and of the rest of the bucket nothing waits for the tier.
	b.set("policy", "Allow", "")
	look("away while the policy is changed as well", 2, 1)
	w.call(w.alice, http.MethodPost, "/v1/bucket/accept", w.seen(), http.StatusOK, nil)
	look("accepted", 0, 1)
	b.setTier(none, "", false)
	look("as it was accepted", 0, 0)
	b.setTier("", "403 AccessDenied", false)
	look("the right to read it is gone", 1, 0)
	b.setTier("", away, true)
	look("away after that", 1, 1)
	w.call(w.alice, http.MethodPost, "/v1/bucket/accept", w.seen(), http.StatusOK, nil)
	b.setTier("", "403 AccessDenied", false)
	look("that it can't be read was accepted", 0, 0)
	b.setTier(locks, "", false)
	look("it can be read, and is not what was accepted", 1, 0)

	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	if n := strings.Count(w.evidence(w.manifests("audit")[0]), `"action":"daybook.store.change"`); n != 4 {
		t.Errorf("%d changes in the trail, want 4", n)
	}
}

// A store that can't tell how it is set up is not looked at, and there is nothing to accept.
func TestNoBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	if d, err := w.Inspect(t.Context()); d != nil || err != nil {
		t.Errorf("%+v, %v", d, err)
	}
	w.call(w.alice, http.MethodPost, "/v1/bucket/accept", nil, http.StatusBadRequest, nil)
}

// The alert and the event show what was changed, however much of the setting is as it was.
func TestBucketDriftShown(t *testing.T) {
	t.Parallel()
	w, b := newBucketWorld(t)
	look := func() {
		t.Helper()
		if _, err := w.Inspect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var rules []string
	for i := range 40 {
		rules = append(rules, fmt.Sprintf("ID=ours-%02d Expiration.Days=2558 Filter.Prefix=prod/csv/", i))
	}
	policy := `{"Statement":[{"Resource":"` + strings.Repeat("é", 500) + `"},{"Effect":"%s","Action":"s3:*"}]}`
	b.set("lifecycle", strings.Join(rules, "\n"), "")
	b.set("policy", fmt.Sprintf(policy, "Deny"), "")
	look()
	b.set("lifecycle", strings.Join(append(rules[:39:39], "ID=zz-evil Expiration.Days=1"), "\n"), "")
	b.set("policy", fmt.Sprintf(policy, "Allow"), "")
	look()
	var texts []string
	for _, p := range w.problemsOf("bucket-changed") {
		texts = append(texts, p.Text)
	}
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	for where, text := range map[string]string{"the alerts": strings.Join(texts, "\n"), "the event": w.evidence(w.manifests("audit")[0])} {
		for _, want := range []string{"ID=zz-evil Expiration.Days=1", "ID=ours-39", "Deny", "Allow"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s do not tell %s:\n%s", where, want, text)
			}
		}
		if strings.Contains(text, "ID=ours-00") || strings.Contains(text, "\ufffd") {
			t.Errorf("%s tell a rule that stayed, or half a letter:\n%s", where, text)
		}
	}
}

// The bucket is looked at daily, though nothing says when to verify; a look that failed is made again within the hour.
func TestBucketLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64 // the clock is ahead by so much: the engine wakes ten times a second, a million times a day
		b := &bucket{settings: map[string]sink.Setting{}}
		w := newWorld(t, func(c *service.Config) {
			b.Memory = c.Batch.Store.(*sinktest.Memory)
			c.Batch.Store, c.Batch.Now, c.Steady = b, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Schedule(ctx) }()
		looks := func(after time.Duration) int {
			time.Sleep(after)
			synctest.Wait()
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.looks
		}
		if n := looks(2 * time.Hour); n != 1 {
			t.Errorf("%d looks at the start", n)
		}
		ahead.Add(int64(20 * time.Hour))
		if n := looks(30 * time.Minute); n != 1 {
			t.Errorf("%d looks within 23 hours", n)
		}
		b.mu.Lock()
		b.away = errors.New("nothing answers")
		b.mu.Unlock()
		if n := looks(2 * time.Hour); n < 2 {
			t.Errorf("%d looks within 25 hours", n)
		}
		before := looks(0)
		if n := looks(time.Hour); n != before+1 {
			t.Errorf("%d looks after one that failed, %d before", n, before)
		}
		b.mu.Lock()
		b.away = nil
		b.mu.Unlock()
		b.setTier("", "its server does not answer", true)
		if n := looks(2 * time.Hour); n != before+3 {
			t.Errorf("%d looks once a tier alone is away, %d before", n, before)
		}
		b.setTier("", "", false)
		before = looks(2 * time.Hour)
		ahead.Add(int64(-40 * 24 * time.Hour))
		if n := looks(time.Hour); n != before+1 {
			t.Errorf("%d looks once the clock was set back, %d before", n, before)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.shut()
	})
}

// Only what was seen is accepted; and that a setting can't be read does not make it forgotten.
func TestBucketAccept(t *testing.T) {
	t.Parallel()
	w, b := newBucketWorld(t)
	look := func() (texts []string) {
		t.Helper()
		if _, err := w.Inspect(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, p := range w.problemsOf("bucket-changed", "bucket-unread") {
			texts = append(texts, p.Code+" "+p.Text)
		}
		return texts
	}
	b.set("policy", "Deny", "")
	look()
	b.set("policy", "Allow", "")
	looked := w.seen()
	data, code := w.try(w.alice, http.MethodPost, "/v1/bucket/accept", looked)
	if code != http.StatusConflict || !strings.Contains(string(data), "policy: was Deny, is Allow") {
		t.Errorf("what nobody saw was accepted: %d %s", code, data)
	}
	if p := look(); len(p) != 1 {
		t.Errorf("problems %q", p)
	}
	if _, code := w.try(w.alice, http.MethodPost, "/v1/bucket/accept", looked); code != http.StatusConflict {
		t.Errorf("what was seen of another look was accepted: %d", code)
	}
	w.call(w.alice, http.MethodPost, "/v1/bucket/accept", w.seen(), http.StatusOK, nil)

	const denied = "403 AccessDenied"
	b.set("policy", "", denied)
	look()
	w.call(w.alice, http.MethodPost, "/v1/bucket/accept", w.seen(), http.StatusOK, nil)
	if p := look(); len(p) != 0 {
		t.Errorf("that it can't be read was accepted: %q", p)
	}
	w.call(w.alice, http.MethodPost, "/v1/bucket/accept", w.seen(), http.StatusOK, nil) // twice
	b.set("policy", "evil", "")
	if p := look(); len(p) != 1 || !strings.Contains(p[0], "was Allow, is evil") {
		t.Errorf("what it was is forgotten: %q", p)
	}
	b.set("policy", "", denied)
	if p := look(); len(p) != 1 || !strings.HasPrefix(p[0], "bucket-unread") {
		t.Errorf("unread again, problems %q", p)
	}
	b.set("policy", "Allow", "")
	if p := look(); len(p) != 0 {
		t.Errorf("as it was accepted: %q", p)
	}
}
