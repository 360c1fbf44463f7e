package event

import (
	"fmt"
	"time"
)

// Day is a UTC day, [00:00, 24:00), counted from 1970-01-01. A UTC day always has 24 hours.
type Day int32

// DayOf returns the UTC day that t falls in.
func DayOf(t time.Time) Day {
	sec := t.Unix()
	d := sec / 86400
	if sec%86400 < 0 {
		d--
	}
	return Day(d)
}

// ParseDay reads a day as YYYY-MM-DD.
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("day %q: must be YYYY-MM-DD", s)
	}
	return DayOf(t), nil
}

// String returns the day as YYYY-MM-DD.
func (d Day) String() string { return d.Start().Format(time.DateOnly) }

// Start is the first instant of the day.
func (d Day) Start() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// End is the first instant after the day.
func (d Day) End() time.Time { return (d + 1).Start() }
