// Package spool holds events between the moment they are taken in and the moment their day is sealed, and hands them out in order: those of one trail and
// day as Items, by class, time in microseconds, id and content hash, each event once. There are two of a kind.
//
// A Sorter is for a bulk export, whose input can be read again. It guarantees that what it hands out depends on the events alone, not on their order, on
// the number of Writers or on its memory. It keeps nothing after a crash, which leaves files of no use in its folder.
//
// A Store is for events that nobody sends a second time. It guarantees that an event is on stable storage once Append has returned, that equal events are
// kept once, that a frozen generation never changes until it is dropped, and that every event that was ever appended is a duplicate, pending, or accounted
// for by what was said when its generation was sealed: totals are written in one go with what they count. Each of its methods is done as a whole or not at all, but for Append, of which
// any part may be. A crash at any moment leaves a folder that opens again with all that was acknowledged, and maybe with more: what a method was at that
// had not returned yet. What it reads is checked against checksums and, for a whole generation, against the count that was kept with it: damage is an
// error and nothing is left out in silence: Salvage hands out the rest and tells what is missing, so that a day can be sealed all the same. What it can't notice is that the end of the log or of the engine's manifest is damaged after a crash, which
// looks as if it had not been written to the end; after a Close it can.
//
// After a failure of the disk whose outcome is not known, as that of a sync, a Store stops: it writes nothing more and acknowledges nothing, and finds out
// when it is opened again.
//
// The memory of both is bounded by configuration, never by the number of events.
package spool
