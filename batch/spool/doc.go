// Package spool holds events between the moment they are taken in and the moment their day is sealed, and hands them out in order.
//
// Sorter is for a bulk export, whose input can be read again: it keeps nothing after a crash. Both hand out the same thing: the events of one
// trail and day as Items, ordered by class, time in microseconds, id and content hash, each event once. Memory is bounded by configuration, never
// by the number of events.
package spool
