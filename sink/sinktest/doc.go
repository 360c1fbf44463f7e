// Package sinktest holds what tests of, and against, a sink.Store need.
//
// Run is the conformance suite: what a store must do for the rest of Daybook to be right, in so far as it can be seen from outside.
// Every store passes it, against real servers too.
//
// Memory is a store for the tests of others. It behaves as a bucket with Object Lock does, traps included, lets a test script the
// failure of any operation, before or after it took effect, and lets it do what an attacker, an administrator or a disk may do.
package sinktest
