package spool

import (
	"encoding/binary"
	"time"

	"daybook/event"
)

// The records of a Store. Frozen:
//
//	'I'                                                          → ID, a random text
//	'S' | trail 2 | generation 4                                 → a Sealing; see there
//	'a'                                                          → format version 4
//	'b'                                                          → number of the next generation 4
//	'c' | class 1                                                → name
//	'd' | trail 2 | day 4                                        → its generations, ascending, each: number 4 | state 1 | events 8 | sealed at 8
//	'r'                                                          → revision 8
//	't' | trail 2                                                → name
//	'u' | trail 2                                                → totals: accepted 8 | duplicates 8 | sealed 8 | damaged 8
//	'z' | trail 2 | day 4 | generation 4 | class 1 | tail        → flags 1 | row
//
// Numbers are big endian, a day has its sign bit turned over, sealed at is in seconds since 1970. The tail is that of a key; see AppendTail. What stands
// between 'a' and 'z' is read when a store is opened; nothing else grows with its age but the sealings.
//
// A generation is what was spooled for a trail's day until it was frozen. Its number is given once in the life of a store. The count of its events is
// written together with them, and so are the totals.
//
// Format 1 had neither sealings nor totals. The ID came later than format 2: a store without one is given it when it is opened.
const (
	tableID       = 'I'
	tableSealing  = 'S'
	tableVersion  = 'a'
	tableNext     = 'b'
	tableClass    = 'c'
	tableDay      = 'd'
	tableRevision = 'r'
	tableTrail    = 't'
	tableTotals   = 'u'
	tableEvent    = 'z'

	formatVersion = 2

	dayKeyLen     = 1 + 2 + 4
	generationLen = 4 + 1 + 8 + 8
	eventPrefix   = dayKeyLen + 4
	eventHead     = eventPrefix + 1
)

// A generation takes events while it is open, then is frozen, then sealed, then dropped. Of a trail's day at most one is open and one is frozen.
const (
	stateOpen = iota
	stateFrozen
	stateSealed
)

// flag bits of an event.
const storedSuspect = 1

type dayKey struct {
	trail uint16
	day   event.Day
}

type generation struct {
	number uint32
	state  uint8
	events int64
	sealed time.Time

	// oldest is the earliest time of its events in µs since 1970. It is not in the record: of a generation that was there when the store was opened it is
	// not known before somebody asks.
	oldest      int64
	oldestKnown bool
}

func number(value []byte) (uint32, bool) {
	if len(value) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(value), true
}

// append appends the key of the trail's day in a table.
func (k dayKey) append(dst []byte, table byte) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, table), k.trail)
	return binary.BigEndian.AppendUint32(dst, uint32(k.day)^1<<31)
}

// appendPrefix appends what the keys of a generation's events begin with.
func (k dayKey) appendPrefix(dst []byte, generation uint32) []byte {
	return binary.BigEndian.AppendUint32(k.append(dst, tableEvent), generation)
}

func appendGenerations(dst []byte, list []generation) []byte {
	for _, g := range list {
		dst = binary.BigEndian.AppendUint32(dst, g.number)
		dst = append(dst, g.state)
		dst = binary.BigEndian.AppendUint64(dst, uint64(g.events))
		sealed := int64(0)
		if g.state == stateSealed {
			sealed = g.sealed.Unix()
		}
		dst = binary.BigEndian.AppendUint64(dst, uint64(sealed))
	}
	return dst
}

// parseDay reads the record of a trail's day.
func parseDay(key, value []byte) (k dayKey, list []generation, ok bool) {
	if len(key) != dayKeyLen || len(value) == 0 || len(value)%generationLen != 0 {
		return k, nil, false
	}
	k = dayKey{binary.BigEndian.Uint16(key[1:]), event.Day(binary.BigEndian.Uint32(key[3:]) ^ 1<<31)}
	for ; len(value) > 0; value = value[generationLen:] {
		g := generation{number: binary.BigEndian.Uint32(value), state: value[4], events: int64(binary.BigEndian.Uint64(value[5:]))}
		if g.state == stateSealed {
			g.sealed = time.Unix(int64(binary.BigEndian.Uint64(value[13:])), 0).UTC()
		}
		list = append(list, g)
	}
	return k, list, true
}
