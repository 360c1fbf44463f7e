package control_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/control"
)

func TestSecretDoesNotPrint(t *testing.T) {
	w := newWorld(t)
	_, secret, err := w.CreateToken(alice, "acme", "app", time.Time{})
	must(t, err)
	if !regexp.MustCompile(`^dbt_[a-z2-7]{12}_[A-Za-z0-9_-]{43}$`).MatchString(secret.Reveal()) {
		t.Errorf("a sender's secret is %s", secret.Reveal())
	}
	admin, err := w.CreateAdmin(alice, "eve", control.RoleAdmin, "*", time.Time{})
	must(t, err)
	if !regexp.MustCompile(`^dba_[a-z2-7]{12}_[A-Za-z0-9_-]{43}$`).MatchString(admin.Reveal()) {
		t.Errorf("an admin's secret is %s", admin.Reveal())
	}
	wrapped := struct {
		S control.Secret
		s control.Secret
	}{secret, secret}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "secret", secret, "in", wrapped)
	slog.New(slog.NewTextHandler(&log, nil)).Info("made", "secret", secret, "in", wrapped)
	asJSON, err := json.Marshal(wrapped)
	must(t, err)
	random := secret.Reveal()[len("dbt_")+12+1:]
	for _, text := range []string{
		log.String(), string(asJSON), fmt.Sprint(secret), fmt.Sprintf("%+v %#v %s %q %x %d", secret, secret, secret, secret, secret, secret),
		fmt.Sprintf("%v %+v %#v", wrapped, wrapped, wrapped), fmt.Sprint(&secret),
	} {
		if strings.Contains(text, random) || strings.Contains(text, fmt.Sprintf("%x", random)) {
			t.Errorf("the secret shows in %s", text)
		}
	}
	if got := fmt.Sprint(secret); got != "[redacted]" {
		t.Errorf("a secret prints as %s", got)
	}
	if got := (control.Secret{}).Reveal(); got != "" {
		t.Errorf("the zero secret is %q", got)
	}
}

// Neither the journal nor an event nor what is listed has a secret.
func TestSecretsAreNotKept(t *testing.T) {
	w := newWorld(t)
	must(t, w.Enable(alice, acme, w.today(), false))
	var secrets []string
	for i := range 10 {
		_, s, err := w.CreateToken(alice, "acme", fmt.Sprintf("app%d", i), time.Time{})
		must(t, err)
		a, err := w.CreateAdmin(alice, fmt.Sprintf("admin%d", i), control.RoleViewer, "acme", time.Time{})
		must(t, err)
		secrets = append(secrets, s.Reveal(), a.Reveal())
	}
	kept := bytes.NewBuffer(read(t, w.journal()))
	for own, err := range w.Events(0) {
		must(t, err)
		kept.Write(own.Event.AppendJSON(nil))
	}
	fmt.Fprintf(kept, "%+v %+v", w.Tokens(), w.Admins())
	for i, s := range secrets {
		random := s[len("dbt_")+12+1:]
		if bytes.Contains(kept.Bytes(), []byte(random)) {
			t.Errorf("secret %d is kept", i)
		}
		for j := range secrets[:i] {
			if s == secrets[j] || s[4:16] == secrets[j][4:16] {
				t.Error("two secrets are alike")
			}
		}
	}
}

func TestTokens(t *testing.T) {
	w := newWorld(t)
	noon := morning.Add(4 * hour)
	refuse := func(org, source string, expires time.Time) {
		t.Helper()
		n := w.Version()
		_, s, err := w.CreateToken(alice, org, source, expires)
		refused(t, err, control.ErrInvalid)
		if s.Reveal() != "" || w.Version() != n {
			t.Error("what was refused gave something")
		}
	}
	refuse("*", "app", time.Time{})
	refuse("", "app", time.Time{})
	refuse("acme", "", time.Time{})
	refuse("acme", "daybook", time.Time{})
	refuse("acme", "Daybook", time.Time{})
	refuse("acme", "app", morning)
	refuse("acme", "app", morning.Add(-1))

	app, appSecret, err := w.CreateToken(alice, "acme", "app", noon)
	must(t, err)
	if want := (control.Token{ID: app.ID, Org: "acme", Source: "app", Created: morning, CreatedBy: alice, Expires: noon}); app != want {
		t.Errorf("token is %+v, want %+v", app, want)
	}
	if got := appSecret.Reveal()[4:16]; got != app.ID {
		t.Errorf("the secret has id %s, the token %s", got, app.ID)
	}
	cron, cronSecret, err := w.CreateToken(alice, "acme", "cron", time.Time{})
	must(t, err)
	_, _, err = w.CreateToken(alice, "acme", "cron", time.Time{}) // a second of the same source, to change over to
	must(t, err)
	_, _, err = w.CreateToken(alice, "beta", "beta-app", time.Time{})
	must(t, err)
	admin, err := w.CreateAdmin(alice, "eve", control.RoleAdmin, "acme", time.Time{})
	must(t, err)

	sends := func(secret control.Secret, want control.Sender, wantErr error) {
		t.Helper()
		got, err := w.Sender(secret.Reveal())
		if got != want || !is(err, wantErr) {
			t.Errorf("sender is %+v, %v, want %+v, %v", got, err, want, wantErr)
		}
	}
	appSender := control.Sender{TokenID: app.ID, Org: "acme", Source: "app"}
	sends(appSecret, appSender, nil)
	sends(admin, control.Sender{}, control.ErrWrongKind)
	if _, err := w.Admin(appSecret.Reveal()); !is(err, control.ErrWrongKind) {
		t.Errorf("a sender administers: %v", err)
	}
	text := appSecret.Reveal()
	for i := range text {
		other := []byte(text)
		other[i] ^= 1
		if _, err := w.Sender(string(other)); !is(err, control.ErrUnknown) {
			t.Fatalf("%s: %v", other, err)
		}
	}
	for _, bad := range []string{"", "dbt_", text[:59], text + "A", text + "\n", "dba_" + text[4:], "dbt_" + admin.Reveal()[4:]} {
		if _, err := w.Sender(bad); !is(err, control.ErrUnknown) {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := w.Admin(bad); !is(err, control.ErrUnknown) {
			t.Errorf("%q: %v", bad, err)
		}
	}

	w.wait(hour)
	must(t, w.RevokeToken(alice, cron.ID, "leaked"))
	sends(cronSecret, control.Sender{}, control.ErrRevoked)
	refused(t, w.RevokeToken(alice, cron.ID, "leaked"), control.ErrUnchanged)
	refused(t, w.RevokeToken(alice, "aaaaaaaaaaaa", "leaked"), control.ErrNotFound)
	refused(t, w.RevokeToken(alice, app.ID, "\xff"), control.ErrInvalid)
	if got := w.Tokens()[1]; got.Revoked != morning.Add(hour) || got.RevokedBy != alice || got.RevokeReason != "leaked" || got.ID != cron.ID {
		t.Errorf("revoked: %+v", got)
	}
	w.wait(3*hour - 1)
	sends(appSecret, appSender, nil)
	w.wait(1)
	sends(appSecret, control.Sender{}, control.ErrExpired)
	must(t, w.RevokeToken(alice, app.ID, ""))
	sends(appSecret, control.Sender{}, control.ErrRevoked)

	for _, test := range []struct {
		org  string
		at   time.Time
		want []string
	}{
		{"acme", morning.Add(-1), nil},
		{"acme", morning, []string{"app", "cron"}},
		{"acme", noon.Add(-1), []string{"app", "cron"}},
		{"acme", noon, []string{"cron"}},
		{"beta", noon, []string{"beta-app"}},
		{"gamma", noon, nil},
	} {
		if diff := cmp.Diff(test.want, w.Sources(test.org, test.at)); diff != "" {
			t.Errorf("sources of %s at %v (-want +got):\n%s", test.org, test.at, diff)
		}
	}
}

func TestSourcesWithoutTheRevoked(t *testing.T) {
	w := newWorld(t)
	token, _, err := w.CreateToken(alice, "acme", "app", time.Time{})
	must(t, err)
	w.wait(hour)
	must(t, w.RevokeToken(alice, token.ID, ""))
	if got := w.Sources("acme", morning.Add(hour-1)); len(got) != 1 {
		t.Errorf("before: %v", got)
	}
	if got := w.Sources("acme", morning.Add(hour)); got != nil {
		t.Errorf("after: %v", got)
	}
}

func TestAdmins(t *testing.T) {
	w := newWorld(t)
	noon := morning.Add(4 * hour)
	for _, bad := range []struct {
		name, role, org string
		expires         time.Time
	}{
		{"", control.RoleAdmin, "*", time.Time{}}, {"eve", "root", "*", time.Time{}}, {"eve", control.RoleAdmin, "", time.Time{}},
		{"eve", control.RoleAdmin, "*", morning}, {"e\x1bve", control.RoleAdmin, "*", time.Time{}},
		{strings.Repeat("x", 2000), control.RoleAdmin, "*", time.Time{}},
	} {
		_, err := w.CreateAdmin(control.Local, bad.name, bad.role, bad.org, bad.expires)
		refused(t, err, control.ErrInvalid)
	}
	secret, err := w.CreateAdmin(control.Local, "eve", control.RoleAdmin, "acme", noon)
	must(t, err)
	is := func(secret control.Secret, want control.Actor, wantErr error) {
		t.Helper()
		got, err := w.Admin(secret.Reveal())
		if got != want || !is(err, wantErr) {
			t.Errorf("admin is %+v, %v, want %+v, %v", got, err, want, wantErr)
		}
	}
	eve := control.Actor{Name: "eve", Role: control.RoleAdmin, Org: "acme", Via: control.ViaToken}
	is(secret, eve, nil)
	_, err = w.CreateAdmin(alice, "eve", control.RoleViewer, "*", time.Time{})
	refused(t, err, control.ErrExists)
	w.wait(4 * hour)
	is(secret, control.Actor{}, control.ErrExpired)
	second, err := w.CreateAdmin(alice, "eve", control.RoleViewer, "*", time.Time{}) // the name is free again
	must(t, err)
	is(second, control.Actor{Name: "eve", Role: control.RoleViewer, Org: "*", Via: control.ViaToken}, nil)
	must(t, w.RevokeAdmin(alice, "eve", "left"))
	is(second, control.Actor{}, control.ErrRevoked)
	is(secret, control.Actor{}, control.ErrExpired)
	refused(t, w.RevokeAdmin(alice, "nobody", ""), control.ErrNotFound)
	all := w.Admins()
	want := []control.Admin{
		{ID: secret.Reveal()[4:16], Name: "eve", Role: control.RoleAdmin, Org: "acme", Created: morning, CreatedBy: control.Local, Expires: noon},
		{ID: second.Reveal()[4:16], Name: "eve", Role: control.RoleViewer, Org: "*", Created: noon, CreatedBy: alice, Revoked: noon, RevokedBy: alice, RevokeReason: "left"},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("admins (-want +got):\n%s", diff)
	}
}
