package event

import (
	"net/netip"
	"strings"
	"time"
)

// ParseTime reads an RFC 3339 time, with any offset and any number of fraction digits (beyond nine they are cut), and returns it in UTC.
func ParseTime(s string) (time.Time, bool) {
	if t, ok := parseUTC(s); ok {
		return t, true
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	return t.UTC(), err == nil
}

// parseUTC is the common case, 2006-01-02T15:04:05[.fraction]Z, read in a fifth of the time that time.Parse takes.
func parseUTC(s string) (time.Time, bool) {
	if len(s) < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[len(s)-1] != 'Z' {
		return time.Time{}, false
	}
	year, month, day := digits(s[0:4]), digits(s[5:7]), digits(s[8:10])
	hour, minute, sec := digits(s[11:13]), digits(s[14:16]), digits(s[17:19])
	if year < 0 || month < 1 || month > 12 || day < 1 || day > 28 && day > daysIn(year, month) || hour < 0 || hour > 23 || minute < 0 ||
		minute > 59 || sec < 0 || sec > 59 {
		return time.Time{}, false
	}
	ns := 0
	if frac := s[19 : len(s)-1]; frac != "" {
		if frac[0] != '.' || len(frac) < 2 || len(frac) > 10 {
			return time.Time{}, false
		}
		if ns = digits(frac[1:]); ns < 0 {
			return time.Time{}, false
		}
		for range 10 - len(frac) {
			ns *= 10
		}
	}
	// Days from a civil date, after Howard Hinnant, "chrono-compatible low-level date algorithms".
	y := year
	if month <= 2 {
		y--
	}
	era := y / 400
	if y < 0 {
		era = (y - 399) / 400
	}
	yoe := y - era*400
	doy := (153*((month+9)%12)+2)/5 + day - 1
	days := era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
	return time.Unix(int64(days)*86400+int64(hour*3600+minute*60+sec), int64(ns)).UTC(), true
}

func digits(s string) int {
	n := 0
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return -1
		}
		n = n*10 + int(c)
	}
	return n
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// PlausibleIP reports whether s can stand in the field IP without a flag: an address, or text that is no attempt at one, such as a DNS name or
// a service's name (`cloudtrail.amazonaws.com`, `AWS Internal`).
func PlausibleIP(s string) bool {
	if s == "" || strings.ContainsAny(s, "ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ") && !strings.Contains(s, "%") {
		return true
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}
