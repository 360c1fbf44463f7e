package parquet_test

import (
	"bytes"
	"runtime"
	"syscall"
	"testing"
	gotime "time"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/parquet"
)

type countingWriter struct{ n int64 }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return len(p), nil
}

var acme = formats.File{Trail: "acme", Class: "standard", Day: 20522}

// BenchmarkEncode measures an event in CPU, bytes written and, at its height, heap in use: of the encoder alone, as the events stay the same.
func BenchmarkEncode(b *testing.B) {
	g := newGenerator()
	batch := make([]event.Event, 1000)
	out := &countingWriter{}
	e, err := parquet.NewEncoder(out, acme, nil)
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	before, peak := heapInUse(), uint64(0)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu := gotime.Duration(0)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += len(batch) {
		b.StopTimer()
		for i := range batch {
			batch[i] = g.next()
		}
		if done/len(batch)%16 == 0 {
			runtime.GC()
			peak = max(peak, heapInUse())
		}
		b.StartTimer()
		start := threadCPU(b)
		if err := e.Encode(batch[:min(len(batch), b.N-done)]); err != nil {
			b.Fatal(err)
		}
		cpu += threadCPU(b) - start
	}
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(out.n)/float64(b.N), "written-B/op")
	b.ReportMetric(float64(peak-before)/1e6, "peak-MB")
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// threadCPU is the time that this thread had a processor: unlike the clock it does not count what else the machine does.
func threadCPU(b *testing.B) gotime.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(1, &u); err != nil { // RUSAGE_THREAD
		b.Fatal(err)
	}
	return gotime.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCheck measures a row in CPU and, at its height, heap in use beside the file.
func BenchmarkCheck(b *testing.B) {
	const rows = 300_000
	events := newGenerator().events(rows)
	data := encode(b, acme, nil, events, 1000)
	b.SetBytes(int64(len(data)) / rows)
	runtime.GC()
	before, peak := heapInUse(), uint64(0)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu := gotime.Duration(0)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += rows {
		c := parquet.NewChecker(bytes.NewReader(data), int64(len(data)), acme)
		start := threadCPU(b)
		for i := range min(rows, b.N-done) {
			if err := c.Check(&events[i]); err != nil {
				b.Fatal(err)
			}
		}
		cpu += threadCPU(b) - start
		runtime.GC()
		peak = max(peak, heapInUse())
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(peak-before)/1e6, "peak-MB")
}
