package cloudtrail_test

import (
	"testing"

	"daybook/event"
	"daybook/formats/cloudtrail"
)

func BenchmarkDecode(b *testing.B) {
	var records [][]byte
	size := 0
	for _, data := range files(b, shared(b, "cloudtrail/invictus-20230710")) {
		all, err := decode(data)
		if err != nil {
			b.Fatal(err)
		}
		for _, d := range all {
			records = append(records, d.text)
			size += len(d.text)
		}
	}
	b.SetBytes(int64(size / len(records)))
	b.ReportAllocs()
	var e event.Event
	i := 0
	for b.Loop() {
		e.Reset()
		if err := (cloudtrail.Decoder{}).Decode(records[i%len(records)], &e); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
