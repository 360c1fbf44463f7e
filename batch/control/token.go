package control

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Token is a sender's token. A zero time stands for never.
type Token struct {
	ID      string    `json:"id"`
	Org     string    `json:"org"`
	Source  string    `json:"source"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`

	CreatedBy Actor `json:"created_by"`
	// RevokedBy and RevokeReason are blank unless Revoked is set.
	RevokedBy    Actor  `json:"revoked_by,omitzero"`
	RevokeReason string `json:"revoke_reason,omitempty"`
}

// Sender is who sends: the org and the source are those of its token, whatever an event says.
type Sender struct{ TokenID, Org, Source string }

type token struct {
	Token
	credential
}

// OwnSource is the source of Daybook's own events. No sender has it.
const OwnSource = "daybook"

func (s *state) createToken(r *record) error {
	if s.byToken[r.ID] != nil {
		return errContradiction
	}
	t := &token{
		Token{ID: r.ID, Org: r.Org, Source: r.Source, Created: r.Time, CreatedBy: r.By, Expires: r.Expires},
		credential{hash: r.SHA256, created: r.Time, expires: r.Expires},
	}
	s.tokens = append(s.tokens, t)
	s.byOrg[t.Org] = append(s.byOrg[t.Org], t)
	s.byToken[r.ID] = t
	return nil
}

func (s *state) revokeToken(r *record) error {
	t := s.byToken[r.ID]
	if t == nil || !t.credential.revoked.IsZero() {
		return errContradiction
	}
	t.credential.revoked = r.Time
	t.Revoked, t.RevokedBy, t.RevokeReason = r.Time, r.By, r.Reason
	return nil
}

// CreateToken makes a token that can do nothing but send events of that org as that source. A zero expires stands for never. The secret is given this once.
func (c *Control) CreateToken(by Actor, org, source string, expires time.Time) (token Token, secret Secret, err error) {
	err = c.change(func(now time.Time) error {
		if err := checkOrg(org); err != nil {
			return err
		}
		if err := checkName("the source", source); err != nil {
			return err
		}
		if err := by.may(org); err != nil {
			return err
		}
		if strings.EqualFold(source, OwnSource) {
			return hint(fmt.Errorf("%w: the source %s is Daybook's own", ErrInvalid, source), "choose another name: who sent as it could forge what Daybook says of itself")
		}
		expires := stamp(expires)
		if err := checkExpires(expires, now); err != nil {
			return err
		}
		id, s := newSecret(senderPrefix, func(id string) bool { return c.state.byToken[id] != nil })
		err := c.append(now, &record{Action: ActionTokenCreate, By: by, Org: org, ID: id, Source: source, SHA256: s.sum(), Expires: expires})
		if err == nil {
			token, secret = c.state.byToken[id].Token, s
		}
		return err
	})
	return token, secret, err
}

// RevokeToken ends a token at once.
func (c *Control) RevokeToken(by Actor, id, reason string) error {
	return c.change(func(now time.Time) error {
		t := c.state.byToken[id]
		if t == nil || by.stranger(t.Org) {
			return hint(fmt.Errorf("the token %q: %w", id, ErrNotFound), "the id is the part between dbt_ and the next _; daybook token list tells which there are")
		}
		if err := by.may(t.Org); err != nil {
			return err
		}
		if !t.credential.revoked.IsZero() {
			return fmt.Errorf("%w: the token %s was revoked at %s", ErrUnchanged, id, t.Revoked.Format(time.RFC3339))
		}
		if err := checkReason(reason); err != nil {
			return err
		}
		return c.append(now, &record{Action: ActionTokenRevoke, By: by, Org: t.Org, Reason: reason, ID: id, Source: t.Source})
	})
}

// Tokens returns all tokens of senders, the oldest first, revoked ones among them.
func (c *Control) Tokens() []Token {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]Token, len(c.state.tokens))
	for i, t := range c.state.tokens {
		all[i] = t.Token
	}
	return all
}

// Sender returns whose secret it is: ErrUnknown, ErrExpired, ErrRevoked, or ErrWrongKind for an admin's.
func (c *Control) Sender(secret string) (Sender, error) {
	now := c.clock()
	c.mu.RLock()
	defer c.mu.RUnlock()
	prefix, id := splitSecret(secret)
	switch prefix {
	case senderPrefix:
		t := c.state.byToken[id]
		if t == nil || !t.matches(secret) {
			return Sender{}, ErrUnknown
		}
		if err := t.usable(now); err != nil {
			return Sender{}, err
		}
		return Sender{TokenID: t.ID, Org: t.Org, Source: t.Source}, nil
	case adminPrefix:
		if a := c.state.byAdmin[id]; a != nil && a.matches(secret) {
			return Sender{}, hint(fmt.Errorf("%w: it is an admin's", ErrWrongKind), "make a token with daybook token create: what lies on a machine that sends events should not administer")
		}
	}
	return Sender{}, ErrUnknown
}

// Sources returns, in order, the sources of an org that had a valid token then.
func (c *Control) Sources(org string, at time.Time) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var sources []string
	for _, t := range c.state.byOrg[org] {
		if t.valid(at) {
			sources = append(sources, t.Source)
		}
	}
	slices.Sort(sources)
	return slices.Compact(sources)
}
