package retention

import "slices"

// Framework is what a body of rules says of how long records are kept, as far as dates can tell. It is no legal advice, and no framework is met by dates alone.
type Framework struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Min and Max bound how long records are kept; Available is how long they are to be at hand, and so not in a cold tier. A zero Period bounds nothing.
	Min       Period `json:"min,omitzero"`
	Max       Period `json:"max,omitzero"`
	Available Period `json:"available,omitzero"`
	// NoPeriod says that the framework binds the period to other records, so that it must be written.
	NoPeriod bool `json:"no_period,omitempty"`
	// Ages are what a preset fills in.
	Ages Ages `json:"ages"`
	// Facts are what the periods come from.
	Facts []Fact `json:"facts"`
}

// Ages are the ages of a preset.
type Ages struct {
	HotDays   int `json:"hot_days"`
	WarmDays  int `json:"warm_days"`
	ColdYears int `json:"cold_years"`
}

// Fact is a rule of a framework. Read says where it was read: in the rule's own text, or only in what others write about it.
type Fact struct {
	Text string `json:"text"`
	Read string `json:"read"`
}

// Where a fact was read.
const (
	InText   = "in the rule"
	InReport = "in reports of it"
)

// frameworks are in the order of the documentation.
var frameworks = []Framework{
	{
		Name: "pci", Title: "PCI DSS 4.0.1", Min: Period{Months: 12}, Available: Period{Months: 3},
		Ages:  Ages{HotDays: 92, ColdYears: 1},
		Facts: []Fact{{"10.5.1: audit logs are kept for 12 months, the newest three immediately available", InReport}},
	},
	{
		Name: "hipaa", Title: "HIPAA Security Rule", Min: Period{Months: 72},
		Ages:  Ages{HotDays: 92, WarmDays: 366, ColdYears: 6},
		Facts: []Fact{{"45 CFR 164.316(b)(2)(i): required documentation is kept for six years; whether audit logs belong to it is disputed", InText}},
	},
	{
		Name: "sec17a4", Title: "SEC Rule 17a-4", Min: Period{Months: 72}, Available: Period{Months: 24},
		Ages: Ages{HotDays: 92, WarmDays: 731, ColdYears: 6},
		Facts: []Fact{
			{"17a-4(a): the records that it names are kept for six years, the first two in an easily accessible place; 17a-4(b): others for three", InText},
			{"17a-4(f): storage is WORM, or keeps an audit trail of every change; the mode to choose for the former is compliance", InReport},
		},
	},
	{
		Name: "fedramp", Title: "FedRAMP AU-11 and OMB M-26-14", Min: Period{Months: 12}, Available: Period{Months: 6},
		Ages: Ages{HotDays: 92, WarmDays: 184, ColdYears: 1},
		Facts: []Fact{
			{"AU-11: on-line for at least 90 days, and off-line for as long as NARA says, which the agency must tell", InText},
			{"OMB M-26-14 (May 2026, in the place of M-21-31 with its 12 months active and 18 cold): searchable for six months, retrievable for twelve", InReport},
		},
	},
	{
		Name: "gxp", Title: "21 CFR Part 11", NoPeriod: true,
		Ages:  Ages{HotDays: 92, WarmDays: 366},
		Facts: []Fact{{"11.10(e): an audit trail is kept at least as long as the record that it is about: how long that is, the record's own rules say", InReport}},
	},
	{
		Name: "gdpr-min", Title: "GDPR 5(1)(e), as the CNIL recommends for logs", Min: Period{Months: 6}, Max: Period{Months: 12},
		Ages: Ages{HotDays: 184},
		Facts: []Fact{
			{"CNIL: logs are kept for six to twelve months; up to three years where they serve internal control", InReport},
			{"5(1)(e): personal data is kept no longer than is necessary", InReport},
		},
	},
}

// Frameworks returns all frameworks that are known.
func Frameworks() []Framework { return slices.Clone(frameworks) }

// FrameworkNamed returns the framework of that name, which is a preset's as well.
func FrameworkNamed(name string) (Framework, bool) {
	i := slices.IndexFunc(frameworks, func(f Framework) bool { return f.Name == name })
	if i < 0 {
		return Framework{}, false
	}
	return frameworks[i], true
}
