package syslog

import (
	"unicode/utf8"

	"daybook/event"
	"daybook/formats/lines"
)

// severityOf gives the severity of RFC 5424: what the source says, else informational; a failure is at least a warning.
func severityOf(ev *event.Event) int {
	const critical, problem, warning, notice, informational = 2, 3, 4, 5, 6
	s := informational
	switch ev.Get(event.Severity) {
	case "low":
		s = notice
	case "medium":
		s = warning
	case "high":
		s = problem
	case "critical":
		s = critical
	}
	if ev.Get(event.Outcome) == event.Failure {
		return min(s, warning)
	}
	return s
}

func appendMicros(dst []byte, ev *event.Event) []byte {
	us := ev.Time.Nanosecond() / 1e3
	dst = append(event.AppendSeconds(dst, ev.Time), '.')
	for div := 100_000; div > 0; div /= 10 {
		dst = append(dst, byte('0'+us/div%10))
	}
	return append(dst, 'Z')
}

// appendMsgID appends the first 32 characters of s, with _ for what may not stand there. Nothing should rely on it: the action is a parameter.
func appendMsgID(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, '-')
	}
	if len(s) <= maxMsgID && lines.InRange(s, '!') {
		return append(dst, s...)
	}
	for i, n := 0, 0; i < len(s) && n < maxMsgID; n++ {
		c, size := s[i], 1
		if c >= utf8.RuneSelf {
			_, size = utf8.DecodeRuneInString(s[i:])
		}
		if c <= ' ' || c > '~' {
			c = '_'
		}
		dst = append(dst, c)
		i += size
	}
	return dst
}

const (
	maxWord     = 64
	maxSentence = 5*(maxWord+len("...")) + len(" called  on  from : failure ()") + 1
)

// appendSentence appends MSG, for those who read the lines as they are.
func appendSentence(dst []byte, ev *event.Event) []byte {
	dst = appendASCII(dst, orElse(ev.Get(event.ActorID), "unknown actor"))
	dst = append(dst, " called "...)
	dst = appendASCII(dst, orElse(ev.Get(event.Action), "unknown action"))
	if object := orElse(ev.Get(event.ObjectID), ev.Get(event.ObjectName)); object != "" {
		dst = append(dst, " on "...)
		dst = appendASCII(dst, object)
	}
	dst = append(dst, ": "...)
	dst = appendASCII(dst, orElse(ev.Get(event.Outcome), event.Unknown))
	if code := ev.Get(event.ErrorCode); code != "" {
		dst = append(dst, " ("...)
		dst = appendASCII(dst, code)
		dst = append(dst, ')')
	}
	return dst
}

// appendASCII appends the first 64 characters of s, with ? for what is not ASCII or a control character.
func appendASCII(dst []byte, s string) []byte {
	if len(s) <= maxWord && lines.InRange(s, ' ') {
		return append(dst, s...)
	}
	n := 0
	for i := 0; i < len(s); n++ {
		if n == maxWord {
			return append(dst, "..."...)
		}
		c, size := s[i], 1
		if c >= utf8.RuneSelf {
			_, size = utf8.DecodeRuneInString(s[i:])
		}
		if c < ' ' || c > '~' {
			c = '?'
		}
		dst = append(dst, c)
		i += size
	}
	return dst
}
