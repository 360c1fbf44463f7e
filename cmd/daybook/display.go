package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"daybook/batch"
)

// display shows what is going on, on standard error: a bar with rate and time to go on a terminal, plain lines elsewhere.
type display struct {
	out      io.Writer
	terminal bool
	quiet    bool

	mu    sync.Mutex
	bar   *progressbar.ProgressBar
	input int64
}

// newDisplay returns a display for a run that reads so many bytes; 0 if that is not known.
func (a *app) newDisplay(input int64) *display {
	f, ok := a.stderr.(*os.File)
	return &display{out: a.stderr, terminal: ok && term.IsTerminal(int(f.Fd())), quiet: a.flags.json, input: input}
}

func (d *display) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
	_, _ = fmt.Fprintf(d.out, "daybook: "+format+"\n", args...)
}

// warnings is a log for people: what is worth a warning, as the command's other messages look.
func (a *app) warnings() *slog.Logger { return slog.New(&warner{out: a.stderr}) }

type warner struct {
	out   io.Writer
	attrs []slog.Attr
	mu    sync.Mutex
}

func (w *warner) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (w *warner) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "daybook: warning: %s", r.Message)
	separator := " ("
	write := func(attr slog.Attr) bool {
		fmt.Fprintf(&b, "%s%s %v", separator, attr.Key, attr.Value)
		separator = ", "
		return true
	}
	for _, attr := range w.attrs {
		write(attr)
	}
	r.Attrs(write)
	if separator == ", " {
		b.WriteString(")")
	}
	b.WriteString("\n")
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := io.WriteString(w.out, b.String())
	return err
}

func (w *warner) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &warner{out: w.out, attrs: append(slices.Clip(w.attrs), attrs...)}
}

// WithGroup leaves groups out: none is used.
func (w *warner) WithGroup(string) slog.Handler { return w }

// progress is told each step of a run.
func (d *display) progress(p batch.Progress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case p.Read > 0:
		if d.bar == nil && d.terminal {
			total := d.input
			if total == 0 {
				total = -1
			}
			d.begin("reading", total, progressbar.OptionShowBytes(true))
		}
		d.add(p.Read)
	case p.Begun != nil:
		d.end()
		if d.terminal {
			d.begin(fmt.Sprintf("sealing %s %v", p.Begun.Trail, p.Begun.Day), max(p.Begun.Events, 1), progressbar.OptionShowIts(), progressbar.OptionSetItsString("events"))
		}
	case p.Rendered > 0:
		d.add(p.Rendered)
	case p.Done != nil:
		d.end()
		if !d.terminal && !d.quiet {
			_, _ = fmt.Fprintf(d.out, "daybook: %s %v: %s, %d events, %d files\n", p.Done.Trail, p.Done.Day, p.Done.Outcome, p.Done.Events+p.Done.Pending, p.Done.Files)
		}
	}
}

// sent is told how much of a file is in the store.
func (d *display) sent(key string, sent, size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bar != nil {
		d.bar.Describe(fmt.Sprintf("storing %.60s %d%%", key, 100*sent/max(size, 1)))
	}
}

func (d *display) begin(what string, total int64, more ...progressbar.Option) {
	options := append([]progressbar.Option{
		progressbar.OptionSetSpinnerChangeInterval(0), // or a goroutine goes on drawing a bar of unknown length after it was cleared
		progressbar.OptionSetWriter(d.out), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100e6), progressbar.OptionFullWidth(), progressbar.OptionSetRenderBlankState(true),
	}, more...)
	d.bar = progressbar.NewOptions64(total, options...)
}

func (d *display) add(n int64) {
	if d.bar != nil {
		_ = d.bar.Add64(n) // a bar that can't be drawn is no failure
	}
}

func (d *display) end() {
	if d.bar != nil {
		_ = d.bar.Clear() // likewise
		d.bar = nil
	}
}

func (d *display) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
}
