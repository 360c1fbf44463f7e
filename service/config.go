// Package service is the standing service: it takes events in over HTTP, from folders and from buckets, looks for days that are due and has them sealed, and tells
// how it stands.
//
// What it guarantees: an event that was answered with 2xx is on stable storage, and will be in a seal of each trail that it was accepted for. Sealing never keeps
// events from being taken in; while the store is away they wait in the spool. What an admin does is a record of the control journal first, and an event of the
// org's own trail then. What it does not: take in events without a credential, or name a store, a folder or a bucket that the configuration does not.
//
// After a crash the next start finishes what was begun: events that were acknowledged are there, a seal is carried out as it was journalled, and the time between is
// declared as a gap.
package service

import (
	"context"
	"crypto/x509"
	"io"
	"log/slog"
	"time"

	"daybook/batch"
	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/sink"
)

// Config is what a service works with.
type Config struct {
	// Batch says what is sealed, how, and where to. Its Trails are those that the configuration declares; others are declared where they are enabled.
	Batch batch.Settings
	// Where names the store, as people call it.
	Where string
	// Reading says how records become events; org, source and time are set for each sender.
	Reading intake.Settings
	// MinFree is how many bytes of the disk must be free for events to be taken in.
	MinFree uint64
	// Keep is how long sealed events stay in the spool, KeepQuarantine how long refused records lie.
	Keep, KeepQuarantine time.Duration
	// MaxWait is how long a closed day waits for a source; CoolOff how long an approved disabling waits.
	MaxWait, CoolOff time.Duration
	// Schedule says when to look, VerifySchedule when to read back what was sealed lately (blank: never), both in Zone.
	Schedule       string
	VerifySchedule string
	Zone           *time.Location

	// Listen is the address to serve. Certificate, Key and ClientCA are PEM files; blank: plain HTTP, no client certificates.
	Listen, Certificate, Key, ClientCA string
	Senders                            []CertificateSender
	Admins                             []CertificateAdmin

	MaxBody     int64
	MaxRequests int
	Rate        int
	BodyTimeout time.Duration
	// Drain is how long requests and a seal may take to end when the service stops.
	Drain time.Duration

	Drop   []Drop
	Follow []Follow

	// Steady is the monotonic clock, from any moment on, by which a clock that was set is noticed; nil: the machine's.
	Steady func() time.Duration

	// Effective is the configuration as it took effect, a line for each key, without secrets: what changes is told by its difference.
	Effective []string
	Log       *slog.Logger
}

// CertificateSender is a client certificate that may send events.
type CertificateSender struct{ Certificate, Org, Source string }

// CertificateAdmin is a client certificate that may administer.
type CertificateAdmin struct{ Certificate, Name, Role, Org string }

// Drop is a folder that files of events are moved into.
type Drop struct{ Path, Org, Source, From string }

// Follow is a place whose files are only read.
type Follow struct {
	Org, Source, From string
	// Where names the place, of all that Endpoint has (blank: the usual one), and Store reads it.
	Where    string
	Endpoint string
	Store    FollowStore
	Every    time.Duration
}

// place tells apart what is followed: whose events they are belongs to it, since what was read for one is not for another.
func (f *Follow) place() string {
	place := f.Where + "\n" + f.Org + "\n" + f.Source
	if f.Endpoint != "" {
		place += "\n" + f.Endpoint
	}
	return place
}

// FollowStore is a place that can be listed and read. An error of List beside an entry that has a key is of what lies there alone, a file or a folder, and the listing goes on;
// any other ends it.
type FollowStore interface {
	sink.Lister
	Getter
}

// Getter reads an object.
type Getter interface {
	Get(ctx context.Context, key, version string) (io.ReadCloser, error)
}

// names returns the names of a certificate, as the configuration may call it.
func names(c *x509.Certificate) []string {
	list := append([]string{c.Subject.CommonName}, c.DNSNames...)
	for _, u := range c.URIs {
		list = append(list, u.String())
	}
	return append(list, c.EmailAddresses...)
}

// digest is that of the configuration, as seals bear it.
func (c *Config) digest() seal.Hash { return c.Batch.Config }
