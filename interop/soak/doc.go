// Package soak lets the service live through what happens to it in years, within minutes: it runs the daybook command against real servers behind a proxy that disturbs
// the way to them, has senders send, kills it, stops it, reloads it, switches trails off and on, restores it from backups, and holds what is in the bucket then, and what
// still waits, against what was acknowledged.
//
// It is a test, not a program: the servers, the folders and the process end with it whatever happens, what failed is reported as everywhere, and the short run that is part
// of make test is the long one of make soak with another time. It needs the three binaries that make test builds, and is skipped without them.
//
// The seed decides which faults come in which order, how strong they are and how long they last, and what the senders make up. What meets what is up to the machine.
package soak
