//go:build unix

package spool_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"daybook/batch/spool"
	"daybook/event"
)

// benchEvents is a batch of events of about 700 bytes that differ in id and time.
func benchEvents(n int) ([]event.Event, [][]byte) {
	rng := rand.New(rand.NewPCG(1, 2))
	events, rows := make([]event.Event, n), make([][]byte, n)
	start := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	for i := range events {
		e := &events[i]
		e.Time = start.Add(time.Duration(i)*20*time.Millisecond + time.Duration(rng.Int64N(int64(10*time.Minute)))).Truncate(time.Microsecond)
		e.Set(event.ID, fmt.Sprintf("%08x-%04x-4000-8000-%012x", rng.Uint32(), rng.Uint32N(1<<16), rng.Uint64N(1<<48)))
		e.Set(event.Source, "bench")
		e.Set(event.Org, "acme")
		e.Set(event.Action, "s3:GetObject")
		e.Set(event.ActorID, fmt.Sprintf("arn:aws:iam::123456789012:user/u%d", i%5000))
		e.Set(event.Info, `{"bucketName":"b","key":"`+strings.Repeat("k", 430)+`"}`)
		rows[i] = e.AppendJSON(nil)
	}
	return events, rows
}

// BenchmarkSorter is the cost of an event from Add to the end of the scan. It reports CPU time, since the machine may be shared.
func BenchmarkSorter(b *testing.B) {
	events, rows := benchEvents(100_000)
	b.SetBytes(int64(len(rows[0])))
	s := spool.NewSorter(b.TempDir(), 64<<20)
	defer s.Close()
	day := event.DayOf(events[0].Time)
	group := spool.Group{Day: day}
	var before, mid, after syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &before))
	b.ResetTimer()
	w := s.Writer()
	for i := range b.N {
		k := i % len(events)
		e := &events[k]
		e.Time = e.Time.Add(2000 * time.Second) // as if the batch went on
		if err := w.Add(group, e, rows[k], false, false); err != nil {
			b.Fatal(err)
		}
	}
	must(b, w.Close())
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &mid))
	n := 0
	var stats spool.ScanStats
	for _, err := range s.Scan(0, day, &stats) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &after))
	b.StopTimer()
	if n != b.N {
		b.Fatalf("%d of %d events came out", n, b.N)
	}
	b.ReportMetric(float64(cpu(&mid)-cpu(&before))/float64(b.N), "add-cpu-ns/op")
	b.ReportMetric(float64(cpu(&after)-cpu(&mid))/float64(b.N), "scan-cpu-ns/op")
}

func cpu(r *syscall.Rusage) time.Duration {
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkAppend is the cost of an event from Append, a thousand at a time, to the end of the scan.
func BenchmarkAppend(b *testing.B) {
	events, rows := benchEvents(100_000)
	b.SetBytes(int64(len(rows[0])))
	s, err := spool.Open(b.TempDir(), nil)
	must(b, err)
	defer s.Close()
	_, err = s.TrailID("audit")
	must(b, err)
	_, err = s.ClassID("standard")
	must(b, err)
	day := event.DayOf(events[0].Time)
	items := make([]spool.Item, 0, 1000)
	var before, mid, after syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &before))
	b.ResetTimer()
	for i := range b.N {
		k := i % len(events)
		e := &events[k]
		e.Time = e.Time.Add(2000 * time.Second)
		tail := spool.AppendTail(nil, e.Time, e.Get(event.ID), e.ContentHash(rows[k]))
		items = append(items, spool.Item{Group: spool.Group{Day: day}, Tail: tail, Row: rows[k]})
		if len(items) == cap(items) || i == b.N-1 {
			if _, err := s.Append(items); err != nil {
				b.Fatal(err)
			}
			items = items[:0]
		}
	}
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &mid))
	_, err = s.Freeze(0, day)
	must(b, err)
	n := 0
	for _, err := range s.Scan(0, day, &spool.ScanStats{}) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &after))
	b.StopTimer()
	if n != b.N {
		b.Fatalf("%d of %d events came out", n, b.N)
	}
	b.ReportMetric(float64(cpu(&mid)-cpu(&before))/float64(b.N), "append-cpu-ns/op")
	b.ReportMetric(float64(cpu(&after)-cpu(&mid))/float64(b.N), "scan-cpu-ns/op")
}
