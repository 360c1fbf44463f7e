package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/seal"
	"daybook/event"
	"daybook/formats"
	"daybook/internal/effort"
	"daybook/sink"
)

const keyID = "0123456789abcdef01234567"

// file returns one file of sample's day; change may alter what its key is made of.
func file(m *seal.Manifest, format formats.Format, class string, part int, rows int64, change func(*seal.File)) seal.File {
	compression := map[string]string{"jsonl": seal.Zstd, "parquet": seal.Uncompressed}[format.Name]
	if compression == "" {
		compression = seal.Gzip
	}
	f := seal.File{
		Format: format.Name, Class: class, Part: part, ContentType: format.ContentType, Compression: compression,
		Size: 100 + rows, SHA256: seal.Sum([]byte(format.Name + class)), Rows: rows,
		Version: "v1", LockMode: sink.Compliance, RetainUntil: m.Day.End().AddDate(1, 0, 0),
	}
	if rows > 0 {
		f.First, f.Last = m.Start.Add(time.Duration(part)*time.Hour), m.Start.Add(time.Duration(part)*time.Hour+59*time.Minute+time.Nanosecond)
	}
	if format == formats.JSONL {
		f.MerkleRoot = seal.Sum(nil)
	}
	if change != nil {
		change(&f)
	}
	name, err := f.Name(m)
	if err != nil {
		panic(err)
	}
	f.Key = seal.FileKey(name)
	return f
}

// sample is a manifest with all there is: two classes, two parts, five formats, CSV split by project.
func sample() *seal.Manifest {
	day := event.Day(20522)
	m := &seal.Manifest{
		Schema: seal.Schema, Trail: "acme", Org: "Größe & Söhne", Day: seal.Date{Day: day}, Start: day.Start(), End: day.End(),
		Seal: 42, Addendum: 0, Previous: seal.Sum([]byte("before")), SealedAt: day.End().Add(time.Hour), Build: "v1.2.3 (go1.26)",
		Config: seal.Sum([]byte("config")), Key: keyID,
		Sources: []seal.Source{
			{Name: "cloudtrail", Watermark: day.End().Add(time.Minute), Gaps: []seal.Gap{{From: day.Start(), To: day.Start().Add(time.Hour), Reason: "down"}}},
			{Name: "import"},
		},
		Gaps: []seal.Gap{
			{From: day.Start().Add(-time.Hour), To: day.Start().Add(time.Hour), Reason: "down"},
			{From: day.Start().Add(2 * time.Hour), To: day.Start().Add(3*time.Hour + time.Nanosecond), Reason: "off: \u202easked\nby Ann, 100 %"},
		},
		ClockOffset: new(int64(-1500)),
		Counts: seal.Counts{Carried: 10, Read: 1030, Written: 1015, Duplicates: 7, Quarantined: 2, NotTracked: 5, Pending: 11,
			Conflicts: 4, Late: 1, Redacted: 3, CellsChanged: 9, ValuesCut: 8},
		Conflicts:         seal.Conflicts{Total: 2, IDs: []string{"e-1", "e<2>\u2028"}},
		QuarantinedSHA256: []seal.Hash{seal.Sum([]byte("a")), seal.Sum([]byte("b"))},
	}
	add := func(format formats.Format, class string, part int, rows int64, change func(*seal.File)) {
		m.Files = append(m.Files, file(m, format, class, part, rows, change))
	}
	for _, format := range []formats.Format{formats.JSONL, formats.Parquet, formats.CEF, formats.Syslog} {
		add(format, "standard", 1, 1000, nil)
		add(format, "standard", 2, 10, nil)
		add(format, "long", 1, 5, nil)
	}
	project := func(id string) func(*seal.File) {
		return func(f *seal.File) { f.Split, f.Project = seal.ByProject, id }
	}
	add(formats.CSV, "standard", 1, 600, project("one"))
	add(formats.CSV, "standard", 2, 300, project("one"))
	add(formats.CSV, "standard", 1, 90, project(""))
	add(formats.CSV, "standard", 1, 20, func(f *seal.File) { f.Split = seal.Rest })
	add(formats.CSV, "long", 1, 5, project("../../etc/passwd"))
	return m
}

// emptyDay is the manifest of a first day without events.
func emptyDay() *seal.Manifest {
	m := sample()
	m.Seal, m.Previous, m.Files, m.Sources = 1, seal.Hash{}, nil, nil
	m.Counts, m.Conflicts, m.QuarantinedSHA256 = seal.Counts{}, seal.Conflicts{}, nil
	m.Gaps, m.ClockOffset, m.Key = nil, nil, seal.NoKey
	for _, format := range formats.All() {
		m.Files = append(m.Files, file(m, format, "standard", 1, 0, nil))
	}
	return m
}

func TestManifestRoundTrip(t *testing.T) {
	for name, m := range map[string]*seal.Manifest{"sample": sample(), "empty day": emptyDay()} {
		data, err := m.Encode()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.HasPrefix(data, []byte("{\n  \"schema\": 1,\n  \"trail\": \"acme\",\n")) || !bytes.HasSuffix(data, []byte("\n}\n")) {
			t.Errorf("%s: encoded as %.60q…", name, data)
		}
		got, err := seal.ParseManifest(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := got.Encode()
		if err != nil || !bytes.Equal(data, again) {
			t.Errorf("%s: other bytes the second time (%v): %s", name, err, cmp.Diff(string(data), string(again)))
		}
		if got.Counts != m.Counts || len(got.Files) != len(m.Files) || got.Previous != m.Previous || got.Day != m.Day {
			t.Errorf("%s: parsed as %+v", name, got)
		}
	}
}

// The order in which files and sources were collected is not in the bytes, and the caller's slices are left alone.
func TestManifestEncodeSorts(t *testing.T) {
	a, b := sample(), sample()
	for i, j := 0, len(b.Files)-1; i < j; i, j = i+1, j-1 {
		b.Files[i], b.Files[j] = b.Files[j], b.Files[i]
	}
	b.Sources[0], b.Sources[1] = b.Sources[1], b.Sources[0]
	b.Gaps[0], b.Gaps[1] = b.Gaps[1], b.Gaps[0]
	first := b.Files[0].Key
	one, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error(cmp.Diff(string(one), string(two)))
	}
	if b.Files[0].Key != first {
		t.Error("Encode sorted its caller's files")
	}
}

func TestManifestCheck(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	for name, c := range map[string]struct {
		change func(*seal.Manifest)
		want   string
	}{
		"schema":                  {func(m *seal.Manifest) { m.Schema = 2 }, "schema"},
		"no trail":                {func(m *seal.Manifest) { m.Trail = "" }, "trail is blank"},
		"org not UTF-8":           {func(m *seal.Manifest) { m.Org = "\xff" }, "org"},
		"no build":                {func(m *seal.Manifest) { m.Build = "" }, "build is blank"},
		"no config":               {func(m *seal.Manifest) { m.Config = seal.Hash{} }, "config"},
		"key id":                  {func(m *seal.Manifest) { m.Key = "../x" }, "no key id"},
		"another day":             {func(m *seal.Manifest) { m.Day.Day++ }, "start is"},
		"end before":              {func(m *seal.Manifest) { m.End = m.Start }, "end is"},
		"end past day":            {func(m *seal.Manifest) { m.End = m.End.Add(1) }, "end is"},
		"local time":              {func(m *seal.Manifest) { m.SealedAt = m.SealedAt.In(berlin) }, "sealed_at is not in UTC"},
		"no sealing time":         {func(m *seal.Manifest) { m.SealedAt = time.Time{} }, "sealed_at is missing"},
		"seal 0":                  {func(m *seal.Manifest) { m.Seal = 0 }, "count from 1"},
		"first, chained":          {func(m *seal.Manifest) { m.Seal = 1 }, "seal 1 follows"},
		"later, unlinked":         {func(m *seal.Manifest) { m.Previous = seal.Hash{} }, "seal 42 follows none"},
		"addendum -1":             {func(m *seal.Manifest) { m.Addendum = -1 }, "addendum is -1"},
		"addendum key":            {func(m *seal.Manifest) { m.Addendum = 1 }, "its key must be"},
		"watermark":               {func(m *seal.Manifest) { m.Sources[0].Watermark = m.End.In(berlin) }, "watermark"},
		"source twice":            {func(m *seal.Manifest) { m.Sources[1].Name = "cloudtrail" }, "listed twice"},
		"gap backwards":           {func(m *seal.Manifest) { m.Sources[0].Gaps[0].To = m.Start }, "before it begins"},
		"gap unexplained":         {func(m *seal.Manifest) { m.Sources[0].Gaps[0].Reason = "" }, "reason"},
		"trail's gap backwards":   {func(m *seal.Manifest) { m.Gaps[0].To = m.Gaps[0].From }, "before it begins"},
		"trail's gap unexplained": {func(m *seal.Manifest) { m.Gaps[1].Reason = "" }, "reason of a gap"},
		"trail's gap, local time": {func(m *seal.Manifest) { m.Gaps[1].To = m.Gaps[1].To.In(berlin) }, "not in UTC"},
		"trail's gaps overlap":    {func(m *seal.Manifest) { m.Gaps[1].From = m.Gaps[0].To.Add(-1) }, "within the one before"},
		"trail's gap elsewhere":   {func(m *seal.Manifest) { m.Gaps[0].To = m.Start }, "is not of 2026-03-10"},
		"trail's gap to come":     {func(m *seal.Manifest) { m.Gaps[1].From, m.Gaps[1].To = m.End, m.End.Add(1) }, "is not of 2026-03-10"},
		"clock":                   {func(m *seal.Manifest) { m.ClockOffset = new(int64(1 << 62)) }, "clock_offset_ms"},
		"key in capitals":         {func(m *seal.Manifest) { m.Key = "NONE" }, "no key id"},
		"lost":                    {func(m *seal.Manifest) { m.Counts.Read++ }, "lost or made"},
		"made":                    {func(m *seal.Manifest) { m.Counts.Duplicates-- }, "lost or made"},
		"negative":                {func(m *seal.Manifest) { m.Counts.Pending, m.Counts.NotTracked = -1, 17 }, "count pending is -1"},
		"wraps round":             {func(m *seal.Manifest) { m.Counts.Carried, m.Counts.Pending = 1<<62, 1<<62 }, "count carried"},
		"conflicts":               {func(m *seal.Manifest) { m.Conflicts.Total = 3 }, "3 ids in conflict"},
		"no conflicts":            {func(m *seal.Manifest) { m.Counts.Conflicts = 0 }, "0 events in conflict"},
		"quarantined": {func(m *seal.Manifest) { m.QuarantinedSHA256 = m.QuarantinedSHA256[:1] },
			"1 hashes are listed"},
		"null hash":     {func(m *seal.Manifest) { m.QuarantinedSHA256[0] = seal.Hash{} }, "hash of a quarantined"},
		"suspect":       {func(m *seal.Manifest) { m.Counts.TimeSuspect = 1016 }, "suspect time"},
		"no files":      {func(m *seal.Manifest) { m.Files = nil }, "no evidence"},
		"no evidence":   {func(m *seal.Manifest) { m.Files = m.Files[3:] }, "no evidence"},
		"class without": {func(m *seal.Manifest) { m.Files = append(m.Files[:2], m.Files[3:]...) }, "class long has no evidence"},
		"file twice":    {func(m *seal.Manifest) { m.Files = append(m.Files, m.Files[0]) }, "listed twice"},
		"rows":          {func(m *seal.Manifest) { m.Files[3].Rows-- }, "formats disagree"},
		"rows, split":   {func(m *seal.Manifest) { m.Files[12].Rows-- }, "formats disagree"},
		"rows, written": {func(m *seal.Manifest) { m.Counts.Written--; m.Counts.Pending++ }, "1014 events were written"},
		"times differ":  {func(m *seal.Manifest) { m.Files[3].Last = m.Files[3].Last.Add(-1) }, "other times"},
		"part missing":  {func(m *seal.Manifest) { m.Files = append(m.Files[:4], m.Files[5:]...) }, "2 parts"},
		"split missing": {func(m *seal.Manifest) { m.Files = append(m.Files[:15], m.Files[16:]...) }, "formats disagree"},
		"part gap": {func(m *seal.Manifest) {
			for i := range m.Files[:12] {
				if f := &m.Files[i]; f.Part == 2 {
					f.Part = 3
					n, _ := f.Name(m)
					f.Key = seal.FileKey(n)
				}
			}
		}, "part 3 stands where 2 is due"},
		"key":              {func(m *seal.Manifest) { m.Files[0].Key = "../../etc/passwd" }, "not allowed"},
		"key, other trail": {func(m *seal.Manifest) { m.Files[0].Key = strings.ReplaceAll(m.Files[0].Key, "acme", "acne") }, "its key must be"},
		"key, case":        {func(m *seal.Manifest) { m.Files[0].Key = strings.ReplaceAll(m.Files[0].Key, "acme", "Acme") }, "its key must be"},
		"format":           {func(m *seal.Manifest) { m.Files[0].Format = "xlsx" }, "xlsx"},
		"compression":      {func(m *seal.Manifest) { m.Files[0].Compression = "lzma" }, "lzma"},
		"split":            {func(m *seal.Manifest) { m.Files[12].Split = "day" }, `split "day"`},
		"project unsplit":  {func(m *seal.Manifest) { m.Files[0].Project = "p" }, "not split by it"},
		"evidence split":   {func(m *seal.Manifest) { m.Files[0].Split = seal.Rest }, "never split"},
		"part 0":           {func(m *seal.Manifest) { m.Files[0].Part = 0 }, "part 0"},
		"size":             {func(m *seal.Manifest) { m.Files[0].Size = -1 }, "-1 bytes"},
		"no hash":          {func(m *seal.Manifest) { m.Files[0].SHA256 = seal.Hash{} }, "no SHA-256"},
		"no root":          {func(m *seal.Manifest) { m.Files[0].MerkleRoot = seal.Hash{} }, "Merkle root"},
		"root":             {func(m *seal.Manifest) { m.Files[4].MerkleRoot = seal.Sum(nil) }, "Merkle root"},
		"before the day":   {func(m *seal.Manifest) { m.Files[0].First = m.Start.Add(-1) }, "not within"},
		"past the day":     {func(m *seal.Manifest) { m.Files[0].Last = m.End }, "not within"},
		"first past last":  {func(m *seal.Manifest) { m.Files[0].First = m.Files[0].Last.Add(1) }, "later than the last"},
		"lock mode":        {func(m *seal.Manifest) { m.Files[0].LockMode = "WORM" }, "WORM"},
		"no lock":          {func(m *seal.Manifest) { m.Files[0].LockMode = sink.None }, "without a lock"},
		"lock without end": {func(m *seal.Manifest) { m.Files[0].RetainUntil = time.Time{} }, "without an end"},
		"year 10000":       {func(m *seal.Manifest) { m.Files[0].RetainUntil = m.End.AddDate(9000, 0, 0) }, "year 11026"},
	} {
		m := sample()
		c.change(m)
		_, err := m.Encode()
		if !errors.Is(err, seal.ErrManifest) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
	}
}

func TestManifestCheckAllows(t *testing.T) {
	for name, change := range map[string]func(*seal.Manifest){
		"a day that is not over": func(m *seal.Manifest) { m.End = m.Start.Add(3*time.Hour + 1) },
		"times of another day, if they are suspect": func(m *seal.Manifest) {
			m.Counts.TimeSuspect = 1
			for i := range m.Files[:12] {
				if m.Files[i].Rows == 5 {
					m.Files[i].First = time.Unix(0, 0).UTC()
				}
			}
		},
		"a store without versions and locks": func(m *seal.Manifest) {
			for i := range m.Files {
				m.Files[i].Version, m.Files[i].LockMode, m.Files[i].RetainUntil = "", sink.None, time.Time{}
			}
		},
		"more conflicts than are listed": func(m *seal.Manifest) {
			m.Counts.Conflicts, m.Conflicts.Total, m.Conflicts.IDs = 5000, 2000, make([]string, seal.MaxListed)
		},
	} {
		m := sample()
		change(m)
		if _, err := m.Encode(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every fault is reported at once, but not without end.
func TestManifestCheckReportsAll(t *testing.T) {
	m := sample()
	m.Org, m.Build, m.Counts.Read = "", "", 0
	_, err := m.Encode()
	for _, want := range []string{"org is blank", "build is blank", "lost or made"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
	m = sample()
	for i := range m.Files {
		m.Files[i].SHA256, m.Files[i].Size = seal.Hash{}, -1
	}
	if _, err := m.Encode(); err == nil || strings.Count(err.Error(), "\n") > 20 {
		t.Errorf("error %v, want at most 20 faults", err)
	}
}

func TestParseManifestFailsClosed(t *testing.T) {
	good, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, with string) string {
		if !bytes.Contains(good, []byte(old)) {
			t.Fatalf("the sample has no %q", old)
		}
		return strings.Replace(string(good), old, with, 1)
	}
	says := map[string]string{
		"schema 2": "schema version 2 is unknown", "unknown member": "line 3 is not as Daybook writes it",
	}
	for name, text := range map[string]string{
		"empty":              "",
		"not JSON":           "hello",
		"null":               "null",
		"array":              "[]",
		"empty object":       "{}",
		"cut":                string(good[:len(good)-3]),
		"text behind":        string(good) + " ",
		"two":                string(good) + string(good),
		"no line feed":       strings.TrimSuffix(string(good), "\n"),
		"CR LF":              strings.ReplaceAll(string(good), "\n", "\r\n"),
		"compact":            strings.ReplaceAll(strings.ReplaceAll(string(good), "\n", ""), "  ", ""),
		"schema 2":           replace(`"schema": 1`, `"schema": 2`),
		"schema twice":       replace(`"schema": 1`, `"schema": 2, "schema": 1`),
		"schema as text":     replace(`"schema": 1`, `"schema": "1"`),
		"unknown member":     replace(`"trail": "acme",`, `"trail": "acme", "Eve": 1,`),
		"member twice":       replace(`"trail": "acme",`, "\"trail\": \"mallory\",\n  \"trail\": \"acme\","),
		"member in capitals": replace(`"trail": "acme",`, "\"trail\": \"acme\",\n  \"TRAIL\": \"acme\","),
		"only in capitals":   replace(`"trail"`, `"Trail"`),
		"member missing":     replace("\n  \"addendum\": 0,", ""),
		"clock null":         replace(`"clock_offset_ms": -1500`, `"clock_offset_ms": null`),
		"clock twice":        replace(`"clock_offset_ms": -1500`, "\"clock_offset_ms\": 0,\n  \"clock_offset_ms\": -1500"),
		"order":              replace("\"trail\": \"acme\",\n  \"org\": \"Größe & Söhne\"", "\"org\": \"Größe & Söhne\",\n  \"trail\": \"acme\""),
		"escapes":            replace(`"acme"`, `"\u0061cme"`),
		"number":             replace(`"seal": 42`, `"seal": 4.2e1`),
		"negative":           replace(`"seal": 42`, `"seal": -42`),
		"too large":          replace(`"seal": 42`, `"seal": 99999999999999999999`),
		"offset":             replace(`T00:00:00Z`, `T00:00:00+00:00`),
		"hash in capitals":   replace(seal.Sum([]byte("config")).String(), strings.ToUpper(seal.Sum([]byte("config")).String())),
		"short hash":         replace(seal.Sum([]byte("config")).String(), "abcd"),
		"null list":          replace(`"gaps": [`, `"gaps": null, "x": [`),
		"count":              replace(`"read": 1030`, `"read": 1031`),
		"traversal":          replace(`"key": "csv/`, `"key": "../csv/`),
		"another tenant":     replace(`trail=acme`, `trail=acmе`), // the last letter is Cyrillic
		"deep":               strings.Repeat("[", 100_000),
		"not UTF-8":          replace("Größe", "Gr\xf6\xdfe"),
	} {
		_, err := seal.ParseManifest([]byte(text))
		if want := says[name]; !errors.Is(err, seal.ErrManifest) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want ErrManifest that says %q", name, err, want)
		}
	}
	long := make([]byte, seal.MaxManifest+1)
	copy(long, good)
	if _, err := seal.ParseManifest(long); !errors.Is(err, seal.ErrManifest) || !strings.Contains(err.Error(), "at most 67108864 are allowed") {
		t.Errorf("too long: %v", err)
	}
}

func FuzzParseManifest(f *testing.F) {
	for _, m := range []*seal.Manifest{sample(), emptyDay()} {
		data, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"schema": 1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := seal.ParseManifest(data)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("accepted what Encode does not write (%v): %s", err, cmp.Diff(string(data), string(again)))
		}
		for _, file := range m.Files {
			if err := sink.CheckKey(file.Key); err != nil {
				t.Error(err)
			}
		}
		if text := seal.NoteText(m, data); strings.Contains(text, "\n\n") || strings.ContainsAny(text, "\r\t\x00") {
			t.Errorf("bad note: %q", text)
		}
	})
}

// A day split into as many projects as can have their own files fits.
func TestManifestOfTenThousandProjects(t *testing.T) {
	effort.NeedsLong(t)
	m := sample()
	m.Files = m.Files[:2:2]
	m.Files[0].Rows, m.Files[1].Rows = 10_000, 1
	m.Counts.Read += 10_001 - m.Counts.Written
	m.Counts.Written = 10_001
	for i := range 10_001 {
		m.Files = append(m.Files, file(m, formats.CSV, "standard", 1, 1, func(f *seal.File) {
			f.Split, f.Project = seal.ByProject, fmt.Sprintf("%0100d", i)
			if i == 10_000 {
				f.Split, f.Project = seal.Rest, ""
			}
		}))
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.ParseManifest(data); err != nil {
		t.Error(err)
	}
	if three := 3 * len(data); three > seal.MaxManifest {
		t.Errorf("three formats of 10,000 projects take about %d bytes, at most %d are allowed", three, seal.MaxManifest)
	}
}
