package retention

import (
	"time"

	"daybook/sink"
)

// Explained is what a policy comes to for a seal of a given time.
type Explained struct {
	Class      string   `json:"class"`
	EventTypes []string `json:"event_types"`
	Default    bool     `json:"default"`
	Preset     string   `json:"preset,omitempty"`
	// Mode is blank where nothing is locked.
	Mode sink.Mode `json:"mode"`
	Dates
	WarmStorage string `json:"warm_storage,omitempty"`
	ColdStorage string `json:"cold_storage,omitempty"`
	// ExpireAfterDays is the age at which a lifecycle rule may remove files; 0: never.
	ExpireAfterDays int `json:"expire_after_days"`
}

// Explanation is what the policies come to for a seal of the time At. Control is the lock of manifests, notes, keys and the log.
type Explanation struct {
	At      time.Time   `json:"at"`
	Classes []Explained `json:"classes"`
	Control Control     `json:"control"`
}

// Control is a lock of what files are checked by.
type Control struct {
	Mode  sink.Mode  `json:"mode"`
	Until *time.Time `json:"until,omitempty"`
}

// Explain says what the policies come to for a seal of that time.
func (l Policies) Explain(at time.Time) Explanation {
	x := Explanation{At: at.UTC(), Classes: []Explained{}}
	standard := l.Default()
	for i := range l {
		p := &l[i]
		x.Classes = append(x.Classes, Explained{
			Class: p.Class, EventTypes: append([]string{}, p.EventTypes...), Default: i == standard, Preset: p.Preset, Mode: p.Mode, Dates: p.Dates(at),
			WarmStorage: p.WarmStorage, ColdStorage: p.ColdStorage, ExpireAfterDays: p.Lifecycle().ExpireAfter,
		})
	}
	if lock := l.ControlLock(at); lock.Mode != sink.None {
		x.Control = Control{lock.Mode, &lock.RetainUntil}
	}
	return x
}
