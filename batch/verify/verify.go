// Package verify checks a store with nothing but the store, and what an auditor holds: a public key, a policy of witnesses, a checkpoint noted down.
//
// What it guarantees: every object that is in the store is accounted for by a manifest, the log or a key, or reported; every signature, hash, link, count and
// range that the README names was checked, or there is a finding that says why not; a fault in one object never keeps another from being checked; the report
// says which level was reached, and never that all is well. It only reads. Memory grows with the number of files (about a hundred bytes each), and never with
// events or bytes, whatever the store holds: the store is taken to be hostile.
//
// What it does not: it can't know what was never sealed, nor who holds a key. Where no key, policy or checkpoint is given, a store that was made anew from
// beginning to end by somebody else verifies, and the report says that nobody vouches for it.
package verify

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"filippo.io/torchwood"

	"daybook/batch/seal"
	"daybook/event"
	"daybook/sink"
)

// Options say what an auditor holds, and what is to be checked. The zero value is usable.
type Options struct {
	// Keys are those that the auditor trusts.
	Keys []seal.PublicKey
	// Policy names the witnesses whose cosignatures count (c2sp.org/tlog-policy).
	Policy []byte
	// Checkpoints were noted down outside the store.
	Checkpoints [][]byte
	// TimestampRoots are the certificates that vouch for time-stamping authorities.
	TimestampRoots *x509.CertPool
	// Trail, From and To narrow which data files are read; seals and log are checked from their beginning in any case. To is included.
	Trail    string
	From, To event.Day
	// Deep compares every rendering with the evidence.
	Deep bool
	// Partial says that the store is a copy of some days or formats: what is absent is told and is no fault.
	Partial bool
	// Workers is how many files are read at a time. Default: one for each CPU.
	Workers int
	// TempDir is where Deep puts what it needs twice. Default: the system's.
	TempDir string
	// Now is the time. Default: time.Now.
	Now func() time.Time
	// Alone reports whether who writes to the store has not written since the verification began, is not at it, and has left no seal half made: what no seal explains is then somebody else's.
	// Default: it is not known.
	Alone func() bool
	// Progress is told what is going on. It is called from several goroutines.
	Progress func(Progress)
}

// Progress is how far a verification has come.
type Progress struct {
	// Bytes were read of about Total.
	Bytes, Total int64
	// Files were checked.
	Files int64
}

// ErrAsked says that something was asked for that makes no sense.
var ErrAsked = errors.New("cannot verify")

// clockSkew is how far two clocks may be apart before it is a finding: as far as events of the future are taken (design: 15 minutes).
const clockSkew = 15 * time.Minute

type verifier struct {
	store  sink.Store
	o      Options
	now    time.Time
	report *Report
	policy torchwood.Policy
	pins   []pin

	inv  *inventory
	keys map[string]seal.PublicKey // the files under keys/, by ID
	met  map[string]bool           // IDs of keys that signed something in a store without a log
	// keysTold are IDs of keys whose file was reported as missing.
	keysTold map[string]bool
	log      *logState // never nil; see there
	// asked: some seal is of the trail and days that were asked for.
	asked bool
	// unsigned and signed say which kinds of seals were met.
	unsigned, signed bool
	// vouchless: for the manifest of some seal neither a note nor the log vouches.
	vouchless bool

	expiry   []*expiryRule
	control  []controlLock
	keyLocks map[string]sink.Lock // by key ID, what the seals that it signed need
	locked   bool                 // some file has a lock

	tasks chan func(context.Context)
	bytes atomic.Int64
	files atomic.Int64
	rows  atomic.Int64
	cells atomic.Int64 // rows of renderings compared
	skips int64
	pool  sync.Pool
}

// Run verifies a store, which must be a sink.Lister. The error is of what was asked, or that nothing could be read at all; whatever is wrong
// with the store is in the report.
func Run(ctx context.Context, store sink.Store, o *Options) (*Report, error) {
	v := &verifier{store: store, keys: map[string]seal.PublicKey{}, keyLocks: map[string]sink.Lock{}, keysTold: map[string]bool{}, met: map[string]bool{}}
	if o != nil {
		v.o = *o
	}
	if err := v.prepare(); err != nil {
		return nil, err
	}
	v.takeInventory(ctx)
	if len(v.inv.objects) == 0 && !v.inv.complete {
		return nil, fmt.Errorf("list the store: %w", v.inv.err)
	}
	v.readRules(ctx)
	v.readKeys(ctx)
	v.readLog(ctx)
	v.readSeals(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v.log.settle()
	v.checkAnchors(ctx)
	v.checkReferences()
	v.checkKeysGiven()
	v.checkControlLocks(ctx)
	v.unexplained(ctx)
	v.checkTemporary(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v.conclude()
	return v.report, nil
}

func (v *verifier) prepare() error {
	if v.o.Now == nil {
		v.o.Now = time.Now
	}
	if v.o.Alone == nil {
		v.o.Alone = func() bool { return false }
	}
	if v.o.Workers <= 0 {
		v.o.Workers = runtime.NumCPU()
	}
	if v.o.Progress == nil {
		v.o.Progress = func(Progress) {}
	}
	if _, ok := v.store.(sink.Lister); !ok {
		return fmt.Errorf("%w: the store cannot list what it holds", ErrAsked)
	}
	if v.o.To != 0 && v.o.To < v.o.From {
		return fmt.Errorf("%w: to %v is before from %v", ErrAsked, v.o.To, v.o.From)
	}
	v.now = v.o.Now().UTC()
	v.report = newReport(v.now)
	v.report.Partial = v.o.Partial
	if v.o.Policy != nil {
		policy, err := torchwood.ParsePolicy(v.o.Policy)
		if err != nil {
			return fmt.Errorf("%w: policy: %w", ErrAsked, err)
		}
		v.policy = policy
	}
	for _, data := range v.o.Checkpoints {
		p, err := parsePin(data)
		if err != nil {
			return fmt.Errorf("%w: checkpoint: %w", ErrAsked, err)
		}
		v.pins = append(v.pins, p)
	}
	for _, a := range []struct {
		is   bool
		name string
	}{
		{len(v.o.Keys) > 0, "key"}, {v.o.Policy != nil, "policy"}, {len(v.pins) > 0, "checkpoint"}, {v.o.TimestampRoots != nil, "tsa-ca"},
		{v.o.Deep, "deep"}, {v.o.Partial, "partial"}, {v.o.Trail != "", "trail"}, {v.o.From != 0, "from"}, {v.o.To != 0, "to"},
	} {
		if a.is {
			v.report.Asked = append(v.report.Asked, a.name)
		}
	}
	return nil
}

// add reports a finding, but for one that may come of a listing which broke off.
func (v *verifier) add(f Finding) {
	if v.inv.listed >= needs[f.Code] {
		v.report.add(f)
	}
}

// wanted reports whether files of that trail and day are to be read.
func (v *verifier) wanted(trail string, day event.Day) bool {
	return (v.o.Trail == "" || v.o.Trail == trail) && (v.o.From == 0 || day >= v.o.From) && (v.o.To == 0 || day <= v.o.To)
}

var errTooLarge = errors.New("larger than it may be")

// read reads a small object whole.
func (v *verifier) read(ctx context.Context, at located, limit int64) ([]byte, error) {
	if at.size > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", errTooLarge, at.size, limit)
	}
	r, err := v.store.Get(ctx, at.key, at.version)
	if err != nil {
		return nil, err
	}
	// What the listing said of the size is not believed.
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: at most %d bytes are allowed", errTooLarge, limit)
	}
	return data, err
}

// fault reports why an object could not be read: missing and invalid are the codes for what is not there, and for what can't be what it should be.
func (v *verifier) fault(err error, about Finding, missing, invalid string) {
	about.Found = err.Error()
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		about.Code = codeReadFailed
	case errors.Is(err, sink.ErrHidden):
		about.Code = codeDeleteMarker
	case errors.Is(err, sink.ErrNotExist):
		about.Code, about.Found = missing, "nothing"
		if v.o.Partial {
			about.Code, about.Expected = codeAbsent, ""
		}
	case errors.Is(err, sink.ErrConflict):
		about.Code = codeNotAFile
	case errors.Is(err, errTooLarge):
		about.Code = invalid
	default:
		about.Code = codeReadFailed
	}
	v.add(about)
}

func (v *verifier) tell(read int64) {
	n, total := v.bytes.Add(read), v.inv.bytes
	if v.o.Deep {
		total *= 2 // what is compared is read again
	}
	v.o.Progress(Progress{Bytes: n, Total: total, Files: v.files.Load()})
}

// readKeys reads the files under keys/.
func (v *verifier) readKeys(ctx context.Context) {
	for _, key := range v.inv.keyFiles {
		at := v.locate(key, Finding{})
		if !at.there {
			continue
		}
		data, err := v.read(ctx, at, maxKeyFile)
		if err != nil {
			v.fault(err, Finding{Key: key}, codeKeyMissing, codeKeyFile)
			continue
		}
		p, err := seal.ParsePublicKey(data)
		if err == nil && seal.KeyKey(p.ID()) != key {
			err = fmt.Errorf("key %s", p.ID())
		}
		if err != nil {
			v.add(Finding{Code: codeKeyFile, Key: key, Expected: "the public key that the name says", Found: err.Error()})
			continue
		}
		v.keys[p.ID()] = p
		v.inv.find(key).state &^= explained // the log, or a seal, must know it
	}
}

const maxKeyFile = 64 << 10

// keyNeeded says that the log or a seal names a key.
func (v *verifier) keyNeeded(id string, about Finding) {
	about.Key = seal.KeyKey(id)
	if _, there := v.keys[id]; there {
		v.inv.explain(about.Key)
		return
	}
	if v.inv.find(about.Key) != nil || v.keysTold[id] {
		return // it is at fault, or gone, which is told
	}
	v.keysTold[id] = true
	about.Code, about.Expected, about.Found = codeKeyMissing, "the public key "+id, "nothing"
	if v.o.Partial {
		about.Code, about.Expected = codeAbsent, ""
	}
	v.add(about)
}

// checkKeysGiven settles what the auditor's keys vouch for.
func (v *verifier) checkKeysGiven() {
	chain := &v.report.Levels.Chain
	defer func() {
		if v.vouchless { // which is told
			chain.VouchedBy = nil
		}
	}()
	yours := map[string]bool{}
	for _, k := range v.o.Keys {
		yours[k.ID()] = true
	}
	mine, revoked, others := 0, 0, ""
	broken := false // the way from here to the key in force is over a key whose word for the next counts no more
	for i, k := range slices.Backward(v.report.Keys) {
		broken = broken || k.RevokedFrom >= 0 && k.RevokedFrom <= k.Last
		if !yours[k.ID] {
			others = k.Fingerprint
			continue
		}
		v.report.Keys[i].Yours = true
		mine++
		if k.RevokedFrom >= 0 || broken {
			revoked++
			continue
		}
		chain.VouchedBy = append(chain.VouchedBy, k.Fingerprint)
	}
	slices.Reverse(chain.VouchedBy)
	if len(v.o.Keys) == 0 {
		return
	}
	var names []string
	for _, k := range v.o.Keys {
		names = append(names, k.Fingerprint())
	}
	slices.Sort(names)
	f := Finding{Expected: strings.Join(names, ", ")}
	switch {
	case mine == 0 && v.unsigned && !v.signed:
		f.Code, f.Found = codeUnsignedAsked, "seals without signatures"
	case mine == 0:
		f.Code, f.Found = codeKeyNotYours, "no key"
		if len(v.report.Keys) > 0 {
			f.Found = v.report.Keys[len(v.report.Keys)-1].Fingerprint
		}
	case mine == revoked:
		f.Code, f.Found = codeKeyYoursRevoked, "revoked"
	case !v.log.present && others != "":
		chain.VouchedBy = nil
		f.Code, f.Found = codeKeyNotGiven, others
	default:
		return
	}
	v.add(f)
}
