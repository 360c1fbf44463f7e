package cefparse

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Lengths in characters, of the header and of the producer's keys that an audit event may use, after the standard's tables. Lengths count after
// unescaping.
var headerLimits = map[string]int{
	"vendor": 63, "product": 63, "version": 31, "class id": 1023, "name": 512,
}

var textLimits = map[string]int{
	"act": 63, "app": 31, "cat": 1023, "deviceExternalId": 255, "deviceFacility": 1023, "devicePayloadId": 128, "deviceProcessName": 1023,
	"destinationServiceName": 1023, "dvchost": 100, "externalId": 40, "fileHash": 255, "fileId": 1023, "filePath": 1023, "fileType": 1023,
	"flexString1": 1023, "flexString2": 1023, "fname": 1023, "msg": 1023, "outcome": 63, "reason": 1023, "request": 1023,
	"requestClientApplication": 1023, "requestContext": 2048, "requestMethod": 1023, "shost": 1023, "sourceServiceName": 1023, "spriv": 1023,
	"suid": 1023, "suser": 1023, "cs1": 4000, "cs2": 4000, "cs3": 4000, "cs4": 4000, "cs5": 4000, "cs6": 4000,
}

// consumerKeys may be added by a SIEM on its way in, and never be sent by a device.
var consumerKeys = map[string]bool{
	"eventId": true, "customerExternalID": true, "customerURI": true, "rawEvent": true,
	"agt": true, "ahost": true, "aid": true, "art": true, "at": true, "atz": true, "av": true,
}

// Check holds a line to the standard's dictionary, beyond its grammar: Parse's faults, then version and severity, lengths, types of the keys that
// it knows, keys that are not letters and digits, keys that only a consumer may set, empty values, control characters, and custom fields
// without their label. It returns what is wrong, nothing for a line that any consumer must take.
func (m *Message) Check() []string {
	faults := append([]string(nil), m.Faults...)
	add := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if m.Version != "0" && m.Version != "1" {
		add("version %s", m.Version)
	}
	header := []struct{ name, value string }{
		{"vendor", m.Vendor}, {"product", m.Product}, {"version", m.DeviceVersion}, {"class id", m.ClassID}, {"name", m.Name},
	}
	for _, h := range header {
		if h.value == "" {
			add("%s: empty", h.name)
		}
		if n := utf8.RuneCountInString(h.value); n > headerLimits[h.name] {
			add("%s: %d characters", h.name, n)
		}
		if hasControl(h.value, "") {
			add("%s: a control character", h.name)
		}
	}
	if !severity(m.Severity) {
		add("severity %q", m.Severity)
	}
	for _, p := range m.Extension {
		if err := checkPair(p); err != "" {
			add("%s: %s", p.Key, err)
		}
	}
	if _, err := m.Custom(); err != nil {
		add("%v", err)
	}
	return faults
}

func checkPair(p Pair) string {
	for i := range len(p.Key) {
		if !wordByte(p.Key[i]) || p.Key[i] == '_' {
			return "a key is letters and digits"
		}
	}
	if consumerKeys[p.Key] {
		return "only a consumer sets this key"
	}
	if p.Value == "" {
		return "empty"
	}
	if hasControl(p.Value, "\r\n") {
		return "a control character"
	}
	limit := textLimits[p.Key]
	if key, ok := strings.CutSuffix(p.Key, "Label"); ok && customKey(key) {
		limit = 1023
	}
	if n := utf8.RuneCountInString(p.Value); limit > 0 && n > limit {
		return fmt.Sprintf("%d characters, %d at most", n, limit)
	}
	switch p.Key {
	case "rt", "start", "end", "deviceCustomDate1", "deviceCustomDate2":
		// A date is legal too, but ambiguous: a writer has no reason to send one.
		if _, err := strconv.ParseInt(p.Value, 10, 64); err != nil {
			return "not milliseconds since 1970"
		}
	case "src", "dst", "dvc":
		if a, err := netip.ParseAddr(p.Value); err != nil || !a.Is4() {
			return "not an IPv4 address"
		}
	case "c6a1", "c6a2", "c6a3", "c6a4":
		if a, err := netip.ParseAddr(p.Value); err != nil || !a.Is6() {
			return "not an IPv6 address"
		}
	case "cnt", "cn1", "cn2", "cn3":
		n, err := strconv.ParseInt(p.Value, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != p.Value {
			return "not an integer"
		}
	}
	return ""
}

func severity(s string) bool {
	switch s {
	case "Unknown", "Low", "Medium", "High", "Very-High":
		return true
	}
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n <= 10 && strconv.Itoa(n) == s
}

func hasControl(s, except string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return (r < ' ' || r == 0x7f) && !strings.ContainsRune(except, r) })
}

// customKey reports whether key is a field that takes a label: cs1-6, cn1-3, cfp1-4, c6a1-4, flexString1-2 and the like.
func customKey(key string) bool {
	base := strings.TrimRight(key, "0123456789")
	if base == key {
		return false
	}
	switch base {
	case "cs", "cn", "cfp", "c6a", "flexString", "flexDate", "flexNumber", "deviceCustomDate":
		return true
	}
	return false
}
