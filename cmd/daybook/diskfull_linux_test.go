package main_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"daybook/internal/effort"
)

// smallDisk mounts a file system in memory at dir, and returns a function that takes it from 2 MB to enough.
func smallDisk(t *testing.T, dir string) (grow func()) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("cannot mount a disk of its own for this test, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return func() {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	binary := command(t)
	var lines []string
	for i := range 6000 {
		noise := ""
		for k := range 12 {
			noise += fmt.Sprintf("%x", sum(12*i+k))
		}
		lines = append(lines, fmt.Sprintf(`{"id":"e%d","time":"2026-03-%02dT09:%02d:00Z","action":"file-read","info":%q}`, i, 9+i%2, i%60, noise))
	}
	for _, full := range []string{"data", "out"} {
		t.Run(full, func(t *testing.T) {
			m := newMachine(t, binary)
			grow := smallDisk(t, m.path(full))
			m.input(t, "events.jsonl", strings.Join(lines, "\n"))
			for range 2 {
				got := m.export(t, nil)
				if got.code != 1 || !strings.Contains(got.stderr, "no space left on device") || !strings.Contains(got.stderr, m.path(full)) {
					t.Errorf("exit code %d, %s", got.code, got.stderr)
				}
				if !strings.Contains(got.stderr, "daybook: hint: make room ") {
					t.Errorf("no way out is told: %s", got.stderr)
				}
				m.checkSeals(t)
			}
			grow()
			if got := m.export(t, nil); got.code != 0 {
				t.Fatalf("with room: exit code %d, %s", got.code, got.stderr)
			}
			m.checkSeals(t)
			seen := map[string]int{}
			for _, row := range m.evidence(t) {
				seen[row["id"].(string)]++
			}
			if len(seen) != len(lines) || len(m.evidence(t)) != len(lines) {
				t.Errorf("%d events, %d of them different, want %d", len(m.evidence(t)), len(seen), len(lines))
			}
		})
	}
}

// sum makes a number that looks like chance.
func sum(i int) uint64 {
	x := uint64(i) * 0x9e3779b97f4a7c15
	x ^= x >> 31
	x *= 0xbf58476d1ce4e5b9
	return x ^ x>>29
}

// checkSeals checks that every file that a note lists is there, whole, and that no file is there in part.
func (m *machine) checkSeals(t *testing.T) {
	t.Helper()
	for _, path := range m.files(t, m.path("out", "seals")) {
		if filepath.Base(path) != "SHA256SUMS.note" {
			continue
		}
		note, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sums, _, _ := strings.Cut(string(note), "\n\n")
		cmd := exec.Command("sha256sum", "--check", "--quiet", "-")
		cmd.Dir, cmd.Stdin = m.path("out"), strings.NewReader(strings.TrimSpace(sums)+"\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
	for _, path := range m.files(t, m.path("out")) {
		if strings.Contains(path, ".daybook-tmp/") {
			t.Errorf("%s is visible, and no whole file", path)
		}
		if filepath.Ext(path) == ".gz" || filepath.Ext(path) == ".zst" {
			if err := uncompressed(io.Discard, path); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}
