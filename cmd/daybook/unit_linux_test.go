package main_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"daybook/config"
	"daybook/internal/effort"
)

const unitName = "daybook.service"

// unit reads deploy/daybook.service: the values of each directive, by section and name.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), "deploy", unitName))
	if err != nil {
		t.Fatal(err)
	}
	directives := map[string][]string{}
	section := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		name, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case !ok:
			t.Fatalf("%s: %q is no directive", unitName, line)
		default:
			directives[section+"."+name] = append(directives[section+"."+name], value)
		}
	}
	return directives
}

// TestUnit holds what we promise of the systemd service.
func TestUnit(t *testing.T) {
	t.Parallel()
	u := unit(t)
	for name, want := range map[string][]string{
		"Service.Type":                     {"notify"},
		"Service.ExecReload":               {"/bin/kill -HUP $MAINPID"},
		"Service.Restart":                  {"on-failure"},
		"Service.RestartPreventExitStatus": {"2"},
		"Service.User":                     {"daybook"},
		"Service.StateDirectory":           {"daybook"},
		"Service.StateDirectoryMode":       {"0700"},
		"Service.UMask":                    {"0077"},
		"Service.LimitCORE":                {"0"}, // memory holds keys and events
		"Service.NoNewPrivileges":          {"yes"},
		"Service.CapabilityBoundingSet":    {""},
		"Service.ProtectSystem":            {"strict"},
		"Service.ProtectHome":              {"yes"},
		"Service.PrivateTmp":               {"yes"},
		"Service.MemoryDenyWriteExecute":   {"yes"},
		"Service.SystemCallFilter":         {"@system-service", "~@privileged @resources"},
		"Service.RestrictAddressFamilies":  {"AF_INET AF_INET6 AF_UNIX"}, // the local socket, and systemd's own
		"Unit.StartLimitIntervalSec":       {"0"},
		"Install.WantedBy":                 {"multi-user.target"},
	} {
		if !slices.Equal(u[name], want) {
			t.Errorf("%s is %q, want %q", name, u[name], want)
		}
	}
	if len(u["Service.ExecStart"]) != 1 {
		t.Fatalf("ExecStart: %q", u["Service.ExecStart"])
	}
	start := strings.Fields(u["Service.ExecStart"][0])
	help, err := exec.Command("daybook", start[1], "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	key := ""
	for i, arg := range start {
		if strings.HasPrefix(arg, "--") && !regexp.MustCompile(`(?m)^ +`+arg+` `).Match(help) {
			t.Errorf("ExecStart has %s, which daybook %s does not know", arg, start[1])
		}
		if arg == "--key" {
			key = start[i+1]
		}
	}
	// The keys that the command reads beside each other are those that systemd hands it.
	for _, name := range []string{filepath.Base(key), filepath.Base(key) + ".pub", "redaction.key"} {
		if want := name + ":/etc/daybook/" + name; !slices.Contains(u["Service.LoadCredential"], want) {
			t.Errorf("LoadCredential %q lacks %s", u["Service.LoadCredential"], want)
		}
	}
	if filepath.Dir(key) != "%d" {
		t.Errorf("the key is %s, and not a credential", key)
	}
	stop, err := time.ParseDuration(u["Service.TimeoutStopSec"][0])
	if err != nil {
		t.Fatal(err)
	}
	if drain := config.Default().Service.Drain.Std(); stop < 2*drain {
		t.Errorf("it is killed after %v, and draining may take %v", stop, drain)
	}
}

// TestUnitIsSound has systemd read the unit, and say how much it confines.
func TestUnitIsSound(t *testing.T) {
	t.Parallel()
	analyze := systemdAnalyze(t)
	data, err := os.ReadFile(filepath.Join(root(t), "deploy", unitName))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), unitName)
	// It looks for the command, which is not installed here.
	installed := strings.Fields(unit(t)["Service.ExecStart"][0])[0]
	writeFile(t, path, strings.ReplaceAll(string(data), installed, command(t)))
	// Exposure is in tenths: what is left are the network, and sockets.
	for _, args := range [][]string{{"verify", path}, {"security", "--offline=yes", "--no-pager", "--threshold=15", path}} {
		if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %v: %v\n%s", args, err, out)
		}
	}
}

func systemdAnalyze(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze to read the unit with: make test installs systemd's package")
	}
	return path
}

// TestUnitAllowsItsSystemCalls runs a service under strace, from its start over a seal to its end, and compares the system calls that it made with those that the unit lets
// through.
func TestUnitAllowsItsSystemCalls(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	analyze := systemdAnalyze(t)
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace to see system calls with: make test installs it")
	}
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	p := startProcess(t, dir, nil, strace, "-f", "-qq", "-e", "signal=none", "-o", trace, command(t), "serve", "--config", serviceFile(t, dir, ""))
	p.run(t, "admin", "create", "alice", "--config", "daybook.yaml")
	p.run(t, "trail", "enable", "audit", "--since", time.Now().UTC().AddDate(0, 0, -2).Format(time.DateOnly), "--config", "daybook.yaml")
	if out := p.run(t, "roll", "--config", "daybook.yaml"); !strings.HasPrefix(out, "all is well\n") {
		t.Errorf("roll says\n%s", out)
	}
	p.run(t, "backup", "--out", "backup", "--config", "daybook.yaml")
	p.stop(t)

	allowed := map[string]bool{}
	for _, filter := range unit(t)["Service.SystemCallFilter"] {
		names, deny := strings.CutPrefix(filter, "~")
		for _, set := range strings.Fields(names) {
			for name := range systemCalls(t, analyze, set) {
				allowed[name] = !deny
			}
		}
	}
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(`).FindAllStringSubmatch(string(data), -1) {
		made[m[1]] = true
	}
	for _, name := range []string{"fsync", "accept4", "openat", "futex"} { // it saw what went on
		if !made[name] {
			t.Errorf("%s was never called, by what strace saw", name)
		}
	}
	for name := range made {
		if !allowed[name] {
			t.Errorf("the unit refuses %s", name)
		}
	}
}

// systemCalls are those of one of systemd's sets.
func systemCalls(t *testing.T, analyze, set string) map[string]bool {
	t.Helper()
	out, err := exec.Command(analyze, "--no-pager", "syscall-filter", set).Output()
	if err != nil {
		t.Fatalf("systemd-analyze syscall-filter %s: %v", set, err)
	}
	all := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if name := strings.TrimSpace(line); strings.HasPrefix(name, "@") && name != set {
			for name := range systemCalls(t, analyze, name) {
				all[name] = true
			}
		} else if name != "" && name[0] != '#' && name != set {
			all[name] = true
		}
	}
	return all
}

// TestCredentialsFolder starts the service with keys in a folder that nothing is added to, as systemd's is.
func TestCredentialsFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	cmd := exec.Command("daybook", "init", "--key", filepath.Join(keys, "signing.key"), "--config", filepath.Join(dir, "sample.yaml"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Chmod(keys, 0o500); err != nil {
		t.Fatal(err)
	}
	list := func() (names []string) {
		err := filepath.WalkDir(keys, func(path string, d fs.DirEntry, err error) error {
			names = append(names, path)
			return err
		})
		return append(names, fmt.Sprint(err))
	}
	before := list()
	p := startProcess(t, dir, nil, "daybook", "serve", "--config", serviceFile(t, dir, ""), "--key", filepath.Join(keys, "signing.key"))
	p.stop(t)
	if after := list(); !slices.Equal(before, after) {
		t.Errorf("beside the keys there is now %q, and was %q", after, before)
	}
}

// TestWrongConfigurationEndsWithTwo is what keeps systemd from starting it again.
func TestWrongConfigurationEndsWithTwo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "daybook.yaml"), "service: {schedule: never}\n")
	cmd := exec.Command("daybook", "serve", "--config", "daybook.yaml")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 2 {
		t.Errorf("ended with %v, want exit code 2", err)
	}
}
