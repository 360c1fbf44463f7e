package retention

import (
	"fmt"
	"time"
)

// Period is a length of calendar months.
type Period struct {
	Months int `json:"months"`
}

// IsZero reports whether there is no period.
func (p Period) IsZero() bool { return p.Months == 0 }

// After returns the end of the period from that time on. What would be the 31st of a shorter month is read as a day of the next: later, never earlier.
func (p Period) After(t time.Time) time.Time { return t.AddDate(0, p.Months, 0) }

// String writes it as people do: 3 months, 6 years.
func (p Period) String() string {
	n, unit := p.Months, "month"
	if n%12 == 0 && n > 12 {
		n, unit = n/12, "year"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}
