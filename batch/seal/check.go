package seal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"daybook/formats"
	"daybook/sink"
)

// maxFaults is how many faults Check reports: a broken manifest can have as many as it has files.
const maxFaults = 20

// Check reports where the manifest contradicts itself, every fault at once (at most 20): names and range, the seal's number and its link, gaps, the conservation of
// events (see Counts), lists and their totals; of the files that keys are those that their names make, that parts are numbered from 1
// without a hole, that all formats hold the same rows, part by part for files of the same events and class by class for files split by project, and
// that evidence has its root. A seal whose manifest fails Check MUST NOT be signed.
func (m *Manifest) Check() error {
	c := checker{m: m}
	c.head()
	c.sources()
	c.gaps()
	c.counts()
	c.files()
	if len(c.faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrManifest, errors.Join(c.faults...))
}

type checker struct {
	m      *Manifest
	faults []error
}

func (c *checker) must(ok bool, format string, args ...any) {
	if !ok && len(c.faults) < maxFaults {
		c.faults = append(c.faults, fmt.Errorf(format, args...))
	}
}

func (c *checker) text(what, s string, blank bool) {
	c.must(blank || s != "", "%s is blank", what)
	c.must(utf8.ValidString(s), "%s %q is not valid UTF-8", what, s)
}

func (c *checker) utc(what string, t time.Time) {
	c.must(t.Location() == time.UTC, "%s is not in UTC", what)
	c.must(t.IsZero() || t.Year() >= 1 && t.Year() <= 9999, "%s is in the year %d", what, t.Year())
}

func (c *checker) head() {
	m := c.m
	c.must(m.Schema == Schema, "schema is %d, must be %d", m.Schema, Schema)
	c.text("trail", m.Trail, false)
	c.text("org", m.Org, false)
	c.text("build", m.Build, false)
	c.must(!m.Config.IsZero(), "config has no digest")
	c.must(m.Key == NoKey || IsKeyID(m.Key), "key %q is no key id", m.Key)
	c.utc("start", m.Start)
	c.utc("end", m.End)
	c.utc("sealed_at", m.SealedAt)
	c.must(m.Start.Equal(m.Day.Start()), "start is %v, must be that of %v", m.Start, m.Day)
	c.must(m.End.After(m.Start) && !m.End.After(m.Day.End()), "end is %v, must lie within %v", m.End, m.Day)
	c.must(!m.SealedAt.IsZero(), "sealed_at is missing")
	c.must(m.Seal >= 1, "seal is 0, must count from 1")
	c.must((m.Seal == 1) == m.Previous.IsZero(), "seal %d follows %v", m.Seal, m.Previous)
	c.must(m.Addendum >= 0, "addendum is %d", m.Addendum)
	c.must(m.Addendum == 0 || m.Seal > 1, "an addendum cannot be the first seal")
	c.must(m.Addendum == 0 || m.Counts.Written > 0, "an addendum must hold events")
}

func (c *checker) sources() {
	for i, s := range c.m.Sources {
		c.text("name of a source", s.Name, false)
		c.must(i == 0 || c.m.Sources[i-1].Name < s.Name, "source %q is out of order or listed twice", s.Name)
		c.utc("watermark of "+s.Name, s.Watermark)
		for _, g := range s.Gaps {
			c.gap("gap of "+s.Name, g)
		}
	}
}

func (c *checker) gap(what string, g Gap) {
	c.utc(what, g.From)
	c.utc(what, g.To)
	c.must(g.From.Before(g.To), "%s ends before it begins", what)
	c.text("reason of a "+what, g.Reason, false)
}

func (c *checker) gaps() {
	m := c.m
	for i, g := range m.Gaps {
		c.gap("gap", g)
		c.must(i == 0 || !g.From.Before(m.Gaps[i-1].To), "gap from %v is out of order, or begins within the one before", g.From)
		c.must(g.From.Before(m.Day.End()) && g.To.After(m.Day.Start()), "gap from %v to %v is not of %v", g.From, g.To, m.Day)
	}
	if m.ClockOffset != nil {
		c.must(*m.ClockOffset > -maxClockOffset && *m.ClockOffset < maxClockOffset, "clock_offset_ms is %d", *m.ClockOffset)
	}
}

// maxClockOffset is more than two clocks can differ by, in milliseconds: a hundred years.
const maxClockOffset = 100 * 366 * 24 * 3600 * 1000

func (c *checker) counts() {
	n := c.m.Counts
	for _, v := range []struct {
		name string
		n    int64
	}{
		{"carried", n.Carried}, {"read", n.Read}, {"written", n.Written}, {"duplicates", n.Duplicates}, {"quarantined", n.Quarantined},
		{"not_tracked", n.NotTracked}, {"pending", n.Pending}, {"conflicts", n.Conflicts}, {"late", n.Late}, {"time_suspect", n.TimeSuspect},
		{"redacted", n.Redacted}, {"cells_changed", n.CellsChanged}, {"values_cut", n.ValuesCut},
	} {
		// The upper bound keeps the sums below from wrapping round.
		c.must(v.n >= 0 && v.n < 1<<56, "count %s is %d", v.name, v.n)
	}
	in, out := n.Carried+n.Read, n.Written+n.Duplicates+n.Quarantined+n.NotTracked+n.Pending
	c.must(in == out, "events are lost or made: carried %d + read %d = %d, but written %d + duplicates %d + quarantined %d + not tracked %d + pending %d = %d",
		n.Carried, n.Read, in, n.Written, n.Duplicates, n.Quarantined, n.NotTracked, n.Pending, out)
	c.must(n.TimeSuspect <= n.Written, "%d of %d events written have a suspect time", n.TimeSuspect, n.Written)
	ids, hashes := c.m.Conflicts, c.m.QuarantinedSHA256
	c.must(int64(len(ids.IDs)) == min(ids.Total, MaxListed), "%d ids in conflict, but %d are listed", ids.Total, len(ids.IDs))
	c.must(ids.Total <= n.Conflicts && (ids.Total > 0) == (n.Conflicts > 0), "%d events in conflict cannot have %d ids", n.Conflicts, ids.Total)
	for _, id := range ids.IDs {
		c.text("id in conflict", id, true)
	}
	c.must(int64(len(hashes)) == min(n.Quarantined, MaxListed), "%d records are quarantined, but %d hashes are listed", n.Quarantined, len(hashes))
	for _, h := range hashes {
		c.must(!h.IsZero(), "the hash of a quarantined record is missing")
	}
}

func (c *checker) files() {
	m := c.m
	for i := range m.Files {
		c.file(&m.Files[i])
		c.must(i == 0 || m.Files[i-1].Key < m.Files[i].Key, "file %s is out of order or listed twice", m.Files[i].Key)
	}
	c.parts()
	c.sums()
}

func (c *checker) file(f *File) {
	m := c.m
	name, err := f.Name(m)
	if err != nil {
		c.must(false, "file %s: %w", f.Key, err)
		return
	}
	evidence := name.Format == formats.JSONL
	c.text("class of "+f.Key, f.Class, false)
	c.text("project of "+f.Key, f.Project, true)
	c.text("content type of "+f.Key, f.ContentType, false)
	c.text("version of "+f.Key, f.Version, true)
	_, known := compressionExt[f.Compression]
	c.must(known, "file %s: compression %q is unknown", f.Key, f.Compression)
	c.must(f.Split == Whole || f.Split == ByProject || f.Split == Rest, "file %s: split %q is unknown", f.Key, f.Split)
	c.must(f.Split == ByProject || f.Project == "", "file %s: has a project, but is not split by it", f.Key)
	c.must(!evidence || f.Split == Whole, "file %s: evidence is never split", f.Key)
	c.must(f.Part >= 1, "file %s: part %d", f.Key, f.Part)
	if err := sink.CheckKey(f.Key); err != nil {
		c.must(false, "file: %w", err)
	}
	c.must(f.Key == FileKey(name), "file %s: its key must be %s", f.Key, FileKey(name))
	c.must(f.Size >= 0 && f.Rows >= 0 && f.Rows < 1<<56, "file %s: %d bytes, %d rows", f.Key, f.Size, f.Rows)
	c.must(!f.SHA256.IsZero(), "file %s: has no SHA-256", f.Key)
	c.must(evidence != f.MerkleRoot.IsZero(), "file %s: evidence, and nothing else, has a Merkle root", f.Key)
	c.times(f)
	switch f.LockMode {
	case sink.None:
		c.must(f.RetainUntil.IsZero(), "file %s: retained without a lock", f.Key)
	case sink.Governance, sink.Compliance:
		c.must(!f.RetainUntil.IsZero(), "file %s: locked without an end", f.Key)
	default:
		c.must(false, "file %s: lock mode %q is unknown", f.Key, f.LockMode)
	}
	c.utc("retain_until of "+f.Key, f.RetainUntil)
}

func (c *checker) times(f *File) {
	c.utc("first of "+f.Key, f.First)
	c.utc("last of "+f.Key, f.Last)
	if f.Rows == 0 {
		c.must(f.First.IsZero() && f.Last.IsZero(), "file %s: has times but no rows", f.Key)
		return
	}
	c.must(!f.First.After(f.Last), "file %s: the first event is later than the last", f.Key)
	// A suspect time is why an event lies under a day that is not its own.
	c.must(c.m.Counts.TimeSuspect > 0 || !f.First.Before(c.m.Start) && f.Last.Before(c.m.End),
		"file %s: times %v to %v are not within %v to %v", f.Key, f.First, f.Last, c.m.Start, c.m.End)
}

// parts checks that files of the same events agree: the parts of each format are numbered from 1, and those of one number have equal rows and times.
func (c *checker) parts() {
	files := make([]*File, len(c.m.Files))
	for i := range files {
		files[i] = &c.m.Files[i]
	}
	sameEvents := func(a, b *File) int {
		return cmp.Or(strings.Compare(a.Class, b.Class), strings.Compare(string(a.Split), string(b.Split)), strings.Compare(a.Project, b.Project))
	}
	slices.SortStableFunc(files, func(a, b *File) int {
		return cmp.Or(sameEvents(a, b), strings.Compare(a.Format, b.Format), cmp.Compare(a.Part, b.Part))
	})
	for len(files) > 0 {
		n := 1
		for n < len(files) && sameEvents(files[0], files[n]) == 0 {
			n++
		}
		c.group(files[:n])
		files = files[n:]
	}
}

func (c *checker) group(files []*File) {
	var first []*File // the parts of the group's first format
	for len(files) > 0 {
		n := 1
		for n < len(files) && files[n].Format == files[0].Format {
			n++
		}
		parts := files[:n]
		files = files[n:]
		for i, f := range parts {
			c.must(f.Part == i+1, "file %s: part %d stands where %d is due", f.Key, f.Part, i+1)
		}
		if first == nil {
			first = parts
			continue
		}
		c.must(len(parts) == len(first), "%s has %d parts, %s has %d", first[0].Key, len(first), parts[0].Key, len(parts))
		for i := range min(len(parts), len(first)) {
			a, b := first[i], parts[i]
			c.must(a.Rows == b.Rows, "formats disagree: %s has %d rows, %s has %d", a.Key, a.Rows, b.Key, b.Rows)
			c.must(a.First.Equal(b.First) && a.Last.Equal(b.Last), "formats disagree: %s and %s hold other times", a.Key, b.Key)
		}
	}
}

// sums checks that each format has all of the events, class by class, and that these are the events written.
func (c *checker) sums() {
	type cell struct{ format, class string }
	rows := map[cell]int64{}
	var classes, names []string
	for _, f := range c.m.Files {
		rows[cell{f.Format, f.Class}] += f.Rows
		classes, names = append(classes, f.Class), append(names, f.Format)
	}
	slices.Sort(classes)
	slices.Sort(names)
	classes, names = slices.Compact(classes), slices.Compact(names)
	total := int64(0)
	evidence := formats.JSONL.Name
	for _, class := range classes {
		want, ok := rows[cell{evidence, class}]
		c.must(ok, "class %s has no evidence", class)
		total += want
		for _, format := range names {
			got := rows[cell{format, class}]
			c.must(got == want, "formats disagree: class %s has %d rows in %s, %d in %s", class, want, evidence, got, format)
		}
	}
	c.must(slices.Contains(names, evidence), "there is no evidence: even an empty day has its file")
	c.must(total == c.m.Counts.Written, "%d events were written, but the evidence has %d rows", c.m.Counts.Written, total)
}
