package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"daybook/event"
	"daybook/formats"
	"daybook/sink"
)

// Schema is the version of the manifest that this package writes, and the only one that it reads.
const Schema = 1

// MaxManifest is how large a manifest may be, in bytes: about 60,000 files.
const MaxManifest = 64 << 20

// MaxListed is how many conflicting ids and how many hashes of quarantined records a manifest lists; the rest are only counted.
const MaxListed = 1000

// NoKey stands in a manifest in the place of a key, if nobody signs its seal.
const NoKey = "none"

// ErrManifest says that a manifest is not one that Daybook wrote, or contradicts itself.
var ErrManifest = errors.New("not a valid manifest")

// Manifest lists what a seal holds. Encode draws the file.
type Manifest struct {
	Schema int    `json:"schema"`
	Trail  string `json:"trail"`
	Org    string `json:"org"`
	Day    Date   `json:"day"`
	// Start and End are the half-open range of event times that the seal covers: the day, or the part of it that was over.
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	// Seal numbers the trail's seals from 1 without a hole; Addendum numbers the day's addenda from 1 and is 0 for the day's own seal.
	Seal     uint64 `json:"seal"`
	Addendum int    `json:"addendum"`
	// Previous is the SHA-256 of the manifest of the trail's seal before; none for the first.
	Previous Hash      `json:"previous"`
	SealedAt time.Time `json:"sealed_at"`
	// Build is the version of Daybook, Config the SHA-256 of its configuration, Key the ID of the signing key, or NoKey.
	Build  string `json:"build"`
	Config Hash   `json:"config"`
	Key    string `json:"key"`
	// ClockOffset is by how many milliseconds the store's clock was ahead of ours; nil if that is unknown.
	ClockOffset *int64 `json:"clock_offset_ms,omitempty"`

	Sources []Source `json:"sources"`
	// Gaps are the times in the day when nothing was taken in for the trail, whatever the source: Daybook was down, or the trail off. They are in order
	// and do not touch each other's time.
	Gaps      []Gap     `json:"gaps"`
	Counts    Counts    `json:"counts"`
	Conflicts Conflicts `json:"conflicts"`
	// QuarantinedSHA256 lists the SHA-256 of the records that could not be read, in the order in which they came: all of them, or the first MaxListed.
	QuarantinedSHA256 []Hash `json:"quarantined_sha256"`
	// Files are sorted by key.
	Files []File `json:"files"`
}

// Date is a day that is written as YYYY-MM-DD.
type Date struct{ event.Day }

// MarshalText writes YYYY-MM-DD.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads YYYY-MM-DD.
func (d *Date) UnmarshalText(text []byte) (err error) {
	d.Day, err = event.ParseDay(string(text))
	return err
}

// Source says how far a source had been read when the day was sealed.
type Source struct {
	Name string `json:"name"`
	// Watermark is the time up to which the source's events are known to have come; absent for a source that has none, such as a file import.
	Watermark time.Time `json:"watermark,omitzero"`
	Gaps      []Gap     `json:"gaps,omitempty"`
}

// Gap is a time for which events may be missing: [From, To).
type Gap struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Reason string    `json:"reason"`
}

// Counts are of what happened since the trail's last seal. Nothing is dropped in silence:
//
//	Carried + Read = Written + Duplicates + Quarantined + NotTracked + Pending
type Counts struct {
	// Carried is what the last seal left pending.
	Carried int64 `json:"carried"`
	// Read is how many records came in.
	Read int64 `json:"read"`
	// Written is how many events this seal holds.
	Written int64 `json:"written"`
	// Duplicates came again: same key, same content.
	Duplicates int64 `json:"duplicates"`
	// Quarantined could not be read.
	Quarantined int64 `json:"quarantined"`
	// NotTracked belong to no trail that is on.
	NotTracked int64 `json:"not_tracked"`
	// Pending wait for days that are still open or are sealed next.
	Pending int64 `json:"pending"`

	// Conflicts are events whose key another event of other content has; both are kept. Late are those that came after their day was sealed.
	// TimeSuspect are, among those written, the ones that carry the flag of that name.
	Conflicts   int64 `json:"conflicts"`
	Late        int64 `json:"late"`
	TimeSuspect int64 `json:"time_suspect"`
	// Redacted is how many secrets were replaced.
	Redacted int64 `json:"redacted"`
	// CellsChanged is how many values were changed so that a spreadsheet does not take them for formulas; ValuesCut how many were cut to the
	// limits of a format.
	CellsChanged int64 `json:"cells_changed"`
	ValuesCut    int64 `json:"values_cut"`
}

// Conflicts lists the ids that events of different content share: all of them, or the first MaxListed.
type Conflicts struct {
	Total int64    `json:"total"`
	IDs   []string `json:"ids"`
}

// File is one data file.
type File struct {
	Key    string `json:"key"`
	Format string `json:"format"`
	Class  string `json:"class"`
	Split  Split  `json:"split,omitempty"`
	// Project is the project's id if Split is ByProject; it may be blank then.
	Project     string `json:"project,omitempty"`
	Part        int    `json:"part"`
	ContentType string `json:"content_type"`
	Compression string `json:"compression"`
	// Size and SHA256 are of the bytes as they are stored.
	Size   int64 `json:"size"`
	SHA256 Hash  `json:"sha256"`
	Rows   int64 `json:"rows"`
	// First and Last are the earliest and the latest event time; absent if there are no rows.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Version is the store's version id, if it keeps versions; LockMode and RetainUntil are what was read back.
	Version     string    `json:"version,omitempty"`
	LockMode    sink.Mode `json:"lock_mode,omitempty"`
	RetainUntil time.Time `json:"retain_until,omitzero"`
	// MerkleRoot is the RFC 6962 root over the rows; evidence files have one.
	MerkleRoot Hash `json:"merkle_root,omitzero"`
}

// Name returns what the file's key is made of.
func (f File) Name(m *Manifest) (FileName, error) {
	format, err := formats.Named(f.Format)
	if err != nil {
		return FileName{}, err
	}
	return FileName{format, f.Class, m.Trail, m.Day.Day, m.Addendum, f.Split, f.Project, f.Part, f.Compression}, nil
}

// Encode checks the manifest and returns the bytes that are stored and hashed: JSON, members in the order of the structs, indented by two spaces,
// files sorted by key, sources by name, gaps by time, one line feed at the end. Frozen for Schema 1:
//
//	{
//	  "schema": 1,
//	  "trail": "acme",
//	  …
//	  "files": [
//	    {
//	      "key": "csv/class=standard/trail=acme/dt=2026-03-10/acme-2026-03-10.0001.csv.gz",
//	      …
//	    }
//	  ]
//	}
func (m *Manifest) Encode() ([]byte, error) {
	c := *m
	c.Files, c.Sources, c.Gaps = slices.Clone(m.Files), slices.Clone(m.Sources), slices.Clone(m.Gaps)
	slices.SortFunc(c.Files, func(a, b File) int { return strings.Compare(a.Key, b.Key) })
	slices.SortFunc(c.Sources, func(a, b Source) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(c.Gaps, func(a, b Gap) int { return a.From.Compare(b.From) })
	if err := c.Check(); err != nil {
		return nil, err
	}
	data, err := c.marshal()
	if err != nil {
		return nil, err
	}
	if len(data) > MaxManifest {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrManifest, len(data), MaxManifest)
	}
	return data, nil
}

func (m *Manifest) marshal() ([]byte, error) {
	c := *m
	// null and [] would be two ways to say the same.
	if c.Sources == nil {
		c.Sources = []Source{}
	}
	if c.Gaps == nil {
		c.Gaps = []Gap{}
	}
	if c.Conflicts.IDs == nil {
		c.Conflicts.IDs = []string{}
	}
	if c.QuarantinedSHA256 == nil {
		c.QuarantinedSHA256 = []Hash{}
	}
	if c.Files == nil {
		c.Files = []File{}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(&c); err != nil {
		return nil, fmt.Errorf("encode the manifest: %w", err)
	}
	return b.Bytes(), nil
}

// ParseManifest reads a manifest, and fails closed: it must be what Encode writes, to the byte. So a member that is unknown, doubled, missing or
// spelled in another case, text after the end, another schema version and a manifest that contradicts itself are all ErrManifest.
func ParseManifest(data []byte) (*Manifest, error) {
	if len(data) > MaxManifest {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrManifest, len(data), MaxManifest)
	}
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if version.Schema != Schema {
		return nil, fmt.Errorf("%w: schema version %d is unknown, only %d is known", ErrManifest, version.Schema, Schema)
	}
	m := new(Manifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	// encoding/json passes over unknown members, takes the last of two of a name and any case of it: a comparison shows all that.
	again, err := m.marshal()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if !bytes.Equal(data, again) {
		return nil, fmt.Errorf("%w: line %d is not as Daybook writes it", ErrManifest, firstDifference(data, again))
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return m, nil
}

func firstDifference(a, b []byte) (line int) {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return 1 + bytes.Count(a[:n], []byte("\n"))
}
