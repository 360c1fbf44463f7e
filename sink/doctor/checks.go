package doctor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"daybook/sink"
	"daybook/sink/s3"
)

// checks are made in this order. Those that wait for locks to end are last.
var checks = []check{
	{"clock", clock, true},
	{"lock-kept", lockKept, false},
	{"checksum-verified", checksumVerified, false},
	{"checksum-required", checksumRequired, false},
	{"encryption", encryption, false},
	{"conditional-put", conditionalPut, false},
	{"conditional-race", conditionalRace, false},
	{"overwrite", overwrite, false},
	{"hide", hide, false},
	{"delete", func(ctx context.Context, e *exam) Finding { return destroy(ctx, e, "delete", false) }, false},
	{"delete-bypass", func(ctx context.Context, e *exam) Finding { return destroy(ctx, e, "delete-bypass", true) }, false},
	{"shorten", func(ctx context.Context, e *exam) Finding { return shorten(ctx, e, "shorten", false) }, false},
	{"shorten-bypass", func(ctx context.Context, e *exam) Finding { return shorten(ctx, e, "shorten-bypass", true) }, false},
	{"weaken", weaken, false},
	{"lengthen", lengthen, false},
	{"sealed-lock", sealedLock, true},
	{"sealed-encryption", sealedEncryption, true},
	{"floor", floor, true},
	{"list-versions", listVersions, true},
	{"lifecycle", lifecycle, true},
	{"tiers", tiers, true},
	{"change-policy", func(ctx context.Context, e *exam) Finding { return mayChange(ctx, e, "policy") }, false},
	{"change-lifecycle", func(ctx context.Context, e *exam) Finding { return mayChange(ctx, e, "lifecycle") }, false},
	{"change-versioning", func(ctx context.Context, e *exam) Finding { return mayChange(ctx, e, "versioning") }, false},
	{"change-object-lock", func(ctx context.Context, e *exam) Finding { return mayChange(ctx, e, "object-lock") }, false},
	{"change-encryption", func(ctx context.Context, e *exam) Finding { return mayChange(ctx, e, "encryption") }, false},
	{"delete-unlocked", deleteUnlocked, false},
}

// inEachMode are the checks that are made in each mode that files have.
var inEachMode = []string{"lock-kept", "overwrite", "delete", "delete-bypass", "shorten", "shorten-bypass", "lengthen"}

// leastPrivilege is the way out where the credential may do what it must not.
const leastPrivilege = "give the writer the policy that `daybook bucket policy --role writer` prints, and no other right"

func clock(_ context.Context, e *exam) Finding {
	ahead, ok := e.store.Offset()
	switch {
	case !ok:
		return Finding{Status: Unknown, Text: "the server tells no time", Remedy: "compare its clock with this machine's by hand"}
	case ahead.Abs() > 15*time.Minute:
		return failed(fmt.Sprintf("the server's clock is %s off ours: locks would end too early or too late", ahead.Round(time.Second)), "set both clocks by NTP")
	case ahead.Abs() > 30*time.Second:
		return warned(fmt.Sprintf("the server's clock is %s off ours", ahead.Round(time.Second)), "set both clocks by NTP")
	}
	return passed("the server's clock is ours, to %s", max(ahead.Abs().Round(time.Second), time.Second))
}

// put is what a locked PUT takes.
const putRights = "let the credential do s3:PutObject, s3:PutObjectRetention, s3:GetObject, s3:GetObjectVersion and s3:GetObjectRetention below the prefix"

func lockKept(ctx context.Context, e *exam) Finding {
	s, err := e.fresh(ctx, "lock-kept")
	if err != nil {
		return failed(fmt.Sprintf("a locked object can't be put: %v", err), cmp.Or(hintOf(err), putRights))
	}
	info, _, err := e.lab.Head(ctx, s.key, s.version)
	switch {
	case err != nil:
		return failed(fmt.Sprintf("what was put can't be read back: %v", err), cmp.Or(hintOf(err), putRights))
	case s.version == "" || s.version == "null" || info.Version != s.version:
		return failed(fmt.Sprintf("the server named version %q for the PUT and %q for the HEAD", s.version, info.Version), "enable versioning; Daybook names what it sealed by version")
	case info.SHA256 != sha256.Sum256(s.body) || info.Size != int64(len(s.body)):
		return failed("what was put reads back as something else", "do not use this server")
	case e.Mode == sink.None:
		return warned("the store is configured without locks", "write store.mode: compliance; whoever can write to this store can delete from it")
	case !info.Lock.Covers(s.lock):
		return failed(fmt.Sprintf("locked %s until %s was asked for, and the HEAD shows %q until %s", s.lock.Mode, stamp(s.lock.RetainUntil), info.Lock.Mode, stamp(info.Lock.RetainUntil)),
			"let the credential do s3:GetObjectRetention; if it may, this server keeps no locks")
	}
	return passed("each object has the lock that was asked for, %s, and a version id; HEAD shows both", e.Mode)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func checksumVerified(ctx context.Context, e *exam) Finding {
	_, err := e.put(ctx, "checksum-verified", s3.Attempt{Lock: e.locked(), Sum: s3.WrongSum, OnlyIfNew: true})
	switch {
	case err == nil:
		return failed("an object was taken with a SHA-256 that is not its own", "do not use this server: what is damaged on the way would be sealed")
	case s3.Answered(err) == http.StatusBadRequest:
		return passed("an object with a wrong SHA-256 is refused")
	}
	return unknown("an object with a wrong SHA-256", err)
}

func checksumRequired(ctx context.Context, e *exam) Finding {
	if e.Mode == sink.None {
		return passed("not asked for in a store without locks")
	}
	_, err := e.put(ctx, "checksum-required", s3.Attempt{Lock: e.locked(), Sum: s3.NoSum, OnlyIfNew: true})
	switch {
	case err == nil:
		return warned("a locked object without any checksum is taken, which AWS refuses", "nothing: Daybook always sends one")
	case s3.Answered(err) == http.StatusBadRequest || s3.Refused(err):
		return passed("a locked object without a checksum is refused")
	}
	return unknown("a locked object without a checksum", err)
}

func encryption(ctx context.Context, e *exam) Finding {
	a := s3.Attempt{Lock: e.locked(), OnlyIfNew: true, Encrypt: e.Encryption, KMSKey: e.KMSKey}
	asked := e.Encryption != ""
	s, err := e.put(ctx, "encryption-configured", a)
	if err != nil {
		if asked {
			return failed(fmt.Sprintf("an object with %s can't be put: %v", e.Encryption, err), cmp.Or(hintOf(err), "give the server the key, and the writer the right to use it; or take store.encryption out"))
		}
		return unknown("an object as Daybook puts it", err)
	}
	_, got, err := e.lab.Head(ctx, s.key, s.version)
	switch {
	case err != nil:
		return unknown("encryption", err)
	case asked && !encryptedAs(e.Encryption, got):
		return failed(fmt.Sprintf("%s is asked for, and the server says of the object: %s", e.Encryption, cmp.Or(got, "not encrypted")),
			"this server takes the wish and does nothing: take store.encryption out and encrypt the disk below it, or use another server")
	case got != "":
		return passed("objects are encrypted by the server: %s", got)
	}
	// Nothing is asked and nothing done: whether it would be says what can be had.
	a.Encrypt = s3.SSES3
	can := "this server does not encrypt, though it takes the wish: see to it that the disk below it is encrypted"
	if s, err = e.put(ctx, "encryption-asked", a); err != nil {
		can = "this server has no keys to encrypt with: give it some, or see to it that the disk below it is encrypted"
	} else if _, got, err := e.lab.Head(ctx, s.key, s.version); err == nil && got != "" {
		can = "write store.encryption: sse-s3, which this server can do"
	}
	return warned("objects are not encrypted by the server", can)
}

func conditionalPut(ctx context.Context, e *exam) Finding {
	s, err := e.fresh(ctx, "conditional-put")
	if err != nil {
		return unknown("conditional PUT", err)
	}
	_, err = e.put(ctx, "conditional-put", s3.Attempt{Lock: e.locked(), OnlyIfNew: true, Encrypt: e.Encryption, KMSKey: e.KMSKey})
	switch {
	case err == nil:
		return failed("If-None-Match: * does not keep a key from being put again", "use another server, or a newer one: two machines could seal one day twice")
	case s3.Answered(err) == http.StatusPreconditionFailed:
	default:
		return unknown("conditional PUT over what is there", err)
	}
	if err := e.stands(ctx, s); err != nil {
		return unknown("conditional PUT", err)
	}
	return passed("If-None-Match: * keeps a key from being put again")
}

// racers is how many put one key at once.
const racers = 8

func conditionalRace(ctx context.Context, e *exam) Finding {
	var (
		group   sync.WaitGroup
		mu      sync.Mutex
		won     []string
		strange error
	)
	lock := e.locked()
	key := e.dir + "conditional-race"
	for i := range racers {
		group.Go(func() {
			version, err := e.lab.Put(ctx, key, fmt.Appendf(nil, "racer %d\n", i), s3.Attempt{Lock: lock, OnlyIfNew: true, Encrypt: e.Encryption, KMSKey: e.KMSKey})
			mu.Lock()
			defer mu.Unlock()
			switch status := s3.Answered(err); {
			case err == nil:
				won = append(won, version)
			case status == http.StatusPreconditionFailed, status == http.StatusConflict:
			default:
				strange = err
			}
		})
	}
	group.Wait()
	for _, version := range won {
		e.remember(key, version, lock.RetainUntil)
	}
	switch {
	case len(won) > 1:
		return failed(fmt.Sprintf("%d of %d who put one key at once were told that they were the first", len(won), racers), "use another server, or let one machine alone write to this store")
	case strange != nil:
		return unknown("a race for one key", strange)
	case len(won) == 0:
		return unknown("a race for one key", errors.New("nobody won it"))
	}
	return passed("of %d who put one key at once, one did", racers)
}

func overwrite(ctx context.Context, e *exam) Finding {
	s, err := e.fresh(ctx, "overwrite")
	if err != nil {
		return unknown("overwriting", err)
	}
	_, err = e.put(ctx, "overwrite", s3.Attempt{Lock: e.locked(), Encrypt: e.Encryption, KMSKey: e.KMSKey})
	if stood := e.stands(ctx, s); errors.Is(stood, errGone) || errors.Is(stood, errWeaker) {
		return failed(fmt.Sprintf("a PUT without a condition over a locked object: %v", stood), "do not use this server")
	} else if stood != nil {
		return unknown("overwriting", stood)
	}
	switch {
	case err == nil:
		return passed("a PUT without a condition makes a newer version, and the locked one stays (AWS can refuse it by the writer's policy)")
	case s3.Answered(err) >= 400 && s3.Answered(err) < 500:
		return passed("a PUT without a condition is refused")
	}
	return unknown("overwriting", err)
}

func hide(ctx context.Context, e *exam) Finding {
	s, err := e.fresh(ctx, "hide")
	if err != nil {
		return unknown("hiding", err)
	}
	marker, err := e.lab.Delete(ctx, s.key, "", false)
	if err == nil && marker != "" {
		e.remember(s.key, marker, time.Time{})
	}
	if stood := e.stands(ctx, s); errors.Is(stood, errGone) || errors.Is(stood, errWeaker) {
		return failed(fmt.Sprintf("a DELETE without a version: %v", stood), "do not use this server: it does not keep locks")
	} else if stood != nil {
		return unknown("hiding", stood)
	}
	switch {
	case err == nil:
		return failed("the writer can hide files behind delete markers", leastPrivilege)
	case s3.Refused(err):
		return passed("the writer can't hide files behind delete markers")
	}
	return unknown("hiding", err)
}

// destroy deletes a locked version, as who may bypass a lock would.
func destroy(ctx context.Context, e *exam, name string, bypass bool) Finding {
	if e.Mode == sink.None {
		return warned("not tried: the store is configured without locks", "write store.mode: compliance")
	}
	s, err := e.fresh(ctx, name)
	if err != nil {
		return unknown("deleting", err)
	}
	_, err = e.lab.Delete(ctx, s.key, s.version, bypass)
	how := "a locked version"
	if bypass {
		how = "a locked version, with the header that bypasses governance,"
	}
	switch stood := e.stands(ctx, s); {
	case errors.Is(stood, errGone):
		e.forget()
		return failed(how+" was deleted", e.bypassRemedy(bypass))
	case stood != nil:
		return unknown("deleting", stood)
	case err == nil:
		return warned(how+" was not deleted, though the server said so", "nothing; do not believe what this server answers")
	}
	return passed("%s can't be deleted", how)
}

func (e *exam) bypassRemedy(bypass bool) string {
	if bypass && e.Mode == sink.Governance {
		return "write store.mode: compliance, and no other mode for a class, which holds everybody; or take s3:BypassGovernanceRetention from the writer, which does not help at MinIO"
	}
	return "do not use this server: it does not keep locks"
}

func shorten(ctx context.Context, e *exam, name string, bypass bool) Finding {
	if e.Mode == sink.None {
		return warned("not tried: the store is configured without locks", "write store.mode: compliance")
	}
	s, err := e.fresh(ctx, name)
	if err != nil {
		return unknown("shortening", err)
	}
	sooner := s.lock
	sooner.RetainUntil = sooner.RetainUntil.Add(-e.Lock / 2).Truncate(time.Second)
	err = e.lab.Retain(ctx, s.key, s.version, sooner, bypass)
	how := "a lock"
	if bypass {
		how = "a lock, with the header that bypasses governance,"
	}
	switch stood := e.stands(ctx, s); {
	case errors.Is(stood, errWeaker), errors.Is(stood, errGone):
		return failed(how+" was shortened", e.bypassRemedy(bypass))
	case stood != nil:
		return unknown("shortening", stood)
	case err == nil:
		return warned(how+" was not shortened, though the server said so", "nothing; do not believe what this server answers")
	}
	return passed("%s can't be shortened", how)
}

// weaken turns a compliance lock into one of governance.
func weaken(ctx context.Context, e *exam) Finding {
	if e.Mode != sink.Compliance {
		return passed("not asked for: the store's mode is not compliance")
	}
	s, err := e.fresh(ctx, "weaken")
	if err != nil {
		return unknown("weakening", err)
	}
	_ = e.lab.Retain(ctx, s.key, s.version, sink.Lock{Mode: sink.Governance, RetainUntil: s.lock.RetainUntil}, true) // what came of it is looked at
	switch stood := e.stands(ctx, s); {
	case errors.Is(stood, errWeaker), errors.Is(stood, errGone):
		return failed("a compliance lock was turned into another", "do not use this server: it does not keep locks")
	case stood != nil:
		return unknown("weakening", stood)
	}
	return passed("a compliance lock can't be turned into one of governance")
}

func lengthen(ctx context.Context, e *exam) Finding {
	if e.Mode == sink.None {
		return passed("not asked for in a store without locks")
	}
	s, err := e.fresh(ctx, "lengthen")
	if err != nil {
		return unknown("lengthening", err)
	}
	longer := s.lock
	longer.RetainUntil = longer.RetainUntil.Add(time.Second)
	err = e.lab.Retain(ctx, s.key, s.version, longer, false)
	e.left[len(e.left)-1].Until = longer.RetainUntil
	info, _, headErr := e.lab.Head(ctx, s.key, s.version)
	switch {
	case err != nil:
		return failed(fmt.Sprintf("a lock can't be lengthened: %v", err), "let the credential do s3:PutObjectRetention: seals and the log are locked anew for as long as the longest class")
	case headErr != nil:
		return unknown("lengthening", headErr)
	case !info.Lock.Covers(longer):
		return failed("a lock was not lengthened, though the server said so", "do not use this server")
	}
	return passed("a lock can be lengthened")
}

// floor looks for what keeps the writer from putting objects without a lock.
func floor(ctx context.Context, e *exam) Finding {
	if e.Mode == sink.None {
		return warned("the store is configured without locks", "write store.mode: compliance")
	}
	mode, days, err := e.glance.Floor(ctx)
	if err != nil {
		return unknown("the bucket's default retention", err)
	}
	has := fmt.Sprintf("%s, %d days", mode, days)
	switch {
	case days > 0 && !e.Thorough:
		return passed("the bucket has a default retention under what is put without a lock: %s (--thorough tries it, and leaves an object locked for so long)", has)
	case e.Short:
		return warned("the bucket has no default retention under what is put without a lock", floorRemedy)
	}
	s, err := e.put(ctx, "floor", s3.Attempt{OnlyIfNew: true, Encrypt: e.Encryption, KMSKey: e.KMSKey})
	switch {
	case s3.Refused(err):
		return passed("an object without a lock is refused")
	case err != nil:
		return unknown("an object without a lock", err)
	}
	info, _, err := e.lab.Head(ctx, s.key, s.version)
	switch {
	case err != nil:
		return unknown("an object without a lock", err)
	case info.Lock.Mode != sink.None:
		e.left[len(e.left)-1].Until = info.Lock.RetainUntil
		return passed("an object put without a lock gets the bucket's default: %s until %s", info.Lock.Mode, stamp(info.Lock.RetainUntil))
	case days > 0:
		return warned("an object put without a lock has none, though the bucket has a default retention: "+has, "nothing: Daybook locks each object itself. Use the writer's policy where the server has such conditions")
	}
	return warned("an object put without a lock has none: the bucket has no default retention", floorRemedy)
}

const floorRemedy = "`daybook bucket create --mode governance --days 1` sets one as a floor; or " + leastPrivilege

// page is how many entries a page of the listing has: few, so that it has pages enough without a thousand objects.
const page = 3

func listVersions(ctx context.Context, e *exam) Finding {
	if e.Short {
		if o := e.findOurs(ctx); o.listErr != nil {
			return unlisted(o.listErr)
		}
		return passed("versions can be listed")
	}
	list, err := e.lab.Versions(ctx, e.dir, page)
	if err != nil {
		if s3.Refused(err) {
			return unlisted(err)
		}
		return failed(fmt.Sprintf("versions can't be listed by pages: %v", err), cmp.Or(hintOf(err), "do not rely on verify at this server"))
	}
	listed := map[string]int{}
	for _, v := range list {
		listed[v.Key+" "+v.Version]++
	}
	for _, r := range e.left {
		if n := listed[r.Key+" "+r.Version]; n != 1 {
			return failed(fmt.Sprintf("%s was put, and the listing of versions has it %d times", r.Key, n), "do not rely on verify at this server")
		}
	}
	if len(list) != len(e.left) {
		return failed(fmt.Sprintf("%d versions and markers were made, and %d are listed", len(e.left), len(list)), "do not rely on verify at this server")
	}
	return passed("all %d versions and markers are listed, over %d pages, each once", len(list), (len(list)+page-1)/page)
}

func mayChange(ctx context.Context, e *exam, setting string) Finding {
	may, err := e.lab.MayChange(ctx, setting)
	switch {
	case errors.Is(err, s3.ErrChanged):
		return failed(fmt.Sprintf("the writer may change the bucket's %s, and the server took nonsense for it", setting), "look at the bucket's "+setting+" at once; "+leastPrivilege)
	case s3.Answered(err) == http.StatusNotImplemented || s3.Answered(err) == http.StatusMethodNotAllowed:
		return passed("this server has no %s of buckets", setting)
	case err != nil:
		return unknown("changing the bucket's "+setting, err)
	case may:
		return failed(fmt.Sprintf("the writer may change the bucket's %s", setting), leastPrivilege)
	}
	return passed("the writer may not change the bucket's %s", setting)
}

// deleteUnlocked waits for the locks to end, and cleans up: whether that is allowed is the last of the checks.
func deleteUnlocked(ctx context.Context, e *exam) Finding {
	var last time.Time
	for _, r := range e.left {
		if r.Until.After(last) && r.Until.Before(e.Now().Add(time.Hour)) {
			last = r.Until
		}
	}
	if err := e.lab.Wait(ctx, last.Add(time.Second)); err != nil {
		return unknown("cleaning up", err)
	}
	left, refused, err := clean(ctx, e.lab, e.left)
	removed := len(e.left) - len(left)
	e.left = left
	switch {
	case removed > 0:
		return failed(fmt.Sprintf("the writer can delete versions whose lock has ended, or that have none; %d throw-away objects were removed that way", removed), leastPrivilege)
	case refused:
		return passed("the writer can't delete versions, with or without a lock: the throw-away objects remain")
	}
	return unknown("cleaning up", err)
}

// clean deletes what it can, and returns what remains, and whether that was because the credential may not.
func clean(ctx context.Context, lab *s3.Lab, list []Remain) (left []Remain, refused bool, err error) {
	for _, r := range list {
		_, failure := lab.Delete(ctx, r.Key, r.Version, false)
		if failure == nil {
			continue
		}
		left = append(left, r)
		if err = failure; s3.Refused(failure) {
			refused = true
		}
	}
	return left, refused, err
}

// Sweep deletes what runs of doctor have left in a store, and returns how many versions and markers that were, and what is still locked.
func Sweep(ctx context.Context, store *s3.Store) (removed int, left []Remain, err error) {
	lab := store.Lab()
	list, err := lab.Versions(ctx, s3.LabPrefix, 0)
	if err != nil {
		return 0, nil, err
	}
	var all []Remain
	for _, v := range list {
		r := Remain{Key: v.Key, Version: v.Version}
		if !v.Marker {
			info, _, err := lab.Head(ctx, v.Key, v.Version)
			if err != nil {
				return 0, nil, err
			}
			r.Until = info.Lock.RetainUntil
		}
		all = append(all, r)
	}
	left, refused, err := clean(ctx, lab, all)
	if refused || err == nil {
		return len(all) - len(left), left, err
	}
	return len(all) - len(left), left, nil // they are locked
}
