package batch

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/event"
	"daybook/formats"
	"daybook/formats/jsonl"
)

// projectSplit sorts the events of a day by project, for the files that each project gets of its own.
//
// The first MaxSplit projects by name get files, or as many of them as a manifest has room for; all others share one set, and so do those with a name over
// maxName bytes. By name, not by size: that needs memory for MaxSplit names only, however many projects a day has, and a project keeps its place as long as no
// new name comes before it.
type projectSplit struct {
	dir    string
	names  []string          // in order
	index  map[string]uint16 // of names; len(names) is the rest
	sorter *spool.Sorter
	writer *spool.Writer
	day    event.Day
}

// A manifest's bytes for the files of projects, and what one of them takes beside its key and the project's name.
const (
	manifestShare = seal.MaxManifest / 8 * 7
	manifestFile  = 700
)

// splitProjects goes through the day once to learn its projects, of which each gets files of these formats.
func (r *renderer) splitProjects(ctx context.Context, from rows, split []formats.Format, workDir string) (*projectSplit, error) {
	limit := min(r.trail.MaxSplit, 1<<16-2)
	p := &projectSplit{index: map[string]uint16{}, day: r.day}
	names := map[string]struct{}{}
	var e event.Event
	var stats spool.ScanStats
	for item, err := range from.Scan(r.index, r.day, &stats) {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := jsonl.ParseRow(item.Row, &e); err != nil {
			return nil, err
		}
		name := e.Get(event.ProjectID)
		if _, known := names[name]; known || len(name) > maxName {
			continue
		}
		names[strings.Clone(name)] = struct{}{}
		if len(names) > 2*limit {
			keepFirst(names, limit)
		}
	}
	keepFirst(names, limit)
	for name := range names {
		p.names = append(p.names, name)
	}
	slices.Sort(p.names)
	p.names = p.names[:r.fitting(p.names, split)]
	for i, name := range p.names {
		p.index[name] = uint16(i)
	}
	var err error
	if p.dir, err = os.MkdirTemp(workDir, "split-"); err != nil {
		return nil, fmt.Errorf("split by project: %w", err)
	}
	p.sorter = spool.NewSorter(p.dir, r.SortMemory)
	p.writer = p.sorter.Writer()
	return p, nil
}

// fitting returns how many of the projects a manifest has room for, should each have events of every class.
func (r *renderer) fitting(names []string, split []formats.Format) int {
	size := 0
	for i, name := range names {
		f := seal.FileName{Format: split[0], Trail: r.trail.Name, Day: r.day, Addendum: r.addendum, Split: seal.ByProject, Project: name, Part: 1, Compression: seal.Gzip}
		text, _ := json.Marshal(name) // never fails
		for c := range r.policies {
			f.Class = r.policies[c].Class
			size += len(split) * (manifestFile + len(seal.FileKey(f)) + len(text))
		}
		if size > manifestShare {
			return i
		}
	}
	return len(names)
}

// keepFirst takes from names all but the first limit by name.
func keepFirst(names map[string]struct{}, limit int) {
	if len(names) <= limit {
		return
	}
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	for _, name := range list[limit:] {
		delete(names, name)
	}
}

func (p *projectSplit) add(item spool.Item, e *event.Event) error {
	at, named := p.index[e.Get(event.ProjectID)]
	if !named {
		at = uint16(len(p.names))
	}
	return p.writer.Add(spool.Group{Trail: at, Day: p.day, Class: item.Group.Class}, e, item.Row, false, item.Suspect)
}

// scan hands the events to the pipe project by project.
func (p *projectSplit) scan(pipe *pipe, r *renderer, evenEmpty bool) error {
	if err := p.writer.Close(); err != nil {
		return err
	}
	cutter := r.newCutter(pipe)
	var stats spool.ScanStats
	rows := int64(0)
	for at := range len(p.names) + 1 {
		part := partID{split: seal.Rest}
		if at < len(p.names) {
			part = partID{split: seal.ByProject, project: p.names[at]}
		}
		for item, err := range p.sorter.Scan(uint16(at), p.day, &stats) {
			if err != nil {
				return err
			}
			part.class = item.Group.Class
			if _, err := cutter.add(item, part); err != nil {
				return err
			}
			rows++
		}
	}
	if stats.Duplicates > 0 {
		return fmt.Errorf("split by project: %d events were lost as duplicates", stats.Duplicates)
	}
	if rows == 0 && evenEmpty {
		return cutter.empty(partID{class: uint8(r.policies.Default())})
	}
	return cutter.flush()
}

func (p *projectSplit) close() {
	_ = p.sorter.Close()    // the folder is removed as a whole
	_ = os.RemoveAll(p.dir) // and again at the next start
}
