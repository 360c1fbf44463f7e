package control

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Roles.
const (
	// RoleAdmin may do everything within its org.
	RoleAdmin = "admin"
	// RoleViewer reads the status.
	RoleViewer = "viewer"
)

// Ways in which an actor can be known.
const (
	ViaToken       = "token"
	ViaCertificate = "certificate"
	ViaLocal       = "local"
	ViaSystem      = "system"
)

// AllOrgs stands for every org.
const AllOrgs = "*"

// Actor is who does something.
type Actor struct {
	Name string `json:"name"`
	Role string `json:"role"`
	// Org is what it may administer: an org, or AllOrgs.
	Org string `json:"org"`
	// Via is how it is known to be that: ViaToken, ViaCertificate, ViaLocal or ViaSystem.
	Via string `json:"via"`
}

// Actors that need no secret. They may do everything but request or approve a disabling.
var (
	// System is the process itself.
	System = Actor{Name: "daybook", Role: RoleAdmin, Org: AllOrgs, Via: ViaSystem}
	// Local is who has the data folder in hand.
	Local = Actor{Name: "local", Role: RoleAdmin, Org: AllOrgs, Via: ViaLocal}
)

// may returns ErrDenied unless the actor may administer that org.
func (a Actor) may(org string) error {
	switch {
	case a.Name == "" || !a.known():
		return hint(fmt.Errorf("%w: nobody in particular asks for it", ErrDenied), "give the token of an admin, or a certificate that the configuration names under service.admins")
	case a.Role != RoleAdmin:
		return hint(fmt.Errorf("%w: %s has the role %s", ErrDenied, a.Name, a.Role), "this takes an admin; a viewer only looks")
	case a.Org != AllOrgs && a.Org != org:
		return hint(fmt.Errorf("%w: %s administers the org %s", ErrDenied, a.Name, a.Org), "this takes an admin of %s", orgText(org))
	}
	return nil
}

// stranger reports whether the actor is somebody whom nothing of that org is told, not even that it is there.
func (a Actor) stranger(org string) bool {
	return a.person() && a.Org != AllOrgs && a.Org != org
}

func (a Actor) known() bool {
	return a.Via == ViaLocal || a.Via == ViaSystem || a.person()
}

// person reports whether the actor showed a secret of its own.
func (a Actor) person() bool { return a.Via == ViaToken || a.Via == ViaCertificate }

func orgText(org string) string {
	if org == AllOrgs {
		return "all orgs"
	}
	return "the org " + org
}

// What texts may have, in bytes.
const (
	maxName   = 1 << 10
	maxReason = 16 << 10
)

// checkName refuses what nobody means for a name.
func checkName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: %s is blank", ErrInvalid, what)
	case len(name) > maxName:
		return fmt.Errorf("%w: %s has %d bytes, at most %d are allowed", ErrInvalid, what, len(name), maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w: %s %q has characters that cannot be printed", ErrInvalid, what, name)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("%w: %s %q begins or ends with a space", ErrInvalid, what, name)
	}
	return nil
}

func checkReason(reason string) error {
	switch {
	case len(reason) > maxReason:
		return fmt.Errorf("%w: the reason has %d bytes, at most %d are allowed", ErrInvalid, len(reason), maxReason)
	case !utf8.ValidString(reason):
		return fmt.Errorf("%w: the reason is not valid UTF-8", ErrInvalid)
	}
	return nil
}

// checkOrg is checkName for one org.
func checkOrg(org string) error {
	if org == AllOrgs {
		return fmt.Errorf("%w: the org must be one, not all", ErrInvalid)
	}
	return checkName("the org", org)
}
