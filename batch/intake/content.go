package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"daybook/formats"
	"daybook/formats/cloudtrail"
	"daybook/formats/frame"
)

// Why content can't be read, or not to its end, where it is not that its bytes can't be read.
var (
	// ErrForeign says that it is of a kind that has to be unpacked or converted first.
	ErrForeign = errors.New("foreign content")
	// ErrUnrecognised says that no input format was asked for, and that it shows none.
	ErrUnrecognised = errors.New("unknown content")
	// ErrTooLarge says that it is larger than Settings.ContentLimit, or grew more than Settings.Ratio times.
	ErrTooLarge = errors.New("too large")
)

// Fault says why content could not be read, or not to its end. What was read before it stands.
type Fault struct {
	// Line is where it was met, counted from 1; 0 where that was before the first record.
	Line int
	// Err is one of the errors above or that of reading: io.ErrUnexpectedEOF for content that is cut short.
	Err error
}

func (f *Fault) Error() string { return plain(f.Err) }

// Unwrap returns f.Err.
func (f *Fault) Unwrap() error { return f.Err }

// told is an error whose text is its own, and which is another.
type told struct {
	text string
	is   error
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.is }

// contents reads what files and bodies hold.
type contents struct {
	settings *Settings
	forced   *decoderEntry // nil: told by the content
}

func newContents(s *Settings) (contents, error) {
	if s.From == Auto {
		return contents{settings: s}, nil
	}
	d, err := decoderNamed(s.From)
	return contents{s, &d}, err
}

// content is what one file or body held.
type content struct {
	// skipped says that it holds no events by its nature; opened that records were looked for.
	skipped, opened bool
	bytes           int64 // uncompressed
	fault           *Fault
}

// read hands the records of a file or body, one after the other, to each, and says whether the content is known to break off, be it behind the record. The
// error is that of each.
func (c contents) read(ctx context.Context, raw *countReader, each func(d decoderEntry, record formats.Record, broken bool) error) (got content, err error) {
	plainText, closeText, err := decompress(raw, c.settings.Ratio, c.settings.window())
	if err != nil {
		return content{fault: &Fault{Err: err}}, nil
	}
	defer closeText()
	counted := &countReader{ctx: ctx, r: plainText, limit: c.settings.ContentLimit, tell: c.settings.Reading}
	defer func() { got.bytes = counted.n }()
	head, whole, err := frame.Head(counted, headSize)
	if err != nil && err != io.EOF && len(bytes.TrimSpace(head)) == 0 {
		return content{fault: &Fault{Err: err}}, nil
	}
	entry, skip, err := c.choose(head)
	if err != nil {
		return content{fault: &Fault{Err: err}}, nil
	}
	if skip {
		return content{skipped: true}, nil
	}
	got.opened = true
	for record, err := range entry.decoder.Records(whole, c.settings.RecordLimit) {
		if err != nil {
			got.fault = &Fault{Line: record.Line, Err: err}
			break
		}
		if err := each(entry, record, counted.err != nil); err != nil {
			return got, err
		}
	}
	return got, nil
}

// choose tells how to read content from its beginning; or that it holds no events by its nature; or why it can't be read.
func (c contents) choose(head []byte) (d decoderEntry, skip bool, err error) {
	switch {
	case len(bytes.TrimSpace(head)) == 0 && len(head) < headSize:
		return decoderEntry{}, true, nil
	case foreign(head) != "":
		return decoderEntry{}, false, &told{foreign(head), ErrForeign}
	case c.forced != nil:
		return *c.forced, false, nil
	case cloudtrail.IsDigest(head):
		return decoderEntry{}, true, nil
	}
	d, ok := detect(head)
	if !ok {
		return decoderEntry{}, false, &told{"not recognised as any of " + strings.Join(Names(), ", "), ErrUnrecognised}
	}
	return d, false, nil
}

// tooLong is the reason why a record is not read whose length is beyond the limit.
func (s *Settings) tooLong() string {
	return fmt.Sprintf("record is longer than %d bytes: raise limits.record to have it read", s.RecordLimit)
}

// window is how much a zstd frame may ask us to remember.
func (s *Settings) window() uint64 {
	if s.Window > 0 {
		return uint64(s.Window)
	}
	return maxZstdWindow
}
