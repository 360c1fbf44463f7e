package s3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"daybook/sink"
)

// keepsLock are the storage classes of AWS, in which an object keeps its lock. Any other name, and these at another server, is that of a tier of MinIO, which is a bucket of its own, with locks of its own.
var keepsLock = []string{"STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"}

// TierState is whether a storage holds what locked files are moved there.
type TierState struct {
	Name string `json:"name"`
	// Days is for how long it must hold files, with a lock of Mode.
	Mode sink.Mode `json:"mode,omitempty"`
	Days int       `json:"days,omitempty"`
	// Holds says that it does, or that somebody vouches for it. Else Why says why not, or why that is not known, and Hint what to do.
	Holds bool   `json:"holds"`
	Why   string `json:"why,omitempty"`
	Hint  string `json:"hint,omitempty"`
	// Unknown says that it could not be found out whether it holds.
	Unknown bool `json:"unknown,omitempty"`
}

// CheckTiers asks the bucket of each tier that ages name whether it holds what moves there for as long as it is locked: the server that moves files sets no locks there, and whoever deletes
// a tier's data makes locked files unreadable. Once its settings are right an object is put there, to see it locked. tiers are the buckets that are known, by the tier's name; trusted are those that somebody vouches for. A storage class of AWS holds at AWS
// alone: elsewhere a tier may bear its name.
func (s *Store) CheckTiers(ctx context.Context, ages []Ages, tiers map[string]*Store, trusted []string) []TierState {
	return s.tierStates(ctx, ages, tiers, trusted, true)
}

// tierStates puts an object only if it is to try.
func (s *Store) tierStates(ctx context.Context, ages []Ages, tiers map[string]*Store, trusted []string, try bool) []TierState {
	need := map[string]*TierState{}
	list := []TierState{}
	var names []string
	for _, a := range ages {
		for _, move := range []struct {
			to    string
			after int
		}{{a.Warm, a.WarmAfter}, {a.Cold, a.ColdAfter}} {
			if move.to == "" {
				continue
			}
			t := need[move.to]
			if t == nil {
				t = &TierState{Name: move.to}
				need[move.to], names = t, append(names, move.to)
			}
			if a.Mode == sink.None {
				continue
			}
			if t.Days = max(t.Days, a.ExpireAfter-move.after); t.Mode != sink.Compliance {
				t.Mode = a.Mode
			}
		}
	}
	for _, name := range names {
		t := need[name]
		bucket, known := tiers[name]
		switch {
		case slices.Contains(trusted, name), t.Mode == sink.None, !known && s.atAWS() && slices.Contains(keepsLock, name):
			t.Holds = true
		case !known:
			t.Unknown = true
			t.Why = "whether the bucket behind this tier is locked is not known"
			t.Hint = "name it in store.tiers of the configuration, or vouch for it with --trust-tier " + name
		default:
			err := bucket.tierHolds(ctx, name, t.Mode, t.Days, try)
			if t.Holds = err == nil; !t.Holds {
				t.Unknown = Refused(err) || !errors.Is(err, sink.ErrUnfit)
				var h *sink.HintError
				if t.Why = err.Error(); errors.As(err, &h) {
					t.Hint = h.Hint
				}
			}
		}
		list = append(list, *t)
	}
	return list
}

// atAWS reports whether the store's server is AWS itself.
func (s *Store) atAWS() bool {
	host := s.client.EndpointURL().Hostname()
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
}

// errNoLock is also what MinIO answers for a bucket that is not there.
var errNoLock = errors.New("it has no Object Lock, or there is no such bucket")

// tierHolds says why the bucket of a tier would not hold objects that others put there; nil if it does.
func (s *Store) tierHolds(ctx context.Context, tier string, mode sink.Mode, days int, try bool) error {
	locked, has, err := s.lockConfig(ctx)
	create := "daybook bucket create --tier " + tier
	if err == nil && !locked {
		err = fmt.Errorf("%s: %w: %w", s.url(""), sink.ErrUnfit, errNoLock)
	}
	switch {
	case errors.Is(err, errNoLock), errors.Is(err, errNoBucket):
		return &sink.HintError{
			Err:  err,
			Hint: fmt.Sprintf("`%s --config FILE` makes the bucket that store.tiers names; one that is there without Object Lock is not given it: name another", create),
		}
	case err != nil:
		return err
	case !has.covers(floor{mode, uint(days)}):
		return &sink.HintError{
			Err:  fmt.Errorf("%s: %w: its default retention is %q, %d days, and %s for %d days is needed", s.url(""), sink.ErrUnfit, has.mode, has.days, mode, days),
			Hint: fmt.Sprintf("`%s --mode %s --days %d --config FILE` makes it so", create, strings.ToLower(string(mode)), days),
		}
	}
	// The setting is a promise: some servers take it, and lock nothing.
	held, err := s.stamps(ctx, mode, days, try)
	switch {
	case errors.Is(err, errUntried):
		return &sink.HintError{Err: fmt.Errorf("%s: %w", s.url(""), err), Hint: "`daybook bucket plan --config FILE` tries it once"}
	case err != nil:
		return &sink.HintError{
			Err: fmt.Errorf("%s: whether it locks what comes there without a lock can't be tried: %w", s.url(""), err),
			Hint: fmt.Sprintf("let the tier's credential do s3:PutObject, s3:GetObject and s3:GetObjectRetention on %s, or vouch for the tier with --trust-tier %s",
				s.arn(tierProbe), tier),
		}
	case !held:
		return &sink.HintError{
			Err:  fmt.Errorf("%s: %w: it has a default retention, and puts no lock on what comes there without one", s.url(""), sink.ErrUnfit),
			Hint: "have the tier on another server; or, if nobody can delete there, vouch for it with --trust-tier " + tier,
		}
	}
	return nil
}

// tierProbe is what is put into the bucket of a tier without a lock, to see whether it gets one. It stays for as long.
const tierProbe = LabPrefix + "tier"

// errUntried says that nobody has put an object there to see it locked.
var errUntried = errors.New("whether it locks what comes there without a lock was not tried yet")

// stamps reports whether the server puts the bucket's default retention, which is said to be such, on an object without a lock. One that was locked before is enough;
// where there is none it puts one, if it is to try.
func (s *Store) stamps(ctx context.Context, mode sink.Mode, days int, try bool) (bool, error) {
	held := func(version string) (bool, error) {
		stat, err := s.stat(ctx, s.prefix+tierProbe, version)
		if err != nil {
			return false, err
		}
		lock, err := lockOf(stat.Metadata)
		// A minute less, since the two times need not be of one clock.
		return lock.Covers(sink.Lock{Mode: mode, RetainUntil: stat.LastModified.AddDate(0, 0, days).Add(-time.Minute)}), err
	}
	before, err := held("")
	switch {
	case before && err == nil:
		return true, nil
	case !try && (err == nil || errors.Is(err, sink.ErrNotExist)):
		return false, errUntried
	case !try:
		return false, err
	}
	version, err := (&Lab{s}).Put(ctx, tierProbe, []byte("put to see whether it is locked\n"), Attempt{})
	if err != nil {
		return false, err
	}
	return held(version)
}
