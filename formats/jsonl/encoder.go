package jsonl

import (
	"io"

	"daybook/event"
	"daybook/formats"
)

// Encoder writes the evidence: one evidence row a line. An event that was read from a stored row is written with just that row's bytes.
type Encoder struct {
	w    io.Writer
	buf  []byte
	rows int64
}

// NewEncoder returns an encoder that writes to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Encode appends the events of batch.
func (enc *Encoder) Encode(batch []event.Event) error {
	for i := range batch {
		enc.buf = append(batch[i].AppendJSON(enc.buf), '\n')
		if len(enc.buf) >= 64<<10 {
			if err := enc.flush(); err != nil {
				return err
			}
		}
	}
	enc.rows += int64(len(batch))
	return nil
}

func (enc *Encoder) flush() error {
	_, err := enc.w.Write(enc.buf)
	enc.buf = enc.buf[:0]
	return err
}

// Close writes what is left. The writer stays open.
func (enc *Encoder) Close() error { return enc.flush() }

// Stats returns what was written so far.
func (enc *Encoder) Stats() formats.Stats { return formats.Stats{Rows: enc.rows} }
