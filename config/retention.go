package config

import (
	"slices"
	"strings"

	"daybook/retention"
)

// RetentionPolicy says how long the files of a retention class are kept, and where.
type RetentionPolicy struct {
	Class      string   `yaml:"class" required:"true" form:"name" doc:"The class's name: any text, unique. It stands in file names."`
	EventTypes []string `yaml:"event_types" default:"[]" form:"glob" doc:"Patterns of an event's type or action, e.g. authentication.* or iam:*. * stands for any text, ? for one character. Only the default policy may have none."`
	Default    bool     `yaml:"default" default:"false" doc:"What no pattern matches belongs here, and so do days without events. One policy may say so; where none does, one must match *, and is it."`
	Preset     string   `yaml:"preset" enum:"pci,hipaa,sec17a4,fedramp,gxp,gdpr-min" doc:"A framework, whose ages stand for those that are not written here; docs/RETENTION.md has them. It never sets the mode."`
	HotDays    int      `yaml:"hot_days" default:"0" min:"0" max:"36500" doc:"The age in days at which files leave the storage that they were put in. 0: there is no such tier. S3: one of the ages must be written, there is no default (unless mode is none)."`
	WarmDays   int      `yaml:"warm_days" default:"0" min:"0" max:"36500" doc:"The age in days at which they leave warm_storage: counted from the seal, too, and not from hot_days. 0: there is no such tier."`
	ColdYears  int      `yaml:"cold_years" default:"0" min:"0" max:"100" doc:"The age in calendar years at which they leave cold_storage. 0: there is no such tier. Files are locked until the last of the three ages."`
	Mode       string   `yaml:"mode" enum:"compliance,governance" doc:"S3: the Object Lock mode of the class's files. Empty: store.mode."`
	// Storages are names that the server gives, and so have no list here.
	WarmStorage string   `yaml:"warm_storage" form:"ascii" doc:"S3: the storage class to move to at hot_days, e.g. STANDARD_IA, or the name of a MinIO tier. Empty: files stay where they are."`
	ColdStorage string   `yaml:"cold_storage" form:"ascii" doc:"S3: the storage class or tier to move to at warm_days, or at hot_days where there is no warm tier. Empty: files stay where they are."`
	Retain      Duration `yaml:"retain" min:"1s" max:"23h" doc:"S3: instead of ages, a lock of less than a day, to try a bucket with."`
}

// agesOf returns the keys of a policy's ages that are not 0, as the file writes them.
func (p *RetentionPolicy) agesOf() []string {
	var list []string
	for _, age := range []struct {
		key string
		n   int
	}{{"hot_days", p.HotDays}, {"warm_days", p.WarmDays}, {"cold_years", p.ColdYears}} {
		if age.n != 0 {
			list = append(list, age.key)
		}
	}
	return list
}

// fillPresets gives each policy the ages of its preset, where the file does not write them.
func fillPresets(policies []RetentionPolicy, wrote func(path string) bool) {
	for i := range policies {
		p, at := &policies[i], element("store.retention_policies", i)
		framework, ok := retention.FrameworkNamed(p.Preset)
		if !ok || wrote(at+".retain") {
			continue
		}
		for _, age := range []struct {
			key string
			to  *int
			n   int
		}{
			{"hot_days", &p.HotDays, framework.Ages.HotDays},
			{"warm_days", &p.WarmDays, framework.Ages.WarmDays},
			{"cold_years", &p.ColdYears, framework.Ages.ColdYears},
		} {
			if !wrote(at + "." + age.key) {
				*age.to = age.n
			}
		}
	}
}

// retention checks the policies: each by itself, and that every event has one.
func (v *validator) retention(policies []RetentionPolicy) {
	const list = "store.retention_policies"
	if len(policies) == 0 {
		v.fault(list, "write one, or remove the key: then there is one, standard", "is empty")
		return
	}
	if len(policies) > maxClasses {
		v.fault(list, "write more patterns to a policy", "has %d policies: at most %d", len(policies), maxClasses)
	}
	seen := map[string]int{}
	first, everything := -1, false
	for i := range policies {
		p, at := &policies[i], element(list, i)
		if other, ok := seen[p.Class]; ok && p.Class != "" {
			v.fault(at+".class", "a class's name is its own", "%q is the class of %s, too", p.Class, element(list, other))
		} else {
			seen[p.Class] = i
		}
		switch {
		case p.Default && first >= 0:
			v.fault(at+".default", "remove it from one of the two", "%s is the default already", element(list, first))
		case p.Default:
			first = i
		case len(p.EventTypes) == 0 && !v.isSpoilt(at):
			v.fault(at+".event_types", `write patterns, e.g. ["authentication.*"], or default: true`, "must be written: nothing else belongs to this class")
		}
		everything = everything || slices.Contains(p.EventTypes, retention.Everything) || v.isSpoilt(at+".event_types") || v.isSpoilt(at+".default")
		v.ages(at, p)
	}
	if first < 0 && !everything {
		v.fault(list, "give one policy default: true", "an event that no policy matches would have no place")
	}
}

// maxClasses is how many the spool tells apart.
const maxClasses = 255

// ages checks that the ages of a policy ascend, and that what goes with a tier has one.
func (v *validator) ages(at string, p *RetentionPolicy) {
	if others := p.agesOf(); p.Retain != 0 && (len(others) > 0 || p.Preset != "") {
		if p.Preset != "" {
			others = []string{"preset"}
		}
		v.fault(at+".retain", "remove it, or the ages", "%s is written, too: retain is a policy without ages", others[0])
		return
	}
	const way = "ages are counted from the seal, and are no sums: hot until day 90, warm until day 365, cold until year 7; 0 is no such tier"
	if p.WarmDays > 0 && p.HotDays >= p.WarmDays {
		v.fault(at+".warm_days", way, "%d is not after hot_days, %d", p.WarmDays, p.HotDays)
	}
	if days := max(p.HotDays, p.WarmDays); p.ColdYears > 0 && days >= 365*p.ColdYears {
		v.fault(at+".cold_years", way, "%d is not after day %d, where it would begin", p.ColdYears, days)
	}
	if framework, ok := retention.FrameworkNamed(p.Preset); ok && framework.NoPeriod && p.ColdYears == 0 {
		v.fault(at+".cold_years", "write how long the records are kept that the events are about", "must be written: %s names no period of its own", p.Preset)
	}
	if p.WarmStorage != "" && p.WarmDays == 0 {
		v.fault(at+".warm_storage", "write warm_days, or remove it", "there is no warm tier")
	}
	if p.ColdStorage != "" && p.ColdYears == 0 {
		v.fault(at+".cold_storage", "write cold_years, or remove it", "there is no cold tier")
	}
	if p.WarmStorage != "" && p.WarmStorage == p.ColdStorage {
		v.fault(at+".cold_storage", "leave out the cold tier, or name another storage", "the same as warm_storage")
	}
}

// locks checks what a policy needs in the kind of store that there is.
func (v *validator) locks(kind storeKind, s *Store) {
	for i := range s.RetentionPolicies {
		p, at := &s.RetentionPolicies[i], element("store.retention_policies", i)
		switch {
		case p.Mode != "" && kind == folder:
			v.fault(at+".mode", "leave it out; or name an s3:// bucket in store.url (--to)", "a folder cannot lock files: %s is not to be had", p.Mode)
		case p.Mode != "" && s.Mode == "none":
			v.fault(at+".mode", "leave it out, or write the mode in store.mode", "store.mode is none: no file is locked")
		case kind == bucket && s.Mode != "none" && p.Retain == 0 && len(p.agesOf()) == 0:
			v.fault(at+".hot_days", "write hot_days, warm_days or cold_years, e.g. cold_years: 7, or a preset; under compliance it cannot be shortened afterwards",
				"an age must be written for an S3 store: there is no default")
		}
	}
}

// retentionWarnings tells of policies that have no effect.
func retentionWarnings(s *Store, warn func(path, hint, format string, args ...any)) {
	for i := range s.RetentionPolicies {
		p, at := &s.RetentionPolicies[i], element("store.retention_policies", i)
		keys := p.agesOf()
		if p.Retain != 0 {
			keys = append(keys, "retain")
		}
		if len(keys) > 0 {
			warn(at+"."+keys[0], "name an s3:// bucket in store.url, or keep the folder's files safe by other means", "has no effect: a folder cannot lock files")
		}
		for _, tier := range []struct{ key, storage string }{{"warm_storage", p.WarmStorage}, {"cold_storage", p.ColdStorage}} {
			if tier.storage != "" {
				warn(at+"."+tier.key, "remove it, or name an s3:// bucket in store.url", "has no effect: the store is a folder")
			}
		}
	}
}

// oldClasses is what is said of store.classes, which store.retention_policies replaced.
func oldClasses() (message, hint string) {
	return "retention classes are policies now: store.retention_policies",
		strings.Join([]string{
			`write, for {name: access, match: ["iam:*"], retain: 7y} and {name: standard, match: ["*"], retain: 90d},`,
			`    retention_policies:`,
			`      - {class: access, event_types: ["iam:*"], cold_years: 7}`,
			`      - {class: standard, default: true, hot_days: 90}`,
			`files are locked until the last of hot_days, warm_days and cold_years from the seal on: see docs/RETENTION.md`,
		}, "\n    ")
}
