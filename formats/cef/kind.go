package cef

import (
	"net/netip"
	"strings"

	"daybook/event"
)

// nameOf is a readable name for the types that have one, else the action: consumers need some text. It says what was tried, whatever came of it.
func nameOf(ev *event.Event) string {
	switch ev.Get(event.Type) {
	case "authentication.challenge":
		return "Sign-in challenge"
	case "authentication.login":
		return "Sign in"
	case "authentication.logout":
		return "Sign out"
	case "authentication.password_change":
		return "Change password"
	case "authentication.role_assumed":
		return "Assume role"
	case "authentication.role_left":
		return "Leave role"
	case "authentication.token_issued":
		return "Issue token"
	case "audit.change":
		return "Change audit"
	case "audit.disable":
		return "Switch audit off"
	case "iam.configuration.change":
		return "Change sign-in rules"
	case "iam.credential.create":
		return "Create credential"
	case "iam.credential.delete":
		return "Delete credential"
	case "iam.credential.update":
		return "Change credential"
	case "iam.group.create":
		return "Create group"
	case "iam.group.delete":
		return "Delete group"
	case "iam.group.update":
		return "Change group"
	case "iam.mfa.disable":
		return "Switch second factor off"
	case "iam.mfa.enable":
		return "Switch second factor on"
	case "iam.permission.change":
		return "Change permission"
	case "iam.permission.grant":
		return "Grant permission"
	case "iam.permission.revoke":
		return "Revoke permission"
	case "iam.policy.create":
		return "Create policy"
	case "iam.policy.delete":
		return "Delete policy"
	case "iam.policy.update":
		return "Change policy"
	case "iam.role.create":
		return "Create role"
	case "iam.role.delete":
		return "Delete role"
	case "iam.role.update":
		return "Change role"
	case "iam.user.create":
		return "Create user"
	case "iam.user.delete":
		return "Delete user"
	case "iam.user.update":
		return "Change user"
	case "resource.create":
		return "Create resource"
	case "resource.delete":
		return "Delete resource"
	case "resource.modify":
		return "Change resource"
	case "resource.permission.change":
		return "Change permission of resource"
	case "resource.read":
		return "Read resource"
	case "secret.read":
		return "Read secret"
	case "session.end":
		return "End session"
	case "session.start":
		return "Start session"
	}
	return orElse(ev.Get(event.Action), "unknown")
}

// Severities: what the source says, else what was done; a failure is never below 5.
const (
	severityPlain     = 3
	severityFailure   = 5
	severitySensitive = 5 // something destroyed, or who may do what changed
	severityAttempt   = 7 // the same, and it failed
)

func severityOf(ev *event.Event) int {
	failed := ev.Get(event.Outcome) == event.Failure
	s := 0
	switch ev.Get(event.Severity) {
	case "info":
		s = 1
	case "low":
		s = 3
	case "medium":
		s = 5
	case "high":
		s = 8
	case "critical":
		s = 10
	default:
		sensitive := sensitive(ev)
		switch {
		case sensitive && failed:
			return severityAttempt
		case sensitive:
			return severitySensitive
		}
		s = severityPlain
	}
	if failed {
		return max(s, severityFailure)
	}
	return s
}

// sensitive reports whether the event's type says so, or its action has a word of destruction or of permission, and none of reading.
func sensitive(ev *event.Event) bool {
	typ := ev.Get(event.Type)
	return strings.HasSuffix(typ, ".delete") || strings.HasSuffix(typ, ".disable") || strings.HasPrefix(typ, "permission.") ||
		strings.Contains(typ, ".permission.") || sensitiveAction(ev.Get(event.Action))
}

// sensitiveAction takes an action apart at whatever is not a letter, and where a capital follows a small letter: s3:DeleteBucket, project-remove.
func sensitiveAction(action string) bool {
	const longest = 12
	var word [longest]byte
	n, small, found := 0, false, false
	action = action[:min(len(action), 128)]
	for i := 0; i <= len(action); i++ {
		var c byte
		if i < len(action) {
			c = action[i]
		}
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		capital := c >= 'A' && c <= 'Z'
		if n > 0 && (!letter || capital && small) {
			if n <= longest {
				switch string(word[:n]) {
				case "get", "list", "describe", "head", "read", "lookup", "search", "find", "view", "query", "check", "simulate", "assume":
					return false
				case "delete", "deletion", "remove", "destroy", "terminate", "purge", "wipe", "drop", "revoke", "disable", "deregister", "detach", "stop",
					"policy", "permission", "permissions", "acl", "grant", "role", "member", "invite", "access", "accesses":
					found = true
				}
			}
			n = 0
		}
		if letter {
			if n < longest {
				word[n] = c | 0x20
			}
			n++
		}
		small = letter && !capital
	}
	return found
}

// isFile reports whether the object is a file, for which the standard has keys of its own.
func isFile(ev *event.Event) bool {
	switch ev.Get(event.ObjectType) {
	case "file", "File", "s3:object", "AWS::S3::Object":
		return true
	case "":
		return strings.HasPrefix(ev.Get(event.ObjectID), "file-")
	}
	return false
}

// isIPv4 reports whether s is four decimal numbers without leading zeros, as netip has it; most events ask, so it must not allocate.
func isIPv4(s string) bool {
	if len(s) < len("0.0.0.0") || len(s) > len("255.255.255.255") {
		return false
	}
	dots, digits, n := 0, 0, 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			if digits > 0 && n == 0 {
				return false
			}
			n = n*10 + int(c-'0')
			digits++
			if n > 255 {
				return false
			}
		case c == '.' && digits > 0:
			dots++
			digits, n = 0, 0
		default:
			return false
		}
	}
	return dots == 3 && digits > 0
}

// isIPv6 reports whether s is an IPv6 address without a zone.
func isIPv6(s string) bool {
	if strings.IndexByte(s, ':') < 0 || len(s) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") || strings.IndexByte(s, '%') >= 0 {
		return false
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6()
}
