package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"daybook/internal/effort"
)

// systemd stands for what a machine has that runs the service, under temporary folders. It starts what the unit says, with the keys where credentials would be.
const systemd = `
useradd() { :; }
sudo() { shift 2; "$@"; }
unit=ETC/systemd/daybook.service
start() {
	local line=$(sed -n 's/^ExecStart=//p' "$unit" | sed 's#/usr/local/bin/daybook#BIN/daybook#; s#/etc/daybook#ETC/daybook#; s#%S/daybook#STATE/daybook#; s#%d#ETC/daybook#')
	exec 3< <(exec $line 2> serve.log)
	service=$!
	echo $service > service.pid
	read -r -u 3 && [[ $REPLY == "serving at "* ]] || cat serve.log
}
stop() { kill $service && wait $service; }
systemctl() {
	case $1 in
	daemon-reload) [ -e "$unit" ] ;;
	enable | start) start ;;
	stop) stop ;;
	restart) stop && start ;;
	*) echo "systemctl $1 is not known here"; return 1 ;;
	esac
}
`

// needTools skips a test where a page's commands can't be run.
func needTools(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s to run the page's commands with: make test installs it", tool)
		}
	}
}

// TestOperationsPage runs the commands of the operator's page, from the installation to the upgrade.
func TestOperationsPage(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	needTools(t, "bash", "curl", "sed", "install")
	r := newReadme(t)
	r.one = true
	temp := t.TempDir()
	for _, dir := range []string{"bin", "etc/daybook", "etc/systemd", "state", "backup", "srv"} {
		if err := os.MkdirAll(filepath.Join(temp, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	binary, err := exec.LookPath("daybook")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(r.dir, "daybook")); err != nil {
		t.Fatal(err)
	}
	etc, state := filepath.Join(temp, "etc"), filepath.Join(temp, "state")
	r.prelude = strings.NewReplacer("ETC", etc, "BIN", filepath.Join(temp, "bin"), "STATE", state).Replace(systemd)
	address := "127.0.0.1:" + freePort(t)
	r.replace = strings.NewReplacer(
		"/usr/local/bin/", filepath.Join(temp, "bin")+"/", "/etc/daybook", etc+"/daybook", "/etc/systemd/system", etc+"/systemd", "/var/lib/daybook", state+"/daybook",
		"/backup/", filepath.Join(temp, "backup")+"/", "/srv/audit", filepath.Join(temp, "srv", "audit"), "127.0.0.1:8470", address,
		"cool_off: 0s ", "listen: '"+address+"'\n  cool_off: 0s ",
	)
	r.restore = strings.NewReplacer(etc+"/daybook", "/etc/daybook", state+"/daybook", "/var/lib/daybook", filepath.Join(temp, "backup")+"/", "/backup/", address, "127.0.0.1:8470")
	t.Cleanup(func() { // of a page that broke off
		if pid, err := os.ReadFile(filepath.Join(r.dir, "service.pid")); err == nil && t.Failed() {
			_ = exec.Command("kill", strings.TrimSpace(string(pid))).Run() // it may have ended
		}
	})
	r.page(t, filepath.Join("docs", "OPERATIONS.md"))
	if left, err := filepath.Glob(filepath.Join(state, "daybook", "daybook.sock")); err != nil || len(left) > 0 {
		t.Errorf("the service was not stopped: %v, %v", left, err)
	}
}

// TestIntakePage runs the commands of the senders' page against a service.
func TestIntakePage(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	needTools(t, "bash", "curl", "jq")
	r := newReadme(t)
	r.one = true
	config := serviceFile(t, r.dir, "")
	p := startProcess(t, r.dir, []string{"HOME=" + r.home}, "daybook", "serve", "--config", config)
	runIn(t, r.dir, 0, "trail", "enable", "audit", "--config", config)
	writeFile(t, filepath.Join(r.dir, "api.token"), runIn(t, r.dir, 0, "token", "create", "--org", "acme", "--source", "api", "--config", config))
	writeFile(t, filepath.Join(r.dir, "event.json"), `{"id":"evt-1","time":"2026-03-10T09:00:00Z","action":"login","outcome":"success"}`)
	r.replace = strings.NewReplacer("https://audit.example.org:8470", "http://"+p.address, "# once the day is sealed", "daybook roll --config daybook.yaml > roll.txt")
	r.page(t, filepath.Join("docs", "INTAKE.md"))
	p.signal(t, syscall.SIGTERM)
}
