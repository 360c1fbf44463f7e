package sink

import (
	"context"
	"errors"
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
	// Name is what is set: versioning, object-lock, default-retention, lifecycle, policy, encryption.
	Name string `json:"name"`
	// Value is how, as text that changes only if that does.
	Value string `json:"value"`
	// Unknown says why it can't be read; Value is blank then.
	Unknown string `json:"unknown,omitempty"`
}

// Inspector is a store that can tell how it is set up, by settings that others may change. The error is that nothing could be asked; a setting that the credential
// may not read, or that the server does not have, says so itself.
type Inspector interface {
	Inspect(ctx context.Context) ([]Setting, error)
}
