package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"daybook/sink"
	"daybook/sink/s3"
)

// ours is an object of the store's own, and what the server shows of it.
type ours struct {
	key     string // blank: nothing is sealed yet
	shown   s3.Shown
	listErr error // why none could be looked for
	showErr error // why it can't be described
}

func (o *ours) seen() bool { return o.listErr == nil && o.key != "" && o.showErr == nil }

// unseen is what is found where there is no such object to be seen.
func (o *ours) unseen() Finding {
	switch {
	case o.listErr != nil:
		return unlisted(o.listErr)
	case o.key == "":
		return passed("nothing is sealed here yet")
	}
	return unknown(o.key, o.showErr)
}

// oursMost is how many entries of a listing are looked at for an object of ours.
const oursMost = 10

// findOurs looks once for an object that was sealed: the newest key, which each seal locks anew, or where seals are not signed the first of a seal.
func (e *exam) findOurs(ctx context.Context) *ours {
	if e.ours != nil {
		return e.ours
	}
	e.ours = &ours{}
	for _, prefix := range []string{"keys/", "seals/"} {
		list, err := e.glance.Versions(ctx, prefix, oursMost)
		if err != nil {
			e.ours.listErr = err
			return e.ours
		}
		list = slices.DeleteFunc(list, func(v sink.Entry) bool { return v.Marker })
		if len(list) == 0 {
			continue
		}
		v := slices.MaxFunc(list, func(a, b sink.Entry) int { return a.Modified.Compare(b.Modified) })
		if prefix == "seals/" {
			v = list[0]
		}
		e.ours.key = v.Key
		e.ours.shown, e.ours.showErr = e.glance.Show(ctx, v.Key, v.Version)
		return e.ours
	}
	return e.ours
}

// unlisted is the finding where versions can't be listed.
func unlisted(err error) Finding {
	if s3.Refused(err) {
		return Finding{Status: Unknown, Text: "the credential may not list versions", Remedy: "let it do s3:ListBucketVersions: the service verifies daily, and looks for what lies over sealed files"}
	}
	return unknown("versions", err)
}

// sealedLock looks whether the server shows the lock of what was sealed.
func sealedLock(ctx context.Context, e *exam) Finding {
	if e.Mode == sink.None {
		return passed("not asked for in a store without locks")
	}
	o := e.findOurs(ctx)
	switch {
	case !o.seen():
		return o.unseen()
	case o.shown.LockRefused:
		return Finding{Status: Unknown, Text: "the credential may not see locks", Remedy: "let it do s3:GetObjectRetention below the prefix: what is put is read back with its lock"}
	case o.shown.Lock.Mode == sink.None:
		return failed(o.key+" was sealed, and has no lock", "`daybook verify` tells what else has none; find out who put it, or took the lock off")
	}
	return passed("%s is locked, %s until %s, and the server shows it", o.key, o.shown.Lock.Mode, stamp(o.shown.Lock.RetainUntil))
}

// sealedEncryption holds what was sealed against the encryption that is asked for. It may be older than that wish.
func sealedEncryption(ctx context.Context, e *exam) Finding {
	if e.Encryption == "" {
		return passed("not asked for")
	}
	o := e.findOurs(ctx)
	switch {
	case !o.seen():
		return o.unseen()
	case !encryptedAs(e.Encryption, o.shown.Encrypted):
		return warned(fmt.Sprintf("%s is asked for, and the server says of %s: %s", e.Encryption, o.key, cmp.Or(o.shown.Encrypted, "not encrypted")),
			"nothing, if it is older than store.encryption; else `daybook doctor` tells what this server encrypts")
	}
	return passed("%s is encrypted by the server: %s", o.key, o.shown.Encrypted)
}

// encryptedAs reports whether a server's word for how an object is encrypted is what was asked for.
func encryptedAs(asked s3.Encryption, shown string) bool {
	return strings.HasPrefix(shown, map[s3.Encryption]string{s3.SSES3: "AES256", s3.SSEKMS: "aws:kms"}[asked])
}

// lasting are the parts of a store that no lifecycle rule may remove or move.
var lasting = []string{"seals/", "log/", "keys/"}

func lifecycle(ctx context.Context, e *exam) Finding {
	rules, moves, err := e.glance.Rules(ctx)
	switch {
	case errors.Is(err, sink.ErrUnknown) && s3.Answered(err) == http.StatusForbidden:
		return Finding{Status: Unknown, Text: "the credential may not read the lifecycle rules", Remedy: "let it do s3:GetLifecycleConfiguration: a rule that removes files is found then"}
	case errors.Is(err, sink.ErrUnknown):
		return warned("this server has no lifecycle rules: nothing moves to another tier, and nothing is removed by itself", "remove what has expired by hand, or keep it")
	case err != nil:
		return unknown("lifecycle rules", err)
	}
	for _, r := range rules {
		if part := covered(r.Prefix, lasting); part != "" {
			return failed(fmt.Sprintf("the lifecycle rule %q removes what lies below %s, which must stay", r.ID, part), "limit the rule to the prefixes of data files, and find out who made it")
		}
		for _, a := range e.Ages {
			if covered(r.Prefix, []string{a.Prefix}) != "" && early(r, a) {
				return failed(fmt.Sprintf("the lifecycle rule %q removes what lies below %s %s; files there are kept for %d days", r.ID, a.Prefix, when(r), a.ExpireAfter-1),
					"remove or correct the rule, and find out who made it; `daybook bucket plan` tells which rules there should be")
			}
		}
	}
	for _, m := range moves {
		if part := covered(m.Prefix, lasting); part != "" {
			return failed(fmt.Sprintf("the lifecycle rule %q moves what lies below %s to %s; Daybook reads it at each run", m.ID, part, m.To), "limit the rule to the prefixes of data files, and find out who made it")
		}
	}
	for _, m := range moves {
		for _, a := range e.Ages {
			if covered(m.Prefix, []string{a.Prefix}) != "" && m.To != a.Warm && m.To != a.Cold {
				return warned(fmt.Sprintf("the lifecycle rule %q moves what lies below %s to %s, which no retention policy names: whether it stays locked there is not known", m.ID, a.Prefix, m.To),
					"name the storage in warm_storage or cold_storage, or remove the rule")
			}
		}
	}
	return passed("the server has lifecycle rules, and none of this store's %d removes seals, log or keys, or files before their time", len(rules)+len(moves))
}

// covered returns the first of some prefixes below which a rule acts; blank if there is none.
func covered(rule string, parts []string) string {
	i := slices.IndexFunc(parts, func(part string) bool { return strings.HasPrefix(part, rule) || strings.HasPrefix(rule, part) })
	if i < 0 {
		return ""
	}
	return parts[i]
}

// early reports whether a rule removes files before their age. The last day of that is the rules' own, who count from the midnight after. What a rule does to older versions is
// held by their locks, if they have any.
func early(r sink.ExpiryRule, a s3.Ages) bool {
	kept := a.ExpireAfter - 1
	return a.ExpireAfter > 0 && (!r.Date.IsZero() || r.Days > 0 && r.Days < kept || a.Mode == sink.None && r.NoncurrentDays > 0 && r.NoncurrentDays < kept)
}

// when tells when a rule acts.
func when(r sink.ExpiryRule) string {
	switch {
	case !r.Date.IsZero():
		return "on " + r.Date.Format("2006-01-02")
	case r.Days > 0:
		return fmt.Sprintf("after %d days", r.Days)
	}
	return fmt.Sprintf("%d days after a newer version came", r.NoncurrentDays)
}

// tiers looks whether what files move to holds them for as long as they are locked.
func tiers(ctx context.Context, e *exam) Finding {
	var names []string
	var open *s3.TierState // of those that are not known to hold
	states := e.glance.Tiers(ctx, e.Ages, e.Tiers)
	for i := range states {
		t := &states[i]
		names = append(names, t.Name)
		switch {
		case t.Holds:
		case !t.Unknown:
			return failed(fmt.Sprintf("tier %s: %s", t.Name, t.Why), t.Hint)
		default:
			open = t
		}
	}
	switch {
	case open != nil:
		return Finding{Status: Unknown, Text: fmt.Sprintf("tier %s: %s", open.Name, open.Why), Remedy: open.Hint}
	case len(names) == 0:
		return passed("no policy moves files to another storage")
	}
	return passed("where files move they stay locked: %s", strings.Join(names, ", "))
}
