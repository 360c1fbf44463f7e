package main

import (
	"github.com/schollz/progressbar/v3"

	"daybook/batch/bundle"
	"daybook/batch/fetch"
	"daybook/batch/proof"
	"daybook/batch/verify"
)

// checkDisplay shows how much of a store was read: a bar on a terminal, nothing elsewhere, where the report is what counts.
type checkDisplay struct {
	*display
	read, total int64
}

func (a *app) newCheckDisplay(quiet bool) *checkDisplay {
	d := a.newDisplay(0)
	d.terminal = d.terminal && !quiet
	return &checkDisplay{display: d}
}

// show draws the bar. What is known of the total may grow.
func (d *checkDisplay) show(what string, read, total int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.terminal || read < d.read {
		return
	}
	if d.bar == nil {
		d.begin(what, max(total, 1), progressbar.OptionShowBytes(true))
	} else if total != d.total {
		d.bar.ChangeMax64(max(total, 1))
	}
	d.add(read - d.read)
	d.read, d.total = read, total
}

func (d *checkDisplay) verified(p verify.Progress) { d.show("verifying", p.Bytes, p.Total) }
func (d *checkDisplay) searched(p proof.Progress)  { d.show("searching", p.Bytes, p.Total) }
func (d *checkDisplay) packed(p bundle.Progress)   { d.show("packing", p.Bytes, p.Total) }
func (d *checkDisplay) fetched(p fetch.Progress)   { d.show("fetching", p.Bytes, p.Total) }

// trying tells the name of a check that is made.
func (d *checkDisplay) trying(check string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.terminal {
		return
	}
	if d.bar == nil {
		d.begin("trying", -1)
	}
	d.bar.Describe("trying " + check)
}

// aside does what prints lines, with the bar out of their way.
func (d *checkDisplay) aside(print func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bar != nil {
		_ = d.bar.Clear() // a bar that can't be drawn is no failure
	}
	print()
}
