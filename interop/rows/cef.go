package rows

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"

	"daybook/interop/cefparse"
)

// InCEF is what CEF holds of an evidence row, cut to the standard's lengths, line ends as they are read back.
func InCEF(r Row) Row {
	c := Row{"time": r.cutTime(time.Millisecond), "severity": "0-10"}
	put := func(name, value string, limit int) {
		if value = cut(value, limit); value != "" {
			c[name] = cefText(value)
		}
	}
	put("id", r["id"], 1<<20)
	if id := r["id"]; len(id) > 40 {
		sum := sha256.Sum256([]byte(id))
		c["id"] = "sha256:" + hex.EncodeToString(sum[:16])
	}
	c["class_id"] = strings.NewReplacer("|", "_", `\`, "/", "\n", " ", "\r", " ").Replace(cefText(cut(orElse(r["action"], r["type"]), 1023)))
	put("action", r["action"], 63)
	put("outcome", r["outcome"], 63)
	put("source", r["source"], 255)
	for _, name := range []string{"type", "error_message", "ip", "user_agent", "actor_id", "actor_role", "object_id", "object_name"} {
		put(name, r[name], 1023)
	}
	put("actor_name", orElse(r["actor_name"], r["actor_id"]), 1023)
	put("reason", orElse(r["error_code"], r["reason"]), 1023)
	for _, name := range []string{"project_id", "project_name", "token_label", "token_last4", "org", "info"} {
		put(name, r[name], 4000)
	}
	if n := len(r["info"]); n > 4000 {
		c["info_bytes"] = strconv.Itoa(n)
	}
	return c
}

// cefText is what is left of a text: CRLF and LF are a line feed, CR alone stays, every other control character and line end is a space.
func cefText(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\r':
			return c
		case unicode.IsControl(c) || c == '\u2028' || c == '\u2029':
			return ' '
		}
		return c
	}, s)
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

// cefKeys are the plain keys of the line. rt and end are the same time.
var cefKeys = map[string]string{
	"externalId": "id", "cat": "type", "act": "action", "outcome": "outcome", "reason": "reason", "msg": "error_message", "src": "ip", "c6a2": "ip", "shost": "ip",
	"requestClientApplication": "user_agent", "suid": "actor_id", "suser": "actor_name", "spriv": "actor_role", "deviceExternalId": "source",
}

var cefLabels = map[string]string{
	"projectId": "project_id", "projectName": "project_name", "info": "info", "tokenLabel": "token_label", "tokenLast4": "token_last4", "org": "org",
	"objectId": "object_id", "objectName": "object_name", "infoBytes": "info_bytes", "Source IPv6 Address": "",
}

// CEFRow makes a row of one line. A line that does not pass the standard's checks is an error, and so is a key that nobody told us of.
//
// Since spaces at the end of a line are lost, a reader must be ready for the last value to be without them: last is its field.
func CEFRow(line string) (row Row, last string, err error) {
	m, err := cefparse.Parse(line)
	if err != nil {
		return nil, "", err
	}
	if faults := m.Check(); len(faults) > 0 {
		return nil, "", fmt.Errorf("breaks the standard: %s\n%s", strings.Join(faults, "; "), line)
	}
	if !strings.HasPrefix(line, "CEF:0|") || strings.ContainsAny(m.Vendor+m.Product+m.ClassID+m.Name, `|\`) {
		return nil, "", fmt.Errorf("a header that careless parsers fail at: %s", line)
	}
	custom, err := m.Custom()
	if err != nil {
		return nil, "", err
	}
	row = Row{"class_id": m.ClassID}
	for label, value := range custom {
		name, known := cefLabels[label]
		if !known {
			return nil, "", fmt.Errorf("unknown label %q", label)
		}
		if name != "" {
			row[name] = value
		}
	}
	for _, p := range m.Extension {
		name, known := cefKeys[p.Key]
		switch {
		case known:
			row[name], last = p.Value, name
		case strings.HasSuffix(p.Key, "Label"):
			last = cefLabels[p.Value]
		case p.Key == "rt":
			ms, err := strconv.ParseInt(p.Value, 10, 64)
			if err != nil {
				return nil, "", err
			}
			row["time"] = timeText(time.UnixMilli(ms))
		case p.Key == "fileId" || p.Key == "fname":
			name := map[string]string{"fileId": "object_id", "fname": "object_name"}[p.Key]
			if row[name] != p.Value {
				return nil, "", fmt.Errorf("%s %q is not the object's", p.Key, p.Value)
			}
		}
	}
	if end, _ := m.Get("end"); end == "" || timeOf(end) != row["time"] {
		return nil, "", fmt.Errorf("end is %q, rt %s", end, row["time"])
	}
	if err := addressKey(m); err != nil {
		return nil, "", err
	}
	if n, err := strconv.Atoi(m.Severity); err != nil || n > 10 {
		return nil, "", fmt.Errorf("severity %q", m.Severity)
	}
	row["severity"] = "0-10"
	return row, last, nil
}

func timeOf(ms string) string {
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return ""
	}
	return timeText(time.UnixMilli(n))
}

// addressKey reports an address under shost: src is for IPv4 and c6a2 for IPv6, which Check has looked at.
func addressKey(m cefparse.Message) error {
	host, _ := m.Get("shost")
	if a, err := netip.ParseAddr(host); err == nil && a.Zone() == "" {
		return fmt.Errorf("shost is the address %s", host)
	}
	return nil
}
