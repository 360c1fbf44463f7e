package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"daybook/sink"
)

// MaxRules is how many lifecycle rules a bucket may have. S3 fixes it.
const MaxRules = 1000

// Ages say when the files below a prefix move and go, in days of an object's age.
type Ages struct {
	// Prefix is relative to the store's root.
	Prefix string
	// Warm and Cold are storage classes, or tiers of MinIO, and WarmAfter and ColdAfter the ages from which on files are there; blank: no move.
	Warm, Cold           string
	WarmAfter, ColdAfter int
	// ExpireAfter is the age from which on files are removed; 0: never.
	ExpireAfter int
	// Mode is that of the files' locks, which no rule gets past: older versions are removed a day after a newer one came then, once their lock has ended. Without a lock they
	// are not removed before their age.
	Mode sink.Mode
}

// text says what the rules of the ages do.
func (a Ages) text() []string {
	var list []string
	if a.Warm != "" {
		list = append(list, fmt.Sprintf("to %s after %d days", a.Warm, a.WarmAfter))
	}
	if a.Cold != "" {
		list = append(list, fmt.Sprintf("to %s after %d days", a.Cold, a.ColdAfter))
	}
	if a.ExpireAfter > 0 {
		list = append(list, fmt.Sprintf("removed after %d days", a.ExpireAfter))
	}
	return list
}

// RuleChange is what becomes of one lifecycle rule.
type RuleChange struct {
	// Action is add, change, remove, keep (ours, and right) or other (not ours, and left as it is).
	Action string `json:"action"`
	ID     string `json:"id"`
	// Before and After are what the rule says, as path=value of its elements.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// Shorter is what the ages would have the rule say, where the rule has longer days, and keeps them.
	Shorter string `json:"shorter,omitempty"`
}

// LifecyclePlan is the difference between the lifecycle rules that a bucket has and those that it should have.
type LifecyclePlan struct {
	// Supported is false for a server without lifecycle rules. Undone then says what will not happen.
	Supported bool         `json:"supported"`
	Undone    []string     `json:"undone,omitempty"`
	Changes   []RuleChange `json:"rules"`

	had     []byte // what the bucket has, as it came
	want    []byte // what is to be put
	shorten bool
}

// Differs reports whether something is to be done.
func (p *LifecyclePlan) Differs() bool {
	return slices.ContainsFunc(p.Changes, func(c RuleChange) bool { return c.Action != "keep" && c.Action != "other" })
}

// lifecycleRule is a rule that is written here.
type lifecycleRule struct {
	XMLName    xml.Name              `xml:"Rule"`
	ID         string                `xml:"ID"`
	Status     string                `xml:"Status"`
	Prefix     string                `xml:"Filter>Prefix"`
	Expiration *lifecycleExpiration  `xml:"Expiration,omitempty"`
	Transition *lifecycleTransition  `xml:"Transition,omitempty"`
	Noncurrent *lifecycleNoncurrents `xml:"NoncurrentVersionExpiration,omitempty"`
}

type lifecycleExpiration struct {
	Days    int  `xml:"Days,omitempty"`
	Markers bool `xml:"ExpiredObjectDeleteMarker,omitempty"`
}

type lifecycleTransition struct {
	Days         int    `xml:"Days"`
	StorageClass string `xml:"StorageClass"`
}

type lifecycleNoncurrents struct {
	Days int `xml:"NoncurrentDays"`
}

// mark is how the IDs of this store's rules begin, so that those of other stores in the bucket are other people's.
func (s *Store) mark() string {
	sum := sha256.Sum256([]byte(s.prefix))
	return "daybook-" + hex.EncodeToString(sum[:4]) + "-"
}

// rules returns the rules of some ages. An ID tells by a hash what a rule is for: prefixes are too long for one.
func (s *Store) rules(a Ages) []lifecycleRule {
	sum := sha256.Sum256([]byte(a.Prefix))
	rule := func(what string) lifecycleRule {
		return lifecycleRule{ID: s.mark() + hex.EncodeToString(sum[:6]) + "-" + what, Status: "Enabled", Prefix: s.prefix + a.Prefix}
	}
	var list []lifecycleRule
	// One move a rule, since MinIO takes no more.
	for _, move := range []struct {
		what, to string
		after    int
	}{{"warm", a.Warm, a.WarmAfter}, {"cold", a.Cold, a.ColdAfter}} {
		if move.to != "" {
			r := rule(move.what)
			r.Transition = &lifecycleTransition{move.after, move.to}
			list = append(list, r)
		}
	}
	if a.ExpireAfter > 0 {
		r := rule("expire")
		r.Expiration = &lifecycleExpiration{Days: a.ExpireAfter}
		r.Noncurrent = &lifecycleNoncurrents{1}
		if a.Mode == sink.None {
			r.Noncurrent.Days = a.ExpireAfter
		}
		markers := rule("markers")
		markers.Expiration = &lifecycleExpiration{Markers: true}
		list = append(list, r, markers)
	}
	return list
}

// throwAway are the ages of what `daybook doctor` leaves.
var throwAway = Ages{Prefix: LabPrefix, ExpireAfter: 1, Mode: sink.Compliance}

// PlanLifecycle compares the rules that the bucket has with those that follow from ages, and changes nothing. Rules that are not this store's are kept to the byte. What lies
// outside of the ages' prefixes has no rule, but for the objects of doctor. It takes s3:GetLifecycleConfiguration.
//
// What was put while ages were longer, or without a lock, is not told from what comes now: a rule that has more days than the ages say keeps them, unless shorten is set.
func (s *Store) PlanLifecycle(ctx context.Context, ages []Ages, shorten bool) (*LifecyclePlan, error) {
	p := &LifecyclePlan{Supported: true, Changes: []RuleChange{}, shorten: shorten}
	for _, a := range ages {
		if err := s.checkAges(a); err != nil {
			return nil, err
		}
	}
	had, header, err := s.raw(ctx, http.MethodGet, "", url.Values{"lifecycle": {""}}, nil)
	switch r, _ := response(err); {
	case said(err, "NoSuchLifecycleConfiguration"):
		had = nil
	case said(err, "NoSuchBucket"):
		return nil, s.missingBucket()
	case r.StatusCode == http.StatusNotImplemented || r.StatusCode == http.StatusMethodNotAllowed:
		p.Supported = false
		for _, a := range ages {
			if what := a.text(); len(what) > 0 {
				p.Undone = append(p.Undone, fmt.Sprintf("%s: not %s", s.url(s.prefix+a.Prefix), strings.Join(what, ", not ")))
			}
		}
		return p, nil
	case err != nil:
		return nil, s.explain(err, "s3:GetLifecycleConfiguration", "")
	}
	if size := header.Get("X-Amz-Transition-Default-Minimum-Object-Size"); size != "" && size != "all_storage_classes_128K" {
		return nil, fmt.Errorf("%s: the lifecycle has a minimum object size of its own (%s), which would be lost: set it back first", s.url(""), size)
	}
	theirs, err := splitRules(had)
	if err != nil {
		return nil, &sink.HintError{Err: fmt.Errorf("%s: lifecycle: %w", s.url(""), err), Hint: "nothing was changed: rules of others that can't be read could be lost"}
	}
	return p, s.plan(p, had, theirs, ages)
}

func (s *Store) checkAges(a Ages) error {
	for _, part := range []string{"seals/", "log/", "keys/"} {
		if strings.HasPrefix(part, a.Prefix) || strings.HasPrefix(a.Prefix, part) {
			return fmt.Errorf("a lifecycle rule for %q would cover %s, which must stay", a.Prefix, part)
		}
	}
	if a.Warm != "" && a.Cold != "" && a.ColdAfter <= a.WarmAfter {
		return fmt.Errorf("%s: to %s after %d days, and to %s after %d", a.Prefix, a.Warm, a.WarmAfter, a.Cold, a.ColdAfter)
	}
	return nil
}

// plan fills in what becomes of each rule, and what is to be put.
func (s *Store) plan(p *LifecyclePlan, had []byte, has []rawRule, ages []Ages) error {
	var want []lifecycleRule
	for _, a := range append(slices.Clone(ages), throwAway) {
		want = append(want, s.rules(a)...)
	}
	var body bytes.Buffer
	body.WriteString(`<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`)
	kept := map[string]rawRule{}
	n := len(want)
	for _, r := range has {
		if strings.HasPrefix(r.id, s.mark()) {
			kept[r.id] = r
			continue
		}
		n++
		p.Changes = append(p.Changes, RuleChange{Action: "other", ID: r.id, Before: r.text})
		body.Write(r.raw)
	}
	if n > MaxRules {
		return &sink.HintError{
			Err:  fmt.Errorf("%s: %d lifecycle rules, of which %d are not this store's: a bucket has %d at most", s.url(""), n, n-len(want), MaxRules),
			Hint: "have fewer retention classes, or give the store a bucket of its own",
		}
	}
	for _, r := range want {
		c := RuleChange{Action: "add", ID: r.ID}
		now, there := kept[r.ID]
		if there && !p.shorten {
			shorter, err := r.keepDays(now)
			if err != nil {
				return err
			}
			c.Shorter = shorter
		}
		raw, text, err := r.write()
		if err != nil {
			return err
		}
		body.Write(raw)
		c.After = text
		if there {
			delete(kept, r.ID)
			if c.Before, c.Action = now.text, "change"; c.Before == c.After {
				c.Action = "keep"
			}
		}
		p.Changes = append(p.Changes, c)
	}
	for _, r := range has {
		if _, ok := kept[r.id]; ok {
			p.Changes = append(p.Changes, RuleChange{Action: "remove", ID: r.id, Before: r.text})
		}
	}
	body.WriteString("</LifecycleConfiguration>")
	p.had, p.want = had, body.Bytes()
	return nil
}

// write returns a rule as XML, and as readRule has it.
func (r *lifecycleRule) write() (raw []byte, text string, err error) {
	if raw, err = xml.Marshal(r); err != nil {
		return nil, "", err
	}
	_, text, err = readRule(raw)
	return raw, text, err
}

// keepDays gives a rule the days of the one that it replaces, where those are more, and returns what it said before; blank if it did not change.
func (r *lifecycleRule) keepDays(now rawRule) (shorter string, err error) {
	var has lifecycleRule
	if err := xml.Unmarshal(now.raw, &has); err != nil {
		return "", fmt.Errorf("rule %s: %w", now.id, err)
	}
	_, text, err := r.write()
	if err != nil {
		return "", err
	}
	if r.Expiration != nil && has.Expiration != nil && has.Expiration.Days > r.Expiration.Days {
		r.Expiration.Days, shorter = has.Expiration.Days, text
	}
	if r.Noncurrent != nil && has.Noncurrent != nil && has.Noncurrent.Days > r.Noncurrent.Days {
		r.Noncurrent.Days, shorter = has.Noncurrent.Days, text
	}
	return shorter, nil
}

// ErrChangedMeanwhile says that somebody else changed the rules since they were planned.
var ErrChangedMeanwhile = errors.New("the lifecycle rules were changed since the plan was made")

// ApplyLifecycle does what was planned, and reads back that it is so. It takes s3:PutLifecycleConfiguration, which a writer does not have.
func (s *Store) ApplyLifecycle(ctx context.Context, p *LifecyclePlan, ages []Ages) error {
	if !p.Supported || !p.Differs() {
		return nil
	}
	now, err := s.setting(ctx, http.MethodGet, "lifecycle", nil)
	if said(err, "NoSuchLifecycleConfiguration") {
		now, err = nil, nil
	}
	if err != nil {
		return s.explain(err, "s3:GetLifecycleConfiguration", "")
	}
	if !bytes.Equal(now, p.had) {
		return &sink.HintError{Err: fmt.Errorf("%s: %w", s.url(""), ErrChangedMeanwhile), Hint: "nothing was done: look at the plan again"}
	}
	if _, err := s.setting(ctx, http.MethodPut, "lifecycle", p.want); err != nil {
		return s.explainLifecycle(err)
	}
	after, err := s.PlanLifecycle(ctx, ages, p.shorten)
	if err != nil {
		return err
	}
	if after.Differs() {
		return fmt.Errorf("%s: the server took the lifecycle rules, and has others now: look at the plan again", s.url(""))
	}
	return nil
}

func (s *Store) explainLifecycle(err error) error {
	if r, ok := response(err); ok && (r.Code == "InvalidStorageClass" || strings.Contains(r.Message, "storage class") || strings.Contains(r.Message, "Storage Class")) {
		return &sink.HintError{Err: err, Hint: "the server does not know a storage class or tier of warm_storage or cold_storage: at MinIO make the tier first, by mc ilm tier add"}
	}
	return s.explain(err, "s3:PutLifecycleConfiguration", "")
}

// rawRule is a rule of a lifecycle configuration as it came.
type rawRule struct {
	id, text string
	raw      []byte
}

// splitRules takes a configuration apart, without giving up anything of a rule. What stands beside rules, but for the time of a change, would be lost, and is an error.
func splitRules(config []byte) ([]rawRule, error) {
	if len(config) == 0 {
		return nil, nil
	}
	var (
		list  []rawRule
		depth int
		begun int64
	)
	d := xml.NewDecoder(bytes.NewReader(config))
	for {
		at := d.InputOffset()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth++
			switch {
			case depth != 2:
			case t.Name.Local == "Rule":
				begun = at
			case t.Name.Local != "ExpiryUpdatedAt":
				return nil, fmt.Errorf("the element %s is not known here", t.Name.Local)
			}
		case xml.EndElement:
			if depth--; depth == 1 && t.Name.Local == "Rule" {
				r := rawRule{raw: bytes.Clone(config[begun:d.InputOffset()])}
				if r.id, r.text, err = readRule(r.raw); err != nil {
					return nil, err
				}
				list = append(list, r)
			}
		}
	}
}

// readRule returns a rule's ID, and its other elements as path=value, in the order of their text. What is false, 0 or empty is left out: servers write it or not.
func readRule(raw []byte) (id, text string, err error) {
	var path, parts []string
	var value strings.Builder
	d := xml.NewDecoder(bytes.NewReader(raw))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", "", err
		}
		switch t := token.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			value.Reset()
		case xml.CharData:
			value.Write(t)
		case xml.EndElement:
			switch v := strings.TrimSpace(value.String()); {
			case v == "" || v == "false" || v == "0":
			case len(path) == 2 && path[1] == "ID":
				id = v
			case len(path) > 1:
				parts = append(parts, strings.Join(path[1:], ".")+"="+v)
			}
			value.Reset()
			path = path[:len(path)-1]
		}
	}
	slices.Sort(parts)
	return id, strings.Join(parts, " "), nil
}
