package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook/event"
	"daybook/interop/generate"
)

// feed makes requests of a generated day, which it goes through again and again: each time its events get other ids, so that all are new. It is only read once made.
type feed struct {
	lines [][]byte // with their line feeds
}

// Where a generated line has its id and its date, and what stands around them.
const (
	idAt, idLen     = len(`{"id":"`), 36
	dateAt, dateLen = idAt + idLen + len(`","time":"`), len("2026-03-10")
	clockAt         = dateAt + dateLen + len("T")
)

func readFeed(paths []string) (*feed, error) {
	f := &feed{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		f.lines = append(f.lines, bytes.SplitAfter(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))...)
	}
	for i, line := range f.lines {
		if len(line) < dateAt+dateLen || line[idAt+idLen] != '"' || line[dateAt-1] != '"' || line[dateAt+dateLen] != 'T' {
			return nil, fmt.Errorf("line %d is not as they are generated: %.80q", i+1, line)
		}
		if line[len(line)-1] != '\n' {
			f.lines[i] = append(line, '\n')
		}
	}
	if len(f.lines) == 0 {
		return nil, errors.New("there are no events to send")
	}
	return f, nil
}

// body appends events number from to from+n, of the load's date. Where that has so many events they are spread over it as they would come in, out of order by less
// than ten minutes, and what follows is of its last minutes.
func (l *load) body(dst []byte, from int64, n int) []byte {
	f := l.feed
	for i := from; i < from+int64(n); i++ {
		at := len(dst)
		dst = append(dst, f.lines[i%int64(len(f.lines))]...)
		// Scattered, as ids are, and no two alike.
		var id [16]byte
		binary.BigEndian.PutUint64(id[:], uint64(i)*0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(id[8:], uint64(i))
		var digits [32]byte
		hex.Encode(digits[:], id[:])
		to := dst[at+idAt:]
		for k, part := range [][2]int{{0, 8}, {8, 12}, {12, 16}, {16, 20}, {20, 32}} {
			copy(to[part[0]+k:], digits[part[0]:part[1]])
		}
		copy(dst[at+dateAt:], l.date)
		if l.day > 0 {
			setClock(dst[at+clockAt:], i-l.first, l.day)
		}
	}
	return dst
}

// setClock writes the time of day of event i of so many: HH:MM:SS.
func setClock(dst []byte, i, day int64) {
	const seconds = 24 * 60 * 60
	disorder := int64(generate.Disorder / time.Second)
	second := i*seconds/day - int64(uint64(i)*0x9e3779b97f4a7c15>>40)%disorder
	second = min(max(second, 0), seconds-1)
	for k, n := range []int64{second / 3600, second / 60 % 60, second % 60} {
		dst[3*k], dst[3*k+1] = byte('0'+n/10), byte('0'+n%10)
	}
}

// load sends batches over connections until so many events are sent, or until done is closed. It calls sent with each batch's events and time.
type load struct {
	feed *feed
	date string
	// day is how many events the date has, in their order in time, and first the number of the first of them; 0: they have the times that they were generated with.
	first, day         int64
	connections, batch int
	next               *atomic.Int64 // number of the next event
	send               func(ctx context.Context, connection int, body []byte, events int) error
	sent               func(events int, took time.Duration)
}

// run sends events until that many are sent, or done is closed.
func (l *load) run(ctx context.Context, events int64, done <-chan struct{}) error {
	group, ctx := errgroup.WithContext(ctx)
	var claimed atomic.Int64
	for c := range l.connections {
		group.Go(func() error {
			var body []byte
			for {
				select {
				case <-done:
					return nil
				default:
				}
				if claimed.Add(int64(l.batch)) > events {
					return nil
				}
				body = l.body(body[:0], l.next.Add(int64(l.batch))-int64(l.batch), l.batch)
				began := time.Now()
				if err := l.send(ctx, c, body, l.batch); err != nil {
					return err
				}
				if l.sent != nil {
					l.sent(l.batch, time.Since(began))
				}
			}
		})
	}
	return group.Wait()
}

// today is a day that is not over yet, so that its events are not sealed.
func today() string { return event.DayOf(time.Now()).String() }
