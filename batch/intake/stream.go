package intake

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"daybook/formats"
)

// Unread is a record that can't be read.
type Unread struct {
	// Line is the line on which it begins, and Record which of the stream's records it is, both counted from 1: those of an array may all be on one line.
	Line   int
	Record int64
	Reason string
	// TooLong says that the reason is its length.
	TooLong bool
	// Data is the record, or its first Settings.RecordLimit bytes: then Rest has what follows. Both hold until Reject returns.
	Data []byte
	Rest io.Reader
}

// StreamHandler is where ReadStream hands its records on, in their order. What it is given holds until the call returns. An error ends the stream.
type StreamHandler interface {
	Take(Taken) error
	Reject(Unread) error
}

// StreamReport says what a stream held.
type StreamReport struct {
	// Read is how many records were read: Taken were handed on as events, Rejected as what they are.
	Read, Taken, Rejected int64
	// Skipped says that it holds no events by its nature: it is blank, or a CloudTrail digest.
	Skipped bool
	// Bytes is the size of the content read, uncompressed.
	Bytes int64
	// Fault says why the stream was not read to its end; nil if it was.
	Fault *Fault
}

// ReadStream reads one stream in this goroutine and hands its records to h. Of the settings, Workers and Skip mean nothing to it.
//
// Equal events without an id are told apart by their ordinal in the stream, 0, 1, 2 …: a stream that is sent again gives the same events, and Taken.Ordinal is
// never set. That takes some 32 bytes for each such event; memory does not depend on the size of the stream otherwise.
//
// The record within which a stream breaks off (see Fault) is no record where the rest of it could not be read: it is neither handed on nor counted, unless it
// is longer than the limit.
//
// The error is h's, ctx's, or that of settings that can't be used.
func ReadStream(ctx context.Context, stream io.Reader, settings Settings, h StreamHandler) (StreamReport, error) {
	c, err := newContents(&settings)
	if err != nil {
		return StreamReport{}, err
	}
	s := streamReader{handler: h}
	equals := map[[contentName]byte]uint32{}
	s.decoder = eventDecoder{settings: &settings, ordinal: func(hash [contentName]byte) uint32 {
		n := equals[hash]
		equals[hash] = n + 1
		return n
	}}
	got, err := c.read(ctx, &countReader{ctx: ctx, r: stream}, s.take)
	s.report.Skipped, s.report.Bytes, s.report.Fault = got.skipped, got.bytes, got.fault
	if err == nil {
		err = ctx.Err() // which reads as a fault, and is none
	}
	if err == nil && s.last != nil && got.fault == nil {
		err = s.reject(*s.last)
	}
	if err == nil && s.report.Read != s.report.Taken+s.report.Rejected {
		err = fmt.Errorf("counts disagree: %d records read, %d taken, %d rejected", s.report.Read, s.report.Taken, s.report.Rejected)
	}
	return s.report, err
}

type streamReader struct {
	handler StreamHandler
	decoder eventDecoder
	report  StreamReport
	// last is a record that can't be read, met after the stream had broken off: if another follows, that was not why.
	last *Unread
}

func (s *streamReader) take(entry decoderEntry, record formats.Record, broken bool) error {
	if s.last != nil {
		last := *s.last
		s.last = nil
		if err := s.reject(last); err != nil {
			return err
		}
	}
	if record.Rest != nil {
		return s.reject(Unread{Line: record.Line, Reason: s.decoder.settings.tooLong(), TooLong: true, Data: record.Data, Rest: record.Rest})
	}
	taken, err := s.decoder.decode(entry, record.Data)
	if err != nil {
		unread := Unread{Line: record.Line, Reason: err.Error(), Data: record.Data}
		if broken {
			unread.Data = bytes.Clone(record.Data)
			s.last = &unread
			return nil
		}
		return s.reject(unread)
	}
	s.report.Read++
	if err := s.handler.Take(taken); err != nil {
		return err
	}
	s.report.Taken++
	return nil
}

func (s *streamReader) reject(u Unread) error {
	s.report.Read++
	u.Record = s.report.Read
	if err := s.handler.Reject(u); err != nil {
		return err
	}
	s.report.Rejected++
	return nil
}
