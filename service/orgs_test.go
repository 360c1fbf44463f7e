package service_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"daybook/service"
)

// of makes an admin or a viewer of an org.
func (w *world) of(org, name, role string) (token string) {
	w.t.Helper()
	var made service.Made
	w.call("", http.MethodPost, "/v1/admins", service.AdminRequest{Name: name, Role: role, Org: org}, http.StatusOK, &made)
	return made.Secret
}

// tellsOneOrg wants a text in the status that who sees one org alone is not told.
func (w *world) tellsOneOrg(never string) {
	w.t.Helper()
	one, code := w.try(w.of("acme", "bound", "viewer"), http.MethodGet, "/v1/status", nil)
	all, _ := w.try("", http.MethodGet, "/v1/status", nil)
	if code != http.StatusOK || !strings.Contains(string(all), never) || strings.Contains(string(one), never) {
		w.t.Errorf("to whom one org is shown: %d %s, to others %s", code, one, all)
	}
}

// An admin of one org learns nothing of another, and does nothing to it: what is another's answers as what is not there.
func TestOtherOrgs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.call(w.alice, http.MethodPost, "/v1/trails/theirs/enable", service.EnableRequest{Org: "acme", Formats: []string{"csv"}}, http.StatusOK, nil)
	var made service.Made
	w.call(w.alice, http.MethodPost, "/v1/tokens", service.TokenRequest{Org: "acme", Source: "secret-source"}, http.StatusOK, &made)
	theirs := w.of("acme", "carol", "admin")
	mallory := w.of("globex", "mallory", "admin")
	for _, c := range []struct {
		method, there, nowhere string
		in                     any
	}{
		{http.MethodPost, "/v1/trails/theirs/disable", "/v1/trails/nothere/disable", service.DisableRequest{Reason: "x"}},
		{http.MethodPost, "/v1/trails/theirs/approve", "/v1/trails/nothere/approve", nil},
		{http.MethodPost, "/v1/trails/theirs/enable", "/v1/trails/nothere/enable", nil},
		{http.MethodPost, "/v1/trails/audit/enable", "/v1/trails/nothere/enable", nil},
		{http.MethodPost, "/v1/trails/theirs/enable", "/v1/trails/nothere/enable", service.EnableRequest{Org: "acme"}},
		{http.MethodPost, "/v1/trails/audit/enable", "/v1/trails/nothere/enable", service.EnableRequest{Org: "acme"}},
		{http.MethodDelete, "/v1/tokens/" + made.ID + "?reason=x", "/v1/tokens/nothere?reason=x", nil},
		{http.MethodDelete, "/v1/admins/carol?reason=x", "/v1/admins/nothere?reason=x", nil},
		{http.MethodGet, "/v1/status?trail=theirs", "/v1/status?trail=nothere", nil},
	} {
		there, code := w.try(mallory, c.method, c.there, c.in)
		nowhere, want := w.try(mallory, c.method, c.nowhere, c.in)
		name := strings.NewReplacer("theirs", "X", "audit", "X", "carol", "X", made.ID, "X", "nothere", "X")
		if code != want || code < 400 || name.Replace(string(there)) != name.Replace(string(nowhere)) {
			t.Errorf("%s %s: %d %s, of what is not there %d %s", c.method, c.there, code, there, want, nowhere)
		}
	}
	// That a name is taken can't be hidden, but whose it is can.
	for _, name := range []string{"theirs", "audit"} {
		data, code := w.try(mallory, http.MethodPost, "/v1/trails/"+name+"/enable", service.EnableRequest{Org: "globex"})
		if code != http.StatusConflict || strings.Contains(string(data), "acme") {
			t.Errorf("%s: %d %s", name, code, data)
		}
	}
	w.store.FailKey("put", "trail=theirs", fault503)
	w.clock.move(20 * time.Hour)
	if err := w.Roll(t.Context(), false); err == nil {
		t.Fatal("nothing failed")
	}
	w.call(w.sender, http.MethodPost, "/v1/events", event("e1", begun)+"\nno JSON", http.StatusOK, nil)
	for _, path := range []string{"/v1/status", "/v1/trails", "/v1/tokens", "/v1/admins"} {
		data, code := w.try(mallory, http.MethodGet, path, nil)
		if code != http.StatusOK || strings.Contains(string(data), "theirs") || strings.Contains(string(data), "acme") || strings.Contains(string(data), w.config.Batch.Data) {
			t.Errorf("%s: %d %s", path, code, data)
		}
		if data, code := w.try(theirs, http.MethodGet, path, nil); code != http.StatusOK || !strings.Contains(string(data), "acme") {
			t.Errorf("%s of the org's own: %d %s", path, code, data)
		}
	}
	var st service.Status
	w.call(mallory, http.MethodGet, "/v1/status", nil, http.StatusOK, &st)
	if st.Quarantined != nil || st.NotTracked != nil {
		t.Errorf("what came of every org is counted for one: %v %v", st.Quarantined, st.NotTracked)
	}
	if whole := w.status(); whole.Quarantined == nil || *whole.Quarantined != 1 || whole.NotTracked == nil {
		t.Errorf("of every org are counted %v %v", whole.Quarantined, whole.NotTracked)
	}
	if st.Level != service.LevelAlert {
		data, _ := json.Marshal(st)
		t.Errorf("an alert is not told: %s", data)
	}
}

// Whoever makes a token is warned where no trail would take what it sends: none of its org is there, or none is on.
func TestTokenThatNoTrailTakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	warning := func(org string) string {
		t.Helper()
		var made service.Made
		w.call(w.alice, http.MethodPost, "/v1/tokens", service.TokenRequest{Org: org, Source: "other"}, http.StatusOK, &made)
		if made.Secret == "" || (made.Warning == "") != (made.Hint == "") {
			t.Errorf("made %+v", made)
		}
		return made.Warning
	}
	const text = `no trail of the org "globex" is on: what the token sends is answered as not tracked, and is not kept`
	if got := warning("acme"); got != "" {
		t.Errorf("of an org that has a trail: %s", got)
	}
	if got := warning("globex"); got != text {
		t.Errorf("of an org that has none: %s", got)
	}
	w.call(w.alice, http.MethodPost, "/v1/trails/other/enable", service.EnableRequest{Org: "globex"}, http.StatusOK, nil)
	if got := warning("globex"); got != "" {
		t.Errorf("once it has one: %s", got)
	}
	w.call(w.alice, http.MethodPost, "/v1/trails/other/disable", service.DisableRequest{Reason: "x"}, http.StatusOK, nil)
	w.call(w.bob, http.MethodPost, "/v1/trails/other/approve", nil, http.StatusOK, nil)
	w.clock.move(2 * time.Hour)
	if got := warning("globex"); got != text {
		t.Errorf("while it is off: %s", got)
	}
}

// A viewer looks at the status, and at nothing else.
func TestViewer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	viewer := w.of("*", "monitor", "viewer")
	w.call(viewer, http.MethodGet, "/v1/status", nil, http.StatusOK, nil)
	w.call(viewer, http.MethodGet, "/v1/trails", nil, http.StatusOK, nil)
	w.call(viewer, http.MethodGet, "/v1/tokens", nil, http.StatusForbidden, nil)
	w.call(viewer, http.MethodGet, "/v1/admins", nil, http.StatusForbidden, nil)
	w.call(viewer, http.MethodPost, "/v1/roll", nil, http.StatusForbidden, nil)
	w.call(viewer, http.MethodPost, "/v1/tokens", service.TokenRequest{Org: "acme", Source: "x"}, http.StatusForbidden, nil)
}

// The metrics name every org: through a proxy on this machine, or with the token of one org, they are not told.
func TestMetricsOfEveryOrg(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	address, stop := w.serve()
	get := func(token, header string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		if header != "" {
			req.Header.Set(header, "192.0.2.1")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	one, all := w.of("acme", "carol", "viewer"), w.of("*", "monitor", "viewer")
	for _, c := range []struct {
		token, header string
		want          int
	}{
		{"", "", http.StatusOK}, {"", "X-Forwarded-For", http.StatusUnauthorized}, {"", "Forwarded", http.StatusUnauthorized},
		{one, "X-Forwarded-For", http.StatusForbidden}, {all, "X-Forwarded-For", http.StatusOK},
	} {
		if got := get(c.token, c.header); got != c.want {
			t.Errorf("with token %.7s and header %q: %d, want %d", c.token, c.header, got, c.want)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// Of a trail that is off for a time one admin can't make a lesser one: what was approved by two was that it comes back as it was.
func TestEnableLess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.call(w.alice, http.MethodPost, "/v1/trails/wide/enable", service.EnableRequest{Org: "acme", Formats: []string{"csv"}}, http.StatusOK, nil)
	until := begun.Add(12 * time.Hour)
	w.call(w.alice, http.MethodPost, "/v1/trails/wide/disable", service.DisableRequest{Reason: "load test", Until: &until}, http.StatusOK, nil)
	w.call(w.bob, http.MethodPost, "/v1/trails/wide/approve", nil, http.StatusOK, nil)
	w.clock.move(2 * time.Hour)
	w.call(w.alice, http.MethodPost, "/v1/trails/wide/enable", service.EnableRequest{Org: "acme", Formats: []string{"csv"}, Projects: []string{"none"}}, http.StatusConflict, nil)
	w.call(w.alice, http.MethodPost, "/v1/trails/wide/enable", nil, http.StatusOK, nil)
}
