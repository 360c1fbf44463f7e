package event

import (
	"bytes"
	"crypto/sha256"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// AppendJSON appends the evidence row of e to dst, without a line feed:
//
//	{"id":…,"source":…,"time":…,"received":…,"org":…, … ,"tags":[…],"flags":[…],"info":{…},"changes":{…},"corrects":…,"source_seq":7,"raw":{…}}
//
// Members stand in the order of design.md §8, absent ones are left out, times are RFC 3339 UTC with as many digits as are not zero, JSON
// fields keep their text. Frozen: seals hash these bytes.
func (e *Event) AppendJSON(dst []byte) []byte {
	if e.row != nil {
		return append(dst, e.row...)
	}
	return e.appendJSON(dst, true)
}

func (e *Event) appendJSON(dst []byte, received bool) []byte {
	dst = append(dst, '{')
	dst = e.appendTexts(dst, ID, Source)
	dst = append(dst, `"time":"`...)
	dst = AppendTime(dst, e.Time)
	dst = append(dst, '"', ',')
	if received && !e.Received.IsZero() {
		dst = append(dst, `"received":"`...)
		dst = AppendTime(dst, e.Received)
		dst = append(dst, '"', ',')
	}
	dst = e.appendTexts(dst, Org, Region)
	dst = appendList(dst, `"tags":[`, e.Tags)
	dst = appendList(dst, `"flags":[`, e.Flags)
	dst = e.appendTexts(dst, Info, Corrects)
	if e.set&seqBit != 0 {
		dst = append(dst, `"source_seq":`...)
		dst = strconv.AppendUint(dst, e.seq, 10)
		dst = append(dst, ',')
	}
	dst = e.appendTexts(dst, Raw, Raw)
	dst[len(dst)-1] = '}'
	return dst
}

func (e *Event) appendTexts(dst []byte, from, to Field) []byte {
	for f := from; f <= to; f++ {
		if e.set&(1<<f) == 0 {
			continue
		}
		dst = append(dst, '"')
		dst = append(dst, fieldNames[f]...)
		dst = append(dst, '"', ':')
		if f.JSON() {
			dst = append(dst, e.text[f]...)
		} else {
			dst = AppendQuoted(dst, e.text[f])
		}
		dst = append(dst, ',')
	}
	return dst
}

func appendList(dst []byte, open string, list []string) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(dst, open...)
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendQuoted(dst, s)
	}
	return append(dst, ']', ',')
}

// ContentHash is what tells two events of one key apart: the RFC 6962 leaf hash, SHA-256 of a zero byte and the evidence row, without received and with
// redaction tags blanked, since both may differ between two deliveries of one event. row is e's own evidence row. Where it has neither, which HasOnlyContent
// tells, this is the row's own leaf in its seal's Merkle tree.
func (e *Event) ContentHash(row []byte) [sha256.Size]byte {
	var scratch [2048]byte // most rows fit, so that nothing is allocated
	leaf := append(scratch[:0], 0)
	if e.Received.IsZero() {
		leaf = append(leaf, row...)
	} else {
		leaf = e.appendJSON(leaf, false)
	}
	if bytes.Contains(leaf, redactedMark) {
		leaf = blankTags(leaf)
	}
	return sha256.Sum256(leaf)
}

// HasOnlyContent reports whether the row of e holds nothing that ContentHash leaves out.
func (e *Event) HasOnlyContent(row []byte) bool {
	return e.Received.IsZero() && !bytes.Contains(row, redactedMark)
}

// Redacted returns what stands in place of a redacted secret, given its tag: eight hex digits by which equal secrets can be told equal.
func Redacted(tag string) string { return redactedPrefix + tag + "]" }

const redactedPrefix = "[redacted:"

var redactedMark = []byte(redactedPrefix)

func blankTags(row []byte) []byte {
	s, out := string(row), make([]byte, 0, len(row))
	for {
		i := strings.Index(s, redactedPrefix)
		if i < 0 {
			return append(out, s...)
		}
		out = append(out, s[:i+len(redactedPrefix)]...)
		s = s[i+len(redactedPrefix):]
		if len(s) > 8 && s[8] == ']' {
			s = s[8:]
		}
	}
}

// AppendTime appends t as RFC 3339 in UTC, with as many fraction digits as are not zero.
func AppendTime(dst []byte, t time.Time) []byte {
	dst = AppendSeconds(dst, t)
	if ns := t.Nanosecond(); ns != 0 {
		dst = append(dst, '.')
		for div := 100_000_000; ns > 0; div /= 10 {
			dst = append(dst, byte('0'+ns/div))
			ns %= div
		}
	}
	return append(dst, 'Z')
}

// AppendSeconds appends t as 2006-01-02T15:04:05 in UTC: what time.AppendFormat gives, in a fifth of the time.
func AppendSeconds(dst []byte, t time.Time) []byte {
	sec := t.Unix()
	days := sec / 86400
	rest := int(sec % 86400)
	if rest < 0 {
		rest += 86400
		days--
	}
	// Civil date from days, after Howard Hinnant, "chrono-compatible low-level date algorithms".
	z := days + 719468
	era := z / 146097
	if z < 0 {
		era = (z - 146096) / 146097
	}
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day := int(doy - (153*mp+2)/5 + 1)
	month := int(mp + 3)
	if month > 12 {
		month -= 12
	}
	year := int(yoe + era*400)
	if month <= 2 {
		year++
	}
	return append(dst,
		byte('0'+year/1000%10), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-',
		byte('0'+month/10), byte('0'+month%10), '-', byte('0'+day/10), byte('0'+day%10), 'T',
		byte('0'+rest/36000), byte('0'+rest/3600%10), ':', byte('0'+rest/600%6), byte('0'+rest/60%10), ':',
		byte('0'+rest%60/10), byte('0'+rest%10))
}

const hexDigits = "0123456789abcdef"

// AppendQuoted appends s as a JSON string: only what must be escaped is, and what is not UTF-8 becomes U+FFFD.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\ufffd"...)
			i++
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
