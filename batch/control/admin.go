package control

import (
	"fmt"
	"slices"
	"time"
)

// Admin is an admin's token. A zero time stands for never.
type Admin struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Org     string    `json:"org"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`

	CreatedBy Actor `json:"created_by"`
	// RevokedBy and RevokeReason are blank unless Revoked is set.
	RevokedBy    Actor  `json:"revoked_by,omitzero"`
	RevokeReason string `json:"revoke_reason,omitempty"`
}

type admin struct {
	Admin
	credential
	people lineage // who has seen the secret
}

// lineage names those who could act as an actor: itself, who made its secret and so saw it, who made theirs, and so on. Local and System are not among them.
type lineage []string

// common returns one who is in both, or "".
func (l lineage) common(o lineage) string {
	for _, name := range l {
		if slices.Contains(o, name) {
			return name
		}
	}
	return ""
}

// lineage returns that of an actor, by the tokens that there are now.
func (s *state) lineage(a Actor) lineage {
	if !a.person() {
		return nil
	}
	if a.Via == ViaToken {
		for _, t := range slices.Backward(s.admins) {
			if t.Name == a.Name {
				return t.people // be it revoked: it was not when the actor showed it
			}
		}
	}
	return lineage{a.Name}
}

// admin returns the newest token of that name that was not revoked.
func (s *state) admin(name string) *admin {
	for _, a := range slices.Backward(s.admins) {
		if a.Name == name && a.credential.revoked.IsZero() {
			return a
		}
	}
	return nil
}

func (s *state) createAdmin(r *record) error {
	if s.byAdmin[r.ID] != nil {
		return errContradiction
	}
	people := lineage{r.Name}
	for _, name := range s.lineage(r.By) {
		if name != r.Name {
			people = append(people, name)
		}
	}
	a := &admin{
		Admin{ID: r.ID, Name: r.Name, Role: r.Role, Org: r.Org, Created: r.Time, CreatedBy: r.By, Expires: r.Expires},
		credential{hash: r.SHA256, created: r.Time, expires: r.Expires}, people,
	}
	s.admins = append(s.admins, a)
	s.byAdmin[r.ID] = a
	return nil
}

func (s *state) revokeAdmin(r *record) error {
	a := s.byAdmin[r.ID]
	if a == nil || !a.credential.revoked.IsZero() {
		return errContradiction
	}
	a.credential.revoked = r.Time
	a.Revoked, a.RevokedBy, a.RevokeReason = r.Time, r.By, r.Reason
	return nil
}

// CreateAdmin makes a token for an admin or a viewer of an org, or of AllOrgs. The name must be no other's whose token is valid. The secret is given this once.
func (c *Control) CreateAdmin(by Actor, name, role, org string, expires time.Time) (secret Secret, err error) {
	err = c.change(func(now time.Time) error {
		if err := checkName("the admin's name", name); err != nil {
			return err
		}
		if err := checkName("the org", org); err != nil {
			return err
		}
		if err := by.may(org); err != nil {
			return err
		}
		if role != RoleAdmin && role != RoleViewer {
			return fmt.Errorf("%w: the role is %q, must be %s or %s", ErrInvalid, role, RoleAdmin, RoleViewer)
		}
		expires := stamp(expires)
		if err := checkExpires(expires, now); err != nil {
			return err
		}
		if a := c.state.admin(name); a != nil && a.usable(now) == nil {
			return hint(fmt.Errorf("the admin %s: %w", name, ErrExists), "revoke that token first, or choose another name")
		}
		id, s := newSecret(adminPrefix, func(id string) bool { return c.state.byAdmin[id] != nil })
		err := c.append(now, &record{Action: ActionAdminCreate, By: by, Org: org, ID: id, Name: name, Role: role, SHA256: s.sum(), Expires: expires})
		if err == nil {
			secret = s
		}
		return err
	})
	return secret, err
}

// RevokeAdmin ends the token of that name at once.
func (c *Control) RevokeAdmin(by Actor, name, reason string) error {
	return c.change(func(now time.Time) error {
		a := c.state.admin(name)
		if a == nil || by.stranger(a.Org) {
			return hint(fmt.Errorf("the admin %q: %w", name, ErrNotFound), "daybook admin list tells which there are")
		}
		if err := by.may(a.Org); err != nil {
			return err
		}
		if err := checkReason(reason); err != nil {
			return err
		}
		return c.append(now, &record{Action: ActionAdminRevoke, By: by, Org: a.Org, Reason: reason, ID: a.ID, Name: name, Role: a.Role})
	})
}

// Admins returns all tokens of admins, the oldest first, revoked ones among them.
func (c *Control) Admins() []Admin {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]Admin, len(c.state.admins))
	for i, a := range c.state.admins {
		all[i] = a.Admin
	}
	return all
}

// Admin returns whose secret it is, be it an admin's or a viewer's: ErrUnknown, ErrExpired, ErrRevoked, or ErrWrongKind for a sender's.
func (c *Control) Admin(secret string) (Actor, error) {
	now := c.clock()
	c.mu.RLock()
	defer c.mu.RUnlock()
	prefix, id := splitSecret(secret)
	switch prefix {
	case adminPrefix:
		a := c.state.byAdmin[id]
		if a == nil || !a.matches(secret) {
			return Actor{}, ErrUnknown
		}
		return Actor{Name: a.Name, Role: a.Role, Org: a.Org, Via: ViaToken}.or(a.usable(now))
	case senderPrefix:
		if t := c.state.byToken[id]; t != nil && t.matches(secret) {
			return Actor{}, hint(fmt.Errorf("%w: it is a sender's", ErrWrongKind), "it can do nothing but send events; an admin's begins with %s", adminPrefix)
		}
	}
	return Actor{}, ErrUnknown
}

func (a Actor) or(err error) (Actor, error) {
	if err != nil {
		return Actor{}, err
	}
	return a, nil
}
