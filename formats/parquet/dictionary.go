package parquet

import (
	"encoding/binary"
	"hash/maphash"
)

// The bounds of a dictionary. A column chunk that outgrows them goes on in plain pages.
const (
	dictBytes  = 1 << 20 // of the dictionary page
	dictValues = 1 << 16
)

// dictionary numbers the distinct texts of a column chunk in the order in which they first come. The random seed decides where an entry lies in
// the table, and never which number it gets.
type dictionary struct {
	seed  maphash.Seed
	table []dictEntry // open addressing, a power of two, at most half full
	page  []byte      // the dictionary page: each text after its length
	ends  []uint32    // where each text ends in page
	seen  []uint32    // the page of the chunk on which each text was last met
}

type dictEntry struct {
	hash uint32
	id   int32 // counted from 1; 0 is a free place
}

func (d *dictionary) len() int { return len(d.ends) }

func (d *dictionary) text(id int32) []byte {
	start := uint32(4)
	if id > 0 {
		start += d.ends[id-1]
	}
	return d.page[start:d.ends[id]]
}

// find returns the number of s, or the place in the table where it belongs and -1.
func (d *dictionary) find(s string, hash uint32) (place uint32, id int32) {
	mask := uint32(len(d.table) - 1)
	for place = hash & mask; ; place = (place + 1) & mask {
		e := &d.table[place]
		if e.id == 0 {
			return place, -1
		}
		if e.hash == hash && string(d.text(e.id-1)) == s {
			return place, e.id - 1
		}
	}
}

// lookup returns the number of s, -1 if it has none.
func (d *dictionary) lookup(s string) (hash uint32, id int32) {
	if d.table == nil {
		d.table = make([]dictEntry, 64)
	}
	hash = uint32(maphash.String(d.seed, s))
	_, id = d.find(s, hash)
	return hash, id
}

// insert numbers s, which has none yet. It returns -1 when the dictionary is full.
func (d *dictionary) insert(s string, hash uint32) int32 {
	id := int32(len(d.ends))
	if int(id) == dictValues || len(d.page)+4+len(s) > dictBytes {
		return -1
	}
	if 2*len(d.ends) >= len(d.table) {
		d.grow()
	}
	place, _ := d.find(s, hash)
	d.table[place] = dictEntry{hash, id + 1}
	d.page = binary.LittleEndian.AppendUint32(d.page, uint32(len(s)))
	d.page = append(d.page, s...)
	d.ends = append(d.ends, uint32(len(d.page)))
	d.seen = append(d.seen, 0)
	return id
}

func (d *dictionary) grow() {
	old := d.table
	d.table = make([]dictEntry, 2*len(old))
	mask := uint32(len(d.table) - 1)
	for _, e := range old {
		if e.id == 0 {
			continue
		}
		place := e.hash & mask
		for d.table[place].id != 0 {
			place = (place + 1) & mask
		}
		d.table[place] = e
	}
}

func (d *dictionary) reset() {
	clear(d.table)
	d.page, d.ends, d.seen = d.page[:0], d.ends[:0], d.seen[:0]
}
