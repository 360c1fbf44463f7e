package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// verification is what checking a store took, beside sha256sum over the same files.
type verification struct {
	Bytes  int64 `json:"bytes"`
	Events int64 `json:"events"`
	// SHA256Sum is coreutils' with two processes, Verify `daybook verify`, Deep `daybook verify --deep`: medians.
	SHA256Sum usage `json:"sha256sum"`
	Verify    usage `json:"verify"`
	Deep      usage `json:"deep"`
}

// measureVerify fills a store with as many trails of the day as it takes, and has it checked. Everything is read once beforehand, so that all have the same cache.
func (o *options) measureVerify(ctx context.Context, r *report) error {
	store := filepath.Join(o.work, "verified")
	v := &verification{}
	for n := 0; v.Bytes < int64(o.verifyGB*1e9); n++ {
		data := store + fmt.Sprintf("-state-%d", n)
		args := append([]string{"export", "--from", "jsonl", "--org", "acme", "--take-over", "--trail", fmt.Sprintf("trail-%d", n), "--data", data, "--to", store}, o.inputs...)
		if _, err := o.child(ctx, o.bin, args...); err != nil {
			return err
		}
		if err := os.RemoveAll(data); err != nil {
			return err
		}
		size, err := sizeBelow(store)
		if err != nil {
			return err
		}
		v.Bytes = size
		v.Events += int64(o.events)
		o.log("verify: trail %d: the store has %d MB\n", n, size/1e6)
	}
	key := filepath.Join(o.work, "home", "daybook", "signing.key.pub")
	sums := fmt.Sprintf("find %q -type f -print0 | xargs -0 -n 4 -P 2 sha256sum >/dev/null", store)
	for _, c := range []struct {
		what   string
		median *usage
		name   string
		args   []string
	}{
		{"sha256sum", &v.SHA256Sum, "sh", []string{"-c", sums}},
		{"verify", &v.Verify, o.bin, []string{"verify", "--key", key, store}},
		{"verify --deep", &v.Deep, o.bin, []string{"verify", "--deep", "--key", key, store}},
	} {
		var runs []usage
		for n := range o.runs + 1 {
			u, err := o.child(ctx, c.name, c.args...)
			if err != nil {
				return err
			}
			if n > 0 { // the first warms the cache
				runs = append(runs, u)
				o.log("%s: %.2f s, CPU %.2f s, %d MB\n", c.what, u.Wall, u.CPU, u.PeakRSS>>20)
			}
		}
		*c.median = medianOf(runs)
	}
	r.Verification = v
	return nil
}

func sizeBelow(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}

func (v *verification) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\na store of %d MB, %d events\n\n", v.Bytes/1e6, v.Events)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "\twall s\tCPU s\tMB/s\tevents/s\tpeak RSS MB\t")
	row := func(name string, u usage) {
		_, _ = fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.0f\t%.0f\t%d\t\n", name, u.Wall, u.CPU, float64(v.Bytes)/1e6/u.Wall, float64(v.Events)/u.Wall, u.PeakRSS>>20)
	}
	row("sha256sum, two processes", v.SHA256Sum)
	row("daybook verify", v.Verify)
	row("daybook verify --deep", v.Deep)
	_ = t.Flush() // a Builder never fails
	return b.String()
}
