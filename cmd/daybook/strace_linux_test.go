package main_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"daybook/internal/effort"
)

// steps are the system calls by which the service changes what is on its disks, each with a number of calls of a thread within which a kill is likely to strike.
var steps = []struct {
	calls string
	most  int
}{
	{"fsync", 90}, {"fdatasync", 12}, {"write", 120}, {"pwrite64", 12}, {"rename,renameat,renameat2", 8}, {"link,linkat", 12}, {"unlink,unlinkat", 40}, {"mkdir,mkdirat", 24},
}

// TestKilledServiceConverges kills the service in front of its k-th call of some kind that changes a disk, again and again, while it takes events in and seals days. Each time it
// is started again, and what was not acknowledged is sent again.
func TestKilledServiceConverges(t *testing.T) {
	t.Parallel()
	effort.NeedsLongOrThorough(t)
	needStrace(t)
	kills := 1
	if effort.Thorough() {
		kills = 40
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newStation(t)
	struck := map[string]int{}
	for killed, round := 0, 0; killed < kills; round++ {
		if round > 5*kills {
			t.Fatalf("killed %d times in %d rounds: the calls are other ones", killed, round)
		}
		step := steps[random.IntN(len(steps))]
		p := s.serve("-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", step.calls, 1+random.IntN(step.most)))
		if p == nil {
			killed++
			struck[step.calls+" at the start"]++
			continue
		}
		s.work(p, 6)
		p.stop(t)
		if p.killed() {
			killed++
			struck[step.calls]++
		} else if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Fatalf("it ends with %d:\n%s", code, &p.stderr)
		}
		if round%10 == 9 {
			s.converge()
		}
		if t.Failed() {
			t.Fatalf("after %d kills", killed)
		}
	}
	s.converge()
	t.Logf("killed at %v", struck)
}

// work sends batches of events, and has days sealed meanwhile, until it is done or the service is dead.
func (s *station) work(p *serving, batches int) {
	s.t.Helper()
	var rolls sync.WaitGroup
	rolls.Go(func() {
		for range 3 {
			if _, err := s.roll(); err != nil {
				return
			}
		}
	})
	for range batches {
		if len(s.due) < 40 {
			s.make(20)
		}
		if s.send(p, 20) == 0 {
			break
		}
	}
	rolls.Wait()
}

// TestServiceOnAFailingDisk has system calls of the running service fail. It acknowledges nothing that is not durable, stops where it can't know what is on the disk, goes on
// where it can, and the next start has everything.
func TestServiceOnAFailingDisk(t *testing.T) {
	t.Parallel()
	needStrace(t)
	effort.NeedsThorough(t)
	const (
		sync, write, rename, link = "fsync,fdatasync", "write,pwrite64", "rename,renameat,renameat2", "link,linkat"
		everySpoolLog             = "spool/%06d.log"
	)
	for _, c := range []struct {
		name, calls, fault string
		path               string // in the data folder: only what is done to it fails
		stops              bool   // it refuses with 503, and ends with 1
	}{
		{"a sync of the spool", sync, "error=EIO:when=2", everySpoolLog, true},
		{"every sync of the spool", sync, "error=EIO:when=2+", everySpoolLog, true},
		{"a write to the spool", write, "error=EIO:when=2", everySpoolLog, true},
		{"no room for the spool", write, "error=ENOSPC:when=2+", everySpoolLog, true},
		{"a disk that became read-only", write, "error=EROFS:when=2+", everySpoolLog, true},
		{"a rename of a seal's journal", rename, "error=EIO:when=1", "journal/audit.json", false},
		{"every rename of a seal's journal", rename, "error=EIO", "journal/audit.json", false},
		{"a manifest in the ledger", rename, "error=ENOSPC:when=1", "ledger/audit/00000001/manifest.json", false},
		{"a note in the ledger", rename, "error=EIO", "ledger/audit/00000002/SHA256SUMS.note", false},
		{"the memory of the log", rename, "error=EIO:when=1", "log/checkpoint", false},
		{"the sign of life", rename, "error=EIO:when=1+", "control/alive.json", false},
		{"watermarks", rename, "error=ENOSPC:when=1", "sources.json", false},
		{"every link in the store", link, "error=EIO", "", false},
		{"no room in the store", link, "error=ENOSPC:when=3+", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStation(t)
			inject := []string{"-e", fmt.Sprintf("inject=%s:%s", c.calls, c.fault)}
			switch c.path {
			case "":
			case everySpoolLog: // by their names to come: what is written to a connection is left alone
				for n := range 100 {
					inject = append(inject, "-P", s.path("data", fmt.Sprintf(everySpoolLog, n)))
				}
			default:
				inject = append(inject, "-P", s.path("data", c.path))
			}
			p := s.serve(inject...)
			if p == nil {
				t.Fatal("the service does not start")
			}
			codes := map[int]int{}
			for n := range 30 {
				if len(s.due) < 40 {
					s.make(20)
				}
				code := s.send(p, 20)
				if codes[code]++; code == 0 {
					break
				}
				if !c.stops && n%5 == 4 { // what fails in there is told by the status, and tried again
					if _, err := s.roll(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if c.stops {
				select {
				case <-p.ended:
				case <-time.After(30 * time.Second):
					t.Error("the service goes on")
				}
			}
			code := p.stop(t)
			// strace counts the calls of each thread: the last writing of all may be a thread's first, and its failure is how the service ends then.
			last := c.path == "sources.json" && code == 1 && strings.Contains(p.stderr.String(), "daybook: error: sources: rename")
			if c.stops != (code == 1) && !last || c.stops != (codes[http.StatusServiceUnavailable] > 0) || !c.stops && codes[http.StatusOK] != 30 {
				t.Errorf("events were answered %v, and it ended with %d:\n%s", codes, code, &p.stderr)
			}
			s.converge()
		})
	}
}

// TestServiceOnAReadOnlyDisk starts the service in a data folder that can only be read. It says so and what to do, and has everything once the disk is writable.
func TestServiceOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	needStrace(t)
	s := newStation(t)
	p := s.serve()
	s.make(20)
	if code := s.send(p, 20); code != http.StatusOK {
		t.Fatalf("answered with %d", code)
	}
	p.stop(t)
	cmd := exec.Command("strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=openat:error=EROFS", "-P", s.path("data", "lock"), s.binary, "serve", "--config", s.path("daybook.yaml"))
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "HOME="+s.dir)
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); err == nil || code != 1 {
		t.Errorf("it ends with %d: %v", code, err)
	}
	for _, part := range []string{"read-only file system", "daybook: hint: " + s.path("data") + " is on a file system that is mounted read-only"} {
		if !strings.Contains(string(out), part) {
			t.Errorf("it does not say %q:\n%s", part, out)
		}
	}
	s.converge()
}
