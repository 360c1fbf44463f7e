package sink

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// ErrUnknown says that a store cannot tell what it was asked for.
var ErrUnknown = errors.New("the store cannot tell")

// Entry is one version of an object, or a delete marker in front of its versions.
type Entry struct {
	// Key is relative to the store's root.
	Key string
	// Version is blank in a store without versions. List may leave it out: S3 does not tell it there.
	Version string
	// Size is in bytes; 0 for a marker, -1 for what stands in a folder and is no regular file, which Head and Get refuse.
	Size     int64
	Modified time.Time
	// ETag changes with the object's bytes; blank in a store that has none.
	ETag string
	// Latest says that this is what a reader gets who names no version.
	Latest bool
	Marker bool
}

// Lister is a store that can tell which objects it holds: the newest version of each, in the byte order of whole keys, those that begin with prefix. What a
// delete marker hides is left out. A key may be one that CheckKey refuses: it is told all the same, and Head and Get fail. An error ends the sequence: what
// came before it is not all.
type Lister interface {
	List(ctx context.Context, prefix string) iter.Seq2[Entry, error]
}

// Versioner is a store that can tell every version and delete marker of the keys that begin with prefix: in the order of Lister, of one key the newest first.
// An error ends the sequence.
type Versioner interface {
	Versions(ctx context.Context, prefix string) iter.Seq2[Entry, error]
}

// ExpiryRule is a rule by which a store removes objects of its own accord.
type ExpiryRule struct {
	ID string
	// Prefix is what the rule covers, relative to the store's root; blank is all of it.
	Prefix string
	// Filtered says that the rule asks for more than the prefix: tags, sizes, or how many newer versions there are.
	Filtered bool
	// Days after it was written an object is removed, or at Date. Both are zero for a rule of noncurrent versions or markers alone.
	Days int
	Date time.Time
	// NoncurrentDays after a newer version came an older one is removed.
	NoncurrentDays int
	// Markers says that delete markers without versions are removed.
	Markers bool
}

// Expirer is a store that can tell by which rules it removes objects below its root; ErrUnknown where the server does not say.
type Expirer interface {
	Expiry(ctx context.Context) ([]ExpiryRule, error)
}

// Clock is a store that knows by how much its clock is ahead of ours, from what it answered last, to about a second; false if it never did.
type Clock interface {
	Offset() (time.Duration, bool)
}

// Setting is how one thing of a store is set up, as far as that can be read.
type Setting struct {
	// Name is what is set: versioning, object-lock, default-retention, lifecycle, policy, encryption; or "tier" and the name of one that files move to.
	Name string `json:"name"`
	// Value is how, as text that changes only if that does.
	Value string `json:"value"`
	// Unknown says why it can't be read; Value is blank then.
	Unknown string `json:"unknown,omitempty"`
	// Away says that it could not be asked: there was no answer, or one that tells nothing of the setting, which may be as it was.
	Away bool `json:"away,omitempty"`
}

// Inspector is a store that can tell how it is set up, by settings that others may change. The error is that nothing could be asked; a setting that the credential
// may not read, or that the server does not have, says so itself.
type Inspector interface {
	Inspect(ctx context.Context) ([]Setting, error)
}

// Ranger is a store that can give an object without its beginning, so that a download that broke off goes on where it was.
type Ranger interface {
	// GetFrom is Get from the byte at an offset on. An offset at or past the object's end, or before its beginning, is an error.
	GetFrom(ctx context.Context, key, version string, offset int64) (io.ReadCloser, error)
}

// Link is a URL under which an object can be read until a time by whoever has it.
type Link struct {
	URL   string
	Until time.Time
}

// Linker is a store that can give links.
type Linker interface {
	// Link gives a link to a version of an object, which a browser saves as name. It ends after expires, or earlier with the credential that made it; longer than
	// the store allows is an error. The object is not looked at: a link to nothing is given as well.
	Link(ctx context.Context, key, version, name string, expires time.Duration) (Link, error)
}

// Frost says whether an object lies in an archive.
type Frost struct {
	// Class is the store's name for where it lies; blank for the usual place.
	Class string
	// Cold says that it can't be read now, Thawing that it is being brought back.
	Cold, Thawing bool
	// Until is when a copy that was brought back goes away again; zero for an object that can't be read, or that lies in no archive.
	Until time.Time
}

// Tiers by which an object is brought back: how fast, and at what price.
const (
	TierExpedited = "expedited"
	TierStandard  = "standard"
	TierBulk      = "bulk"
)

// Thawer is a store that has archives, from which an object is brought back before it can be read: a copy of it, for some days. The object stays what and where it is, with
// its version and its lock. A blank version means the newest. ErrNotExist, ErrHidden.
type Thawer interface {
	Frost(ctx context.Context, key, version string) (Frost, error)
	// Thaw asks for the object to be brought back, and returns how it is then. What is being brought back already, or need not be, is left as it is; a copy that would go
	// away before its days are over is kept longer.
	Thaw(ctx context.Context, key, version string, days int, tier string) (Frost, error)
}

// Locker is a store that can keep objects for longer. Its methods never shorten a lock, never weaken its mode and never bypass it. What they return was read
// back; Existed says that nothing had to be sent. A blank version means the newest. ErrNotExist, ErrHidden; ErrUnfit where the store is one without locks.
type Locker interface {
	// Lengthen makes the lock of a version cover want: what is longer or stricter about it stays as it is, and one that reads back weaker is
	// ErrLock. So is a stricter mode over one that is in force, where the server takes that only from who may bypass it, as MinIO and versitygw do.
	Lengthen(ctx context.Context, key, version string, want Lock) (Info, error)
	// Hold puts a legal hold on a version, or lifts it. If it does not read back so, the error is ErrHold.
	Hold(ctx context.Context, key, version string, on bool) (Info, error)
}
