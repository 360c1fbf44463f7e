package rows

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/leodido/go-syslog/v4/rfc5424"
)

// syslogParams are the parameters of the audit element and the fields that they hold.
var syslogParams = map[string]string{
	"eventId": "id", "org": "org", "source": "source", "type": "type", "actor": "actor_id", "action": "action", "outcome": "outcome",
	"successStatus": "success", "ip": "ip", "objectId": "object_id", "projectId": "project_id", "tokenLast4": "token_last4", "tokenLabel": "token_label",
	"errorCode": "error_code", "objectName": "object_name", "projectName": "project_name", "userAgent": "user_agent", "errorMessage": "error_message",
	"info": "info", "infoBytes": "info_bytes", "ctl": "controls",
}

// Limits of our syslog lines, in bytes: texts, info, and the whole line without its line feed, which rsyslog takes as it comes.
const (
	syslogText = 1023
	syslogInfo = 4096
	SyslogLine = 8000
)

// InSyslog is what syslog holds of an evidence row, before a line that would be too long is cut further.
func InSyslog(r Row) Row {
	c := Row{"time": r.cutTime(time.Microsecond), "success": "No"}
	if r["outcome"] == "success" {
		c["success"] = "Yes"
	}
	for _, name := range syslogParams {
		limit := syslogText
		if name == "info" {
			limit = syslogInfo
		}
		text, controls := escapeControls(cut(r[name], limit))
		if text == "" {
			continue
		}
		c[name] = text
		if controls {
			c["controls"] = "1"
		}
	}
	if n := len(r["info"]); n > syslogInfo {
		c["info_bytes"] = strconv.Itoa(n)
	}
	return c
}

// escapeControls writes control characters and line ends as JSON does.
func escapeControls(s string) (_ string, controls bool) {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case unicode.IsControl(c) || c == '\u2028' || c == '\u2029':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteRune(c)
			continue
		}
		controls = true
	}
	return b.String(), controls
}

// SyslogRow makes a row of one line, by go-syslog's strict parser. evidence is the row that it was made from: where the whole line had to be shortened,
// what is left of a value must be the beginning of what the evidence has, and is returned as InSyslog has it.
func SyslogRow(line string, evidence Row) (Row, error) {
	if len(line) > SyslogLine {
		return nil, fmt.Errorf("%d bytes: rsyslog would make two messages of it", len(line))
	}
	parsed, err := rfc5424.NewParser().Parse([]byte(line))
	if err != nil {
		return nil, fmt.Errorf("%w in %s", err, line)
	}
	m, ok := parsed.(*rfc5424.SyslogMessage)
	if !ok || m.Timestamp == nil || m.StructuredData == nil || m.Facility == nil || m.Message == nil {
		return nil, fmt.Errorf("no time, structured data, facility or text in %s", line)
	}
	if *m.Facility != 13 || m.Version != 1 {
		return nil, fmt.Errorf("facility %d, version %d", *m.Facility, m.Version)
	}
	for _, c := range []byte(*m.Message) {
		if c < ' ' || c > '~' {
			return nil, fmt.Errorf("MSG is not printable ASCII: %q", *m.Message)
		}
	}
	row := Row{"time": timeText(*m.Timestamp)}
	for id, params := range *m.StructuredData {
		if id == "origin" {
			continue
		}
		if !strings.HasPrefix(id, "audit@") {
			return nil, fmt.Errorf("element %q", id)
		}
		for name, value := range params {
			field, known := syslogParams[name]
			if !known {
				return nil, fmt.Errorf("unknown parameter %q", name)
			}
			row[field] = value
		}
	}
	if len(line) > SyslogLine-1500 {
		shortened(row, evidence)
	}
	return row, nil
}

// shortened completes values that are a true beginning of what is wanted. An info that was cut must say how long it was.
func shortened(row, evidence Row) {
	want := InSyslog(evidence)
	if row["info_bytes"] == strconv.Itoa(len(evidence["info"])) && strings.HasPrefix(want["info"], row["info"]) {
		row["info"] = want["info"]
		delete(row, "info_bytes")
		if long := want["info_bytes"]; long != "" {
			row["info_bytes"] = long
		}
	}
	for name, value := range want {
		if name != "info" && name != "info_bytes" && strings.HasPrefix(value, row[name]) {
			row[name] = value
		}
	}
}
