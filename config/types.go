package config

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// Duration is a length of time of zero or more, written as Go writes it (90s, 1h30m) or in days and years: 30d, 7y, 1d12h. A day has 24 hours and a year 365 days.
type Duration time.Duration

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes d so that it reads back as d, in days where it is whole days.
func (d Duration) String() string {
	switch t := time.Duration(d); {
	case t == 0:
		return "0s"
	case t%day == 0:
		return strconv.FormatInt(int64(t/day), 10) + "d"
	case t%time.Hour == 0:
		return strconv.FormatInt(int64(t/time.Hour), 10) + "h"
	case t%time.Minute == 0:
		return strconv.FormatInt(int64(t/time.Minute), 10) + "m"
	default:
		return t.String()
	}
}

// MarshalText writes d as String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	const way = "is not a length of time: write a number with its unit, e.g. 90s, 1h30m, 30d or 7y"
	s := string(text)
	if strings.HasPrefix(s, "-") {
		return fmt.Errorf("%q is negative: a length of time is not", s)
	}
	if s != "" && strings.Trim(s, "0123456789.") == "" {
		return fmt.Errorf("%q has no unit: write e.g. %ss, %sh or %sd", s, s, s, s)
	}
	// What stands before the last d or y is ours to read, the rest is Go's.
	cut := strings.LastIndexAny(s, "dy") + 1
	var total time.Duration
	for head := s[:cut]; head != ""; {
		end := strings.IndexAny(head, "dy")
		n, err := strconv.ParseInt(head[:end], 10, 64)
		if err != nil || n < 0 {
			if errors.Is(err, strconv.ErrRange) {
				return fmt.Errorf("%q is too long: at most 292 years", s)
			}
			return fmt.Errorf("%q %s", s, way)
		}
		unit := day
		if head[end] == 'y' {
			unit = year
		}
		if n > (math.MaxInt64-int64(total))/int64(unit) {
			return fmt.Errorf("%q is too long: at most 292 years", s)
		}
		total += time.Duration(n) * unit
		head = head[end+1:]
	}
	if rest := s[cut:]; rest != "" || cut == 0 {
		t, err := time.ParseDuration(rest)
		if err != nil || t < 0 {
			return fmt.Errorf("%q %s", s, way)
		}
		if t > math.MaxInt64-total {
			return fmt.Errorf("%q is too long: at most 292 years", s)
		}
		total += t
	}
	*d = Duration(total)
	return nil
}

// Size is a number of bytes, written plainly or in KiB, MiB or GiB.
type Size int64

// String writes s so that it reads back as s, in the largest unit that it is whole in.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText writes s as String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

type sizeUnit struct {
	name  string
	bytes int64
}

var sizeUnits = [...]sizeUnit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	t := string(text)
	number, unit := t, int64(1)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(t, u.name); ok {
			number, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	if strings.HasPrefix(number, "-") {
		return fmt.Errorf("%q is negative: a size is not", t)
	}
	// 32 digits are more than any size has, and keep the arithmetic below cheap.
	if number == "" || len(number) > 32 || strings.Trim(number, "0123456789.") != "" || strings.Count(number, ".") > 1 || number == "." || (unit == 1 && strings.Contains(number, ".")) {
		return fmt.Errorf("%q is not a size: write bytes, or KiB, MiB or GiB, e.g. 64MiB", t)
	}
	// Exact: 1.5GiB is a number of bytes, and no float stands between.
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return fmt.Errorf("%q is not a size: write bytes, or KiB, MiB or GiB, e.g. 64MiB", t)
	}
	r.Mul(r, new(big.Rat).SetInt64(unit))
	if !r.IsInt() {
		return fmt.Errorf("%q is not a whole number of bytes", t)
	}
	if !r.Num().IsInt64() {
		return fmt.Errorf("%q is too large", t)
	}
	*s = Size(r.Num().Int64())
	return nil
}

// Date is a UTC day.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// Time returns the day's first instant.
func (d Date) Time() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

// String writes the day as 2006-01-02.
func (d Date) String() string { return d.Time().Format(time.DateOnly) }

// MarshalText writes d as String does.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a day.
func (d *Date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a day: write it as 2026-03-10", text)
	}
	d.Year, d.Month, d.Day = t.Date()
	return nil
}

// Time is an instant, or none where it is zero. It is written as a day (its first instant, UTC) or as an RFC 3339 time.
type Time struct {
	Time time.Time
}

// String writes the instant in UTC, and nothing where there is none.
func (t Time) String() string {
	if t.Time.IsZero() {
		return ""
	}
	return t.Time.UTC().Format(time.RFC3339Nano)
}

// MarshalText writes t as String does.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads an instant.
func (t *Time) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "" {
		t.Time = time.Time{}
		return nil
	}
	at, err := time.Parse(time.DateOnly, s)
	if err != nil {
		at, err = time.Parse(time.RFC3339, s)
	}
	if err != nil {
		return fmt.Errorf("%q is not a time: write a day as 2026-03-10, or a time with its zone as 2026-03-10T08:00:00Z", s)
	}
	t.Time = at.UTC()
	return nil
}
