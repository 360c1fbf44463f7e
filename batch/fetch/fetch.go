// Package fetch gets sealed files back out of a store: it finds them by what the seals say, and reads them by the version that was sealed.
//
// What it guarantees: a file that it hands over is the one that its seal lists, to the byte, since it is hashed while it is written and stands under its name
// only then; nothing that was there is written over; seals are gone through in order, and a hole in their numbers, or a manifest that does not follow the one
// before, ends the search instead of being passed over. With keys, it goes by seals alone whose note bears a good signature by one of them. It needs a
// credential that may list and read, and nothing local. Memory does not grow with the number of seals or files, but for the names that Options.Flat needs.
//
// What it does not: without keys it believes the store's manifests. It does not look at the log, at revocations or at anchors, and can't tell that the last
// seals were taken away: package verify does. After a crash, what was fetched of a file lies beside its place as .part, and is hashed again and gone on with
// when the file is asked for again.
package fetch

import (
	"errors"
	"time"

	"daybook/batch/seal"
	"daybook/event"
)

var (
	// ErrAltered says that the store does not hold what was sealed.
	ErrAltered = errors.New("not what was sealed")
	// ErrUntrusted says that no trusted key signed a seal.
	ErrUntrusted = errors.New("no key of yours signed it")
	// ErrUnlisted says that no seal lists a key.
	ErrUnlisted = errors.New("no seal lists it")
	// ErrThere says that something else stands where a file is to go.
	ErrThere = errors.New("something else is there")
)

// Query says which files are wanted. The zero Query is all.
type Query struct {
	// Trail is one by name; blank is all.
	Trail string
	// From and To are days, both included; zero is open.
	From, To event.Day
	// Project is the id of a project, which may be blank, for the files that hold its events alone; nil is every file.
	Project *string
	// Formats and Classes are by name; none is all.
	Formats, Classes []string
	// Since leaves out the seals of a trail up to this number.
	Since uint64
	// Through is the last seal of each trail that counts, where it is not nil: a trail that is not in it has none.
	Through map[string]uint64
	// Keys are files by key; none is all. One that no seal lists, or that the rest of the query leaves out, is ErrUnlisted.
	Keys []string
	// Trusted are the keys one of which must have signed a seal; none takes every seal as it is.
	Trusted []seal.PublicKey
	// Shared is told, where Project is set, of each file that the query leaves out only because it holds the events of several projects, and that may hold
	// some of this one: its seal has none of that format and class that is the project's own.
	Shared func(File)
}

// File is a file and the seal that lists it.
type File struct {
	Trail    string    `json:"trail"`
	Org      string    `json:"org"`
	Day      seal.Date `json:"day"`
	Seal     uint64    `json:"seal"`
	Addendum int       `json:"addendum"`
	SealedAt time.Time `json:"sealed_at"`
	seal.File
}
