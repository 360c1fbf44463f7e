//go:build unix

package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/batch"
	"daybook/internal/effort"
)

// site is an installation of the service, in a folder: data, store, keys and tokens.
type site struct {
	t     *testing.T
	dir   string
	first time.Time // the first day of the trail: days ago, so that there is something to seal
	*process
}

// newSite makes an installation, with a trail and a sender.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), first: time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -4)}
	serviceFile(t, s.dir, "")
	s.serve()
	s.people()
	return s
}

func (s *site) serve() {
	s.t.Helper()
	s.process = startProcess(s.t, s.dir, nil, "daybook", "serve", "--config", "daybook.yaml")
}

// people makes an admin, the trail, and a sender's token.
func (s *site) people() {
	s.t.Helper()
	s.daybook(0, "admin", "create", "alice")
	s.daybook(0, "trail", "enable", "audit", "--since", s.first.Format(time.DateOnly))
	writeFile(s.t, filepath.Join(s.dir, "token"), s.daybook(0, "token", "create", "--org", "acme", "--source", "api"))
}

// daybook runs a command about the installation.
func (s *site) daybook(code int, args ...string) string {
	s.t.Helper()
	return runIn(s.t, s.dir, code, append(args, "--config", "daybook.yaml")...)
}

// event is the event number n of a day; 0 is the first day.
func (s *site) event(day, n int) string {
	at := s.first.AddDate(0, 0, day).Add(time.Duration(n) * time.Second)
	if now := time.Now(); at.After(now) {
		at = now
	}
	return fmt.Sprintf(`{"id":"day-%d-%d","time":%q,"action":"login","outcome":"success"}`, day, n, at.Format(time.RFC3339))
}

// send sends events, and returns how many were new, and how many were not.
func (s *site) send(events ...string) (accepted, duplicate int64) {
	s.t.Helper()
	token, err := os.ReadFile(filepath.Join(s.dir, "token"))
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+s.address+"/v1/events", strings.NewReader(strings.Join(events, "\n")))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var got struct{ Accepted, Duplicate int64 }
	if err := json.Unmarshal(data, &got); err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", resp.Status, data)
	}
	return got.Accepted, got.Duplicate
}

// mustSend is send, of which that is to come.
func (s *site) mustSend(accepted, duplicate int64, events ...string) {
	s.t.Helper()
	if a, d := s.send(events...); a != accepted || d != duplicate {
		s.t.Fatalf("%d accepted and %d duplicates, want %d and %d", a, d, accepted, duplicate)
	}
}

// roll seals all that is closed.
func (s *site) roll() {
	s.t.Helper()
	if out := s.daybook(0, "roll"); !strings.HasPrefix(out, "all is well\n") {
		s.t.Errorf("roll says\n%s", out)
	}
}

// check is the oracle: the store verifies, all events add up, and of those that are given each is in just one row that is sealed.
func (s *site) check(sealed ...string) {
	s.t.Helper()
	runIn(s.t, s.dir, 0, "verify", "--deep", "--key", filepath.Join(".config", "daybook", "signing.key.pub"), "audit")
	var list []batch.Reconciled
	if err := json.Unmarshal([]byte(s.daybook(0, "status", "--reconcile", "--json")), &list); err != nil {
		s.t.Fatal(err)
	}
	if len(list) != 1 || list[0].Fault != "" {
		s.t.Errorf("events do not add up: %+v", list)
	}
	var rows strings.Builder
	files, err := filesBelow(filepath.Join(s.dir, "audit", "jsonl"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range files {
		if err := uncompressed(&rows, f); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, e := range sealed {
		var id struct{ ID string }
		if err := json.Unmarshal([]byte(e), &id); err != nil {
			s.t.Fatal(err)
		}
		if n := strings.Count(rows.String(), fmt.Sprintf(`"id":%q`, id.ID)); n != 1 {
			s.t.Errorf("%s is in %d rows, want 1", id.ID, n)
		}
	}
}

// A service that died is an alert, as long as a trail is on: nothing is taken in, and nobody else tells.
func TestStatusOfADeadService(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	s := newSite(t)
	s.daybook(0, "status")
	s.kill(t)
	if out := s.daybook(1, "status"); !strings.Contains(out, "alert (not-running)") {
		t.Errorf("status says\n%s", out)
	}
	s.serve()
	s.daybook(0, "status")
	s.stop(t)
	s.daybook(1, "status")
}

// A backup is taken while the service is at work, and restored where the data folder was lost: what was sealed since is learnt from the store once a person has said so, and
// what was not sealed is sent again.
func TestRestoreABackup(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	s := newSite(t)
	one, two, three := s.event(0, 1), s.event(0, 2), s.event(1, 1)
	s.mustSend(2, 0, one, two)
	s.roll()
	s.mustSend(1, 0, three) // waits when the backup is taken
	s.daybook(0, "backup", "--out", "backup")
	late, lost := s.event(1, 2), s.event(4, 1)
	s.mustSend(1, 0, late)
	s.roll()
	s.mustSend(1, 0, lost) // was acknowledged, and neither sealed nor in the backup
	s.check(one, two, three, late)
	s.kill(t)
	if err := os.RemoveAll(filepath.Join(s.dir, "data")); err != nil {
		t.Fatal(err)
	}

	runIn(t, s.dir, 0, "restore", "backup", "--data", "data")
	s.serve()
	// Events are taken in; what was in the backup is known.
	s.mustSend(0, 2, one, three)
	if out := s.daybook(4, "roll"); !strings.Contains(out, "daybook roll --take-over") {
		t.Errorf("roll says\n%s", out)
	}
	if out := s.daybook(1, "status"); !strings.Contains(out, "sealing-fails") || !strings.Contains(out, "daybook roll --take-over") {
		t.Errorf("status says\n%s", out)
	}
	if out := s.daybook(0, "roll", "--take-over"); !strings.HasPrefix(out, "all is well\n") {
		t.Errorf("roll --take-over says\n%s", out)
	}
	s.check(one, two, three, late)
	if accepted, duplicate := s.send(one, two, three, late, lost); accepted+duplicate != 5 || accepted < 1 {
		t.Errorf("%d accepted and %d duplicates", accepted, duplicate)
	}
	s.roll()
	s.check(one, two, three, late)
	// The word that was given holds for once.
	s.stop(t)
	s.serve()
	s.roll()
	s.check(one, two, three, late)
}

// The service moves to another machine: it is stopped, backed up, and goes on there, with the keys. Nobody has to say anything, since nothing was sealed meanwhile.
func TestMoveToAnotherMachine(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	s := newSite(t)
	one, two := s.event(0, 1), s.event(4, 1)
	s.mustSend(2, 0, one, two)
	s.roll()
	s.stop(t)
	s.daybook(0, "backup", "--out", "backup")
	if err := os.Rename(filepath.Join(s.dir, "data"), filepath.Join(s.dir, "of the old machine")); err != nil {
		t.Fatal(err)
	}
	runIn(t, s.dir, 0, "restore", "backup", "--data", "data")
	s.serve()
	s.mustSend(0, 2, one, two) // the tokens are valid, and the events known
	s.roll()
	s.mustSend(1, 0, s.event(1, 1))
	s.roll()
	s.check(one, s.event(1, 1))
	if out := s.daybook(0, "trail", "list"); !strings.Contains(out, "audit  acme  on") {
		t.Errorf("trail list says\n%s", out)
	}
	s.stop(t)

	// The old machine, started once more by mistake, seals nothing.
	if err := os.Rename(filepath.Join(s.dir, "data"), filepath.Join(s.dir, "of the new machine")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(s.dir, "of the old machine"), filepath.Join(s.dir, "data")); err != nil {
		t.Fatal(err)
	}
	s.serve()
	if out := s.daybook(4, "roll"); !strings.Contains(out, "ahead of what this machine remembers") {
		t.Errorf("roll says\n%s", out)
	}
}

// The data folder is lost, and there is no backup: the service begins anew and says so; what was sealed is known, whatever is sent again.
func TestDataFolderLost(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	s := newSite(t)
	one, two, lost := s.event(0, 1), s.event(1, 1), s.event(4, 1)
	s.mustSend(3, 0, one, two, lost)
	s.roll()
	s.check(one, two)
	s.kill(t)
	if err := os.RemoveAll(filepath.Join(s.dir, "data")); err != nil {
		t.Fatal(err)
	}

	s.serve()
	if out := s.daybook(3, "status"); !strings.Contains(out, "no-trail") {
		t.Errorf("status says\n%s", out)
	}
	s.people()
	late := s.event(1, 2)
	s.mustSend(4, 0, one, two, lost, late)
	s.roll()
	s.check(one, two, late)
	s.mustSend(0, 3, one, two, late)
	s.stop(t)
	s.serve()
	s.roll()
	s.check(one, two, late)
}

// The spool is lost, or its volume was not mounted: the service does not start with an empty one. It is put back; or given up, which the seals declare.
func TestSpoolLost(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	s := newSite(t)
	one, two := s.event(0, 1), s.event(4, 1)
	s.mustSend(2, 0, one, two)
	s.roll()
	if out := s.daybook(1, "give-up-spool"); !strings.Contains(out, "another daybook is at work") {
		t.Errorf("give-up-spool beside the service says\n%s", out)
	}
	s.stop(t)
	spool, away := filepath.Join(s.dir, "data", "spool"), filepath.Join(s.dir, "away")
	if out := s.daybook(1, "give-up-spool"); !strings.Contains(out, "there is a spool in") {
		t.Errorf("give-up-spool of a spool that is there says\n%s", out)
	}
	if err := os.Rename(spool, away); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"serve", "status", "roll"} {
		out := s.daybook(1, command)
		for _, want := range []string{"the spool that this data folder had is not there: spool data/spool: ", "its volume is not mounted", "daybook restore", "daybook give-up-spool"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s does not say %q:\n%s", command, want, out)
			}
		}
	}
	if err := os.Rename(away, spool); err != nil {
		t.Fatal(err)
	}
	s.serve()
	s.mustSend(0, 2, one, two)
	s.kill(t)

	if err := os.Rename(spool, away); err != nil {
		t.Fatal(err)
	}
	if out := s.daybook(0, "give-up-spool"); !strings.Contains(out, "the spool was given up at") {
		t.Errorf("give-up-spool says\n%s", out)
	}
	s.serve()
	if out := s.daybook(1, "status"); !strings.Contains(out, "alert (spool-lost)") {
		t.Errorf("status says\n%s", out)
	}
	if out := s.daybook(0, "trail", "show", "audit"); !strings.Contains(out, "audit") {
		t.Errorf("trail show says\n%s", out)
	}
	s.mustSend(2, 0, one, two)
	s.daybook(0, "roll") // the day before yesterday has nothing new
	s.check(one)
	if err := os.Remove(filepath.Join(s.dir, "data", "spool.lost")); err != nil {
		t.Fatal(err)
	}
	s.daybook(0, "status")
}

// A backup is of one moment, whatever comes in meanwhile, and one that breaks off is none.
func TestBackupBesideIntake(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	s := newSite(t)
	var events []string
	for n := range 200 {
		events = append(events, s.event(n%3, n)) // yesterday may be open still
	}
	done := make(chan error, 1)
	go func() {
		for i := range events {
			if a, _ := s.send(events[i]); a != 1 {
				done <- fmt.Errorf("%s was not new", events[i])
				return
			}
		}
		done <- nil
	}()
	for n := range 3 {
		s.daybook(0, "backup", "--out", fmt.Sprintf("backup-%d", n))
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.roll()
	s.check(events...)
	for n := range 3 {
		name := fmt.Sprintf("restored-%d", n)
		runIn(t, s.dir, 0, "restore", fmt.Sprintf("backup-%d", n), "--data", name)
		runIn(t, s.dir, 0, "status", "--config", "daybook.yaml", "--data", name, "--reconcile")
	}
	whole, err := os.ReadFile(filepath.Join(s.dir, "backup-2"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(s.dir, "half"), string(whole[:len(whole)/2]))
	runIn(t, s.dir, 1, "restore", "half", "--data", "of half")
	if _, err := os.Stat(filepath.Join(s.dir, "of half")); !os.IsNotExist(err) {
		t.Errorf("of half a backup there is something: %v", err)
	}
}
