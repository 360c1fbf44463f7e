package parquet_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"daybook/event"
	"daybook/formats/parquet"
)

// eventsFrom reads a program: each byte says what to do next, and takes what it needs from the bytes that follow. Any bytes are a program.
func eventsFrom(program []byte) []event.Event {
	next := func() int {
		if len(program) == 0 {
			return 0
		}
		b := program[0]
		program = program[1:]
		return int(b)
	}
	text := func() string {
		n := min(next(), len(program))
		s := string(program[:n])
		program = program[n:]
		return s
	}
	fields := event.Fields()
	events := []event.Event{{Time: at(0)}}
	budget := 4 << 20 // bytes of text
	copied := func(e *event.Event) event.Event {
		for _, f := range fields {
			budget -= 4 + len(e.Get(f))
		}
		return e.Clone()
	}
	for len(program) > 0 && budget > 0 {
		e := &events[len(events)-1]
		switch op := next(); {
		case op < 2*len(fields):
			e.Set(fields[op%len(fields)], text())
		case op < 80:
			e.Set(fields[next()%len(fields)], strings.Repeat(text(), 1+next()*4))
		case op < 90:
			e.Tags = append(e.Tags, text())
		case op < 100:
			e.Flags = append(e.Flags, text())
		case op < 110:
			e.SetSourceSeq(uint64(next()) << (next() % 64))
		case op < 120:
			e.Received = at(int64(next()) - 128)
		case op < 130:
			for i := range next() * 8 { // many rows, of which one field differs
				if budget <= 0 {
					break
				}
				again := copied(&events[len(events)-1])
				again.Set(fields[op%len(fields)], fmt.Sprint(i))
				events = append(events, again)
			}
		case op < 170:
			again := copied(e)
			again.Time = at(int64(next()) - 128)
			events = append(events, again)
		default:
			events = append(events, event.Event{Time: at(int64(next()) - 128)})
		}
	}
	slices.SortStableFunc(events, func(a, b event.Event) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return strings.Compare(mended(a.Get(event.ID)), mended(b.Get(event.ID)))
	})
	return events
}

// FuzzRoundTrip: whatever the events, parquet-go reads back just what was put in, all that the file claims is true, and batches do not show.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{}, uint16(0), uint32(0), uint8(1))
	f.Add([]byte("\x00\x03abc\x0a\x02\xff\xfe\x55\x01t\x55\x00\x5b\x01f\x65\x03\x05\xc8\x64\x00\x00"), uint16(2), uint32(0), uint8(1))
	f.Add([]byte("\x0b\x05actor\x79\xff\x7a\xff\x7b\xff\xc8\x01\x0b\x03abc\x96\x80\x7b\xff"), uint16(1000), uint32(0), uint8(200))
	f.Add([]byte("\x4e\x10\x20long text that is repeated often\xff\x96\x81\x96\x82"), uint16(0), uint32(20_000), uint8(3))
	f.Fuzz(func(t *testing.T, program []byte, groupRows uint16, groupBytes uint32, batch uint8) {
		events := eventsFrom(program)
		o := &parquet.Options{RowGroupRows: int(groupRows), RowGroupBytes: int64(groupBytes)}
		if o.RowGroupRows > 0 && len(events)/o.RowGroupRows > 50 {
			o.RowGroupRows = len(events) / 50
		}
		data := encode(t, acme, o, events, 1+int(batch))
		check(t, data, acme, events)
		if again := encode(t, acme, o, events, len(events)); string(again) != string(data) {
			t.Error("one batch gives other bytes")
		}
	})
}

// FuzzChecker: whatever the file, the checker returns, in bounded memory, and takes it only if parquet-go reads the events from it.
func FuzzChecker(f *testing.F) {
	data, events := small(f, 5)
	f.Add(data)
	f.Add(encode(f, acme, nil, nil, 1))
	parts, footer := split(data)
	f.Add(append([]byte("PAR1"), data[len(parts):]...))
	f.Add(append(bytes.Clone(parts), "PAR1"...))
	f.Add(footer)
	f.Fuzz(func(t *testing.T, file []byte) {
		var err error
		// Bytes without an end are a footer behind the parts of the file.
		for _, data := range [][]byte{file, sealed(nil, file), sealed(parts, file)} {
			if allocated := allocations(func() { err = verify(data, acme, events) }); allocated > 100<<20 {
				t.Errorf("%d MB were allocated for %d bytes", allocated>>20, len(data))
			}
			if err == nil {
				check(t, data, acme, events)
			} else if strings.Contains(err.Error(), "cannot be read") {
				t.Error(err)
			}
		}
	})
}

// sealed puts a footer behind parts, with its length and the magic.
func sealed(parts, footer []byte) []byte {
	if parts == nil {
		parts = []byte("PAR1")
	}
	out := slices.Concat(parts, footer)
	return append(binary.LittleEndian.AppendUint32(out, uint32(len(footer))), "PAR1"...)
}
