package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// usage is what a process took.
type usage struct {
	Wall    float64          `json:"wall_seconds"`
	CPU     float64          `json:"cpu_seconds"` // user and system
	PeakRSS int64            `json:"peak_rss_bytes"`
	Sizes   map[string]int64 `json:"output_bytes,omitempty"` // by format
}

// child runs a command to its end. What it prints is shown only if it fails.
func (o *options) child(ctx context.Context, name string, args ...string) (usage, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	// Nothing of the user's is read or written: state and keys go where the output goes.
	home := filepath.Join(o.work, "home")
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	start := time.Now()
	err := cmd.Run()
	u := usage{Wall: time.Since(start).Seconds()}
	if err != nil {
		return u, fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, output.String())
	}
	u.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.PeakRSS = r.Maxrss
		if runtime.GOOS != "darwin" {
			u.PeakRSS <<= 10
		}
	}
	return u, nil
}

func (o *options) daybook(ctx context.Context, dir string) (usage, error) {
	return o.exportTo(ctx, o.inputs, dir)
}

// exportTo exports into a store and a data folder that are new.
func (o *options) exportTo(ctx context.Context, inputs []string, dir string) (usage, error) {
	data := dir + "-state"
	if err := os.RemoveAll(data); err != nil {
		return usage{}, err
	}
	args := append([]string{"export", "--from", "jsonl", "--org", "acme", "--data", data, "--to", dir}, inputs...)
	return o.child(ctx, o.bin, args...)
}

// sizesIn adds up the files of each format, by the first folder or the name's extensions. Seals and keys are no format.
func sizesIn(dir string) (map[string]int64, error) {
	sizes := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		for _, format := range formatNames {
			name := d.Name()
			if strings.HasSuffix(name, format.suffix) || strings.HasSuffix(name, format.suffix+".gz") || strings.HasSuffix(name, format.suffix+".zst") {
				sizes[format.name] += info.Size()
			}
		}
		return nil
	})
	if err == nil && len(sizes) == 0 {
		err = errors.New("nothing was written")
	}
	return sizes, err
}

var formatNames = []struct{ name, suffix string }{
	{"jsonl", ".jsonl"}, {"csv", ".csv"}, {"parquet", ".parquet"}, {"cef", ".cef"}, {"syslog", ".log"},
}

func sizeOf(paths []string) int64 {
	var n int64
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			n += info.Size()
		}
	}
	return n
}
