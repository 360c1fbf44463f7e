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
	start []uint32    // where the length of each text stands in page
	seen  []uint64    // a bit per number: met on the data page under construction
}

type dictEntry struct {
	hash  uint32
	id    int32 // counted from 1; 0 is a free place
	start uint32
}

func (d *dictionary) len() int { return len(d.start) }

func (d *dictionary) text(id int32) []byte { return d.at(d.start[id]) }

// at returns the text whose length stands at start.
func (d *dictionary) at(start uint32) []byte {
	p := d.page[start:]
	return p[4 : 4+binary.LittleEndian.Uint32(p)]
}

func (d *dictionary) hash(s string) uint32 {
	return uint32(maphash.String(d.seed, s))
}

// guess returns the entry that a text of that hash most likely has.
func (d *dictionary) guess(hash uint32) dictEntry {
	if len(d.table) == 0 {
		return dictEntry{}
	}
	return d.table[hash&uint32(len(d.table)-1)]
}

// is reports whether e is the entry of s.
func (d *dictionary) is(e dictEntry, s string, hash uint32) bool {
	return e.hash == hash && e.id != 0 && string(d.at(e.start)) == s
}

// find returns the number of s, -1 if it has none.
func (d *dictionary) find(s string, hash uint32) int32 {
	if len(d.table) == 0 {
		return -1
	}
	mask := uint32(len(d.table) - 1)
	for place := hash & mask; ; place = (place + 1) & mask {
		e := d.table[place]
		if e.id == 0 {
			return -1
		}
		if d.is(e, s, hash) {
			return e.id - 1
		}
	}
}

// insert numbers s, which has no number yet. It returns -1 when the dictionary is full.
func (d *dictionary) insert(s string, hash uint32) int32 {
	id := len(d.start)
	if id == dictValues || len(d.page)+4+len(s) > dictBytes {
		return -1
	}
	if 2*id >= len(d.table) {
		d.grow()
	}
	d.place(dictEntry{hash, int32(id) + 1, uint32(len(d.page))})
	d.start = append(d.start, uint32(len(d.page)))
	d.page = binary.LittleEndian.AppendUint32(d.page, uint32(len(s)))
	d.page = append(d.page, s...)
	if id&63 == 0 {
		d.seen = append(d.seen, 0)
	}
	return int32(id)
}

// see reports whether the text of that number is met for the first time since the last call of unsee.
func (d *dictionary) see(id int32) bool {
	word, bit := &d.seen[id>>6], uint64(1)<<(id&63)
	first := *word&bit == 0
	*word |= bit
	return first
}

func (d *dictionary) unsee() { clear(d.seen) }

func (d *dictionary) grow() {
	old := d.table
	d.table = make([]dictEntry, max(64, 2*len(old)))
	for _, e := range old {
		if e.id != 0 {
			d.place(e)
		}
	}
}

func (d *dictionary) place(e dictEntry) {
	mask := uint32(len(d.table) - 1)
	place := e.hash & mask
	for d.table[place].id != 0 {
		place = (place + 1) & mask
	}
	d.table[place] = e
}

func (d *dictionary) reset() {
	clear(d.table)
	d.page, d.start, d.seen = d.page[:0], d.start[:0], d.seen[:0]
}
