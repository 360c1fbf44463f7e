package spool

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"

	"daybook/event"
	"daybook/formats/jsonl"
)

// A key orders the events of a store. It is compared as bytes. Frozen:
//
//	trail 2 | day 4 | class 1 | time 8 | id … 00 01 | content hash 32
//
// Numbers are big endian, day and time (µs since 1970) with their sign bit turned over, so that bytes order as the numbers do. In the id a zero byte
// is written as 00 FF. The part from time on is the tail: it tells the events of one trail and day apart, whatever their class.
const (
	groupLen = 7
	timeLen  = 8
	hashLen  = 32

	idEndLen   = 2
	minTailLen = timeLen + idEndLen + hashLen
)

// Group says which files an event belongs to: its trail and class by number, and the day it is filed under.
type Group struct {
	Trail uint16
	Day   event.Day
	Class uint8
}

func appendGroup(dst []byte, g Group) []byte {
	dst = binary.BigEndian.AppendUint16(dst, g.Trail)
	dst = binary.BigEndian.AppendUint32(dst, uint32(g.Day)^1<<31)
	return append(dst, g.Class)
}

func groupOf(key []byte) Group {
	return Group{
		Trail: binary.BigEndian.Uint16(key),
		Day:   event.Day(binary.BigEndian.Uint32(key[2:]) ^ 1<<31),
		Class: key[6],
	}
}

// TailLen is how long the tail of an event with that id is.
func TailLen(id string) int { return minTailLen + len(id) + strings.Count(id, "\x00") }

// AppendTail appends the tail of an event's key.
func AppendTail(dst []byte, t time.Time, id string, hash [hashLen]byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.UnixMicro())^1<<63)
	for {
		i := strings.IndexByte(id, 0)
		if i < 0 {
			break
		}
		dst = append(append(dst, id[:i]...), 0, 0xff)
		id = id[i+1:]
	}
	dst = append(append(dst, id...), 0, 1)
	return append(dst, hash[:]...)
}

// TailOf appends the tail of the event whose evidence row that is. It reads the row into e.
func TailOf(dst []byte, e *event.Event, row []byte) ([]byte, error) {
	if err := jsonl.ParseRow(row, e); err != nil {
		return dst, err
	}
	return AppendTail(dst, e.Time, e.Get(event.ID), e.ContentHash(row)), nil
}

// SameEvent reports whether two tails have the same time and id: then they are one event, or two in conflict.
func SameEvent(a, b []byte) bool {
	return len(a) == len(b) && len(a) > hashLen && bytes.Equal(a[:len(a)-hashLen], b[:len(b)-hashLen])
}

// sortKey is the first 23 bytes of a key as numbers, so that most comparisons need not touch the key itself: its group, its time, and the first
// eight bytes of what follows (a key has at least eighteen there).
type sortKey [3]uint64

func sortKeyOf(key []byte) sortKey {
	return sortKey{
		binary.BigEndian.Uint64(key) >> 8,
		binary.BigEndian.Uint64(key[groupLen:]),
		binary.BigEndian.Uint64(key[groupLen+timeLen:]),
	}
}

// trailDay returns the trail and day.
func (a *sortKey) trailDay() (uint16, event.Day) {
	return uint16(a[0] >> 40), event.Day(uint32(a[0]>>8) ^ 1<<31)
}

func (a *sortKey) compare(b *sortKey) int {
	for i := range a {
		if a[i] != b[i] {
			if a[i] < b[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}
