package verify

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"daybook/event"
	"daybook/formats/jsonl"
)

// A day can have ten thousand projects with files of their own. groupSets of them are compared at a time, which bounds how many files are open; where there are
// more, the evidence is first parted into a temporary file for each group.
const groupSets = 32

// projectSet is the files of one project: by format, its parts in order.
type projectSet struct {
	formats []*projectFormat
	group   int
}

type projectFormat struct {
	parts []deepFile
	next  int    // the part that is opened next
	open  *check // nil between parts
	rows  int64  // of the open part
	first time.Time
	last  time.Time
}

// compareProjects compares the files of projects of a class with its evidence.
func (d *deepDay) compareProjects(ctx context.Context, parts []*deepPart, files []deepFile) {
	sets, groups := groupSetsOf(files)
	if len(groups) == 1 {
		d.compareGroup(ctx, groups[0], d.rowsOf(ctx, parts), sets)
		return
	}
	temps, err := d.partition(ctx, parts, sets, len(groups))
	defer func() {
		for _, t := range temps {
			_ = t.remove() // it is temporary
		}
	}()
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, errStopped) {
			d.add(codeReadFailed, files[0].Key, "", err.Error())
		}
		return
	}
	for i, group := range groups {
		d.compareGroup(ctx, group, tempRows(ctx, temps[i]), sets)
	}
}

func groupSetsOf(files []deepFile) (map[string]*projectSet, [][]*projectSet) {
	slices.SortFunc(files, func(a, b deepFile) int {
		return cmp.Or(strings.Compare(projectOf(&a.File), projectOf(&b.File)), strings.Compare(a.Format, b.Format), cmp.Compare(a.Part, b.Part))
	})
	sets := map[string]*projectSet{}
	var groups [][]*projectSet
	for _, f := range files {
		name := projectOf(&f.File)
		s := sets[name]
		if s == nil {
			if n := len(groups); n == 0 || len(groups[n-1]) == groupSets {
				groups = append(groups, nil)
			}
			s = &projectSet{group: len(groups) - 1}
			sets[name] = s
			groups[s.group] = append(groups[s.group], s)
		}
		if n := len(s.formats); n == 0 || s.formats[n-1].parts[0].Format != f.Format {
			s.formats = append(s.formats, &projectFormat{})
		}
		last := s.formats[len(s.formats)-1]
		last.parts = append(last.parts, f)
	}
	return sets, groups
}

// setOf returns the set that an event is in.
func setOf(sets map[string]*projectSet, e *event.Event) *projectSet {
	if s := sets["p"+e.Get(event.ProjectID)]; s != nil {
		return s
	}
	return sets[restSet]
}

// rowSource yields rows and their events. At its end the last error is io.EOF, if all is well.
type rowSource func(yield func(row []byte, e *event.Event) error) error

// rowsOf yields the rows of all parts of a class. What is wrong with them was told where they were compared.
func (d *deepDay) rowsOf(ctx context.Context, parts []*deepPart) rowSource {
	return func(yield func(row []byte, e *event.Event) error) error {
		for _, p := range parts {
			if err := d.rowsOfPart(ctx, p, yield); err != nil {
				return err
			}
		}
		return nil
	}
}

func (d *deepDay) rowsOfPart(ctx context.Context, p *deepPart, yield func(row []byte, e *event.Event) error) error {
	rows, err := d.openEvidence(ctx, p.evidence)
	if err != nil {
		return errStopped
	}
	defer rows.close()
	var e event.Event
	for rows.next(ctx) {
		if err := jsonl.ParseRow(rows.row, &e); err != nil {
			return errStopped // told where the part was compared
		}
		if err := yield(rows.row, &e); err != nil {
			return err
		}
	}
	if !rows.whole() {
		return errStopped
	}
	return nil
}

// tempRows yields the rows of a group.
func tempRows(ctx context.Context, t *tempFile) rowSource {
	return func(yield func(row []byte, e *event.Event) error) error {
		if _, err := t.Seek(0, io.SeekStart); err != nil {
			return err
		}
		in := jsonl.NewReader(t, maxRow)
		var e event.Event
		for n := 0; ; n++ {
			row, err := in.Next()
			if err == io.EOF {
				return nil
			}
			if err == nil && n%1024 == 0 {
				err = ctx.Err()
			}
			if err == nil {
				err = jsonl.ParseRow(row, &e)
			}
			if err == nil {
				err = yield(row, &e)
			}
			if err != nil {
				return err
			}
		}
	}
}

// partition writes each row into the file of its group.
func (d *deepDay) partition(ctx context.Context, parts []*deepPart, sets map[string]*projectSet, groups int) ([]*tempFile, error) {
	var temps []*tempFile
	var writers []*bufio.Writer
	for range groups {
		t, err := d.v.temp("projects-")
		if err != nil {
			return temps, err
		}
		temps = append(temps, t)
		writers = append(writers, bufio.NewWriterSize(t, 32<<10))
	}
	err := d.rowsOf(ctx, parts)(func(row []byte, e *event.Event) error {
		s := setOf(sets, e)
		if s == nil {
			return nil // the counts tell that a row has no file
		}
		w := writers[s.group]
		if _, err := w.Write(row); err != nil {
			return err
		}
		return w.WriteByte('\n')
	})
	for _, w := range writers {
		if flushErr := w.Flush(); err == nil {
			err = flushErr
		}
	}
	return temps, err
}

// compareGroup compares the files of a group of projects with the rows, of which some may be other projects'.
func (d *deepDay) compareGroup(ctx context.Context, group []*projectSet, rows rowSource, sets map[string]*projectSet) {
	defer func() {
		for _, s := range group {
			for _, f := range s.formats {
				if f.open != nil {
					f.open.close()
				}
			}
		}
	}()
	err := rows(func(_ []byte, e *event.Event) error {
		if s := setOf(sets, e); s != nil {
			for _, f := range s.formats {
				d.projectRow(ctx, f, e)
			}
		}
		return nil
	})
	if err != nil {
		return // told
	}
	for _, s := range group {
		for _, f := range s.formats {
			d.projectEnd(ctx, f)
		}
	}
}

// projectRow compares the next row of a project's files.
func (d *deepDay) projectRow(ctx context.Context, f *projectFormat, e *event.Event) {
	if f.open == nil || f.rows == f.open.f.Rows {
		d.endPart(f)
		if f.next == len(f.parts) {
			if f.rows >= 0 {
				last := f.parts[len(f.parts)-1]
				d.add(codeFormatRows, last.Key, "a row for each event of the project", "fewer")
			}
			f.rows = -1 // told once
			return
		}
		d.beginPart(ctx, f)
	}
	if f.rows == 0 || e.Time.Before(f.first) {
		f.first = e.Time
	}
	if f.rows == 0 || e.Time.After(f.last) {
		f.last = e.Time
	}
	f.rows++
	f.open.row(e)
}

func (d *deepDay) beginPart(ctx context.Context, f *projectFormat) {
	part := f.parts[f.next]
	f.next++
	f.rows, f.first, f.last = 0, time.Time{}, time.Time{}
	if f.open = d.open(ctx, part); f.open == nil {
		f.open = &check{d: d, f: part, over: true} // told; its rows are passed over
	}
}

func (d *deepDay) endPart(f *projectFormat) {
	if f.open == nil {
		return
	}
	if f.rows >= 0 {
		d.times(f.open.f.File, f.first, f.last)
	}
	f.open.end()
	f.open.close()
	f.open = nil
}

// projectEnd checks that a project's files have no more rows than the evidence.
func (d *deepDay) projectEnd(ctx context.Context, f *projectFormat) {
	if f.rows < 0 {
		return
	}
	if f.open != nil && f.rows < f.open.f.Rows {
		d.add(codeFormatRows, f.open.f.Key, "rows of the evidence only", "more")
		f.open.over = true
		return
	}
	d.endPart(f)
	for f.next < len(f.parts) {
		d.beginPart(ctx, f)
		if f.open.f.Rows > 0 {
			d.add(codeFormatRows, f.open.f.Key, "rows of the evidence only", "more")
			f.open.over = true
			return
		}
		d.endPart(f)
	}
}
