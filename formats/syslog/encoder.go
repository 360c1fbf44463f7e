// Package syslog writes a day's events as RFC 5424 messages, one on a line, for collectors and SIEMs.
//
// What it guarantees: every line is one message of RFC 5424's grammar, without octet count, ended by LF; the structured data is valid UTF-8 and
// MSG is ASCII, so that it needs no BOM. With an InfoLimit no line is longer than that plus 3,904 bytes, which makes 8,000 by default: rsyslog cuts a
// longer message at 8,096 and takes the rest for another. Where a line would be longer, values are cut at the end of a character, info first;
// Stats.ValuesCut counts them.
//
//	<110>1 2026-03-10T14:30:45.123456Z - daybook - project-describe [audit@32473 eventId="…" … info="{…}"][origin enterpriseId="32473" software="Daybook" swVersion="1"] alice called project-describe on project-xxxx: success
//
// What it does not: it does not hold all of an event, and its times are in microseconds, the rest cut off. A control character in a value is written
// as \n, \r, \t or \u001b and the message marked with ctl="1"; a backslash that was there before stays as it is, so that this can't always be undone.
// The evidence has all of it.
package syslog

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/lines"
)

const (
	// Lengths of RFC 5424, section 6.
	maxHostname = 255
	maxAppName  = 48
	maxMsgID    = 32
	maxVersion  = 32

	// maxText is how many bytes of a text other than info are kept.
	maxText = 1023
	// defaultInfo is the default InfoLimit, besideInfo the room on a line for all that is not info.
	defaultInfo = 4096
	besideInfo  = 3904

	logAudit = 13 // the facility

	// DocumentationEnterprise is the number that RFC 5612 sets aside for examples: the default, which every installation should replace.
	DocumentationEnterprise = 32473
)

// Options of an Encoder. The zero value is the default.
type Options struct {
	// Facility is 1 to 23; 0 means 13, log audit.
	Facility int
	// Enterprise is the IANA private enterprise number in the name of the structured data; 0 means DocumentationEnterprise.
	Enterprise uint32
	// Hostname and AppName stand in the header: visible ASCII, at most 255 and 48 characters; "-" and "daybook" where they are empty.
	Hostname, AppName string
	// Version is swVersion in the origin element, at most 32 characters of visible ASCII: 1, that of the mapping and not of the program, so that a
	// new build writes the same bytes.
	Version string
	// InfoLimit is how many bytes of info are kept: 0 for 4096, negative for all, and then lines of any length.
	InfoLimit int
}

// Validate reports every option that RFC 5424 has no room for.
func (o *Options) Validate() error {
	var bad []error
	if o.Facility < 0 || o.Facility > 23 {
		bad = append(bad, fmt.Errorf("syslog: facility %d: must be 1 to 23", o.Facility))
	}
	for _, t := range []struct {
		name, text string
		limit      int
	}{{"hostname", o.Hostname, maxHostname}, {"app name", o.AppName, maxAppName}, {"version", o.Version, maxVersion}} {
		if t.text != "" && (len(t.text) > t.limit || !lines.Printable(t.text)) {
			bad = append(bad, fmt.Errorf("syslog: %s %q: must be at most %d characters of visible ASCII", t.name, t.text, t.limit))
		}
	}
	return errors.Join(bad...)
}

// Encoder writes events as RFC 5424 messages. It implements formats.Encoder.
type Encoder struct {
	out       *lines.Writer
	escape    *lines.Escaper
	facility  int
	host      string // from the space before HOSTNAME to the one before MSGID
	audit     string // from the space after MSGID to the first parameter
	origin    string // from the end of the audit element to MSG
	infoLimit int
	lineLimit int
	stats     formats.Stats

	// Of the line that is being written:
	end  int  // where the parameters must have ended
	ctrl bool // there were control characters
}

// NewEncoder returns an Encoder to w. o may be nil. Where o does not hold up to Validate, the first Encode, or Close, fails with its error.
func NewEncoder(w io.Writer, o *Options) *Encoder {
	if o == nil {
		o = &Options{}
	}
	e := &Encoder{
		out:       lines.NewWriter(w, o.Validate()),
		escape:    lines.NewEscaper(lines.Style{Escapes: map[byte]string{'"': `\"`, '\\': `\\`, ']': `\]`}, Backslash: `\\`}),
		facility:  o.Facility,
		infoLimit: o.InfoLimit,
		lineLimit: o.InfoLimit + besideInfo,
	}
	if e.facility == 0 {
		e.facility = logAudit
	}
	switch {
	case o.InfoLimit == 0:
		e.infoLimit, e.lineLimit = defaultInfo, defaultInfo+besideInfo
	case o.InfoLimit < 0:
		e.infoLimit, e.lineLimit = math.MaxInt, math.MaxInt
	}
	enterprise := strconv.FormatUint(uint64(DocumentationEnterprise), 10)
	if o.Enterprise != 0 {
		enterprise = strconv.FormatUint(uint64(o.Enterprise), 10)
	}
	e.host = " " + orElse(o.Hostname, "-") + " " + orElse(o.AppName, "daybook") + " - "
	e.audit = " [audit@" + enterprise
	e.origin = `][origin enterpriseId="` + enterprise + `" software="Daybook" swVersion="` + quoted(e.escape, orElse(o.Version, "1")) + `"] `
	return e
}

func quoted(e *lines.Escaper, s string) string {
	b, _ := e.Append(nil, s)
	return string(b)
}

// Encode writes a message for each event.
func (e *Encoder) Encode(batch []event.Event) error {
	for i := range batch {
		if err := e.out.Commit(e.appendLine(e.out.Buffer(), &batch[i])); err != nil {
			return err
		}
		e.stats.Rows++
	}
	return nil
}

// Close writes out what is left. It leaves the writer open.
func (e *Encoder) Close() error { return e.out.Flush() }

// Stats returns the counts so far.
func (e *Encoder) Stats() formats.Stats { return e.stats }

// tail is room for the parameters after info, ` infoBytes="…" ctl="1"`, the closing of what may be cut, and the sentence.
const tail = len(` infoBytes="18446744073709551615" ctl="1"`) + len(`""`) + maxSentence

func (e *Encoder) appendLine(dst []byte, ev *event.Event) []byte {
	e.ctrl = false
	e.end = math.MaxInt
	if e.lineLimit < math.MaxInt-len(dst) {
		e.end = len(dst) + e.lineLimit - len(e.origin) - tail
	}
	action := ev.Get(event.Action)

	dst = append(dst, '<')
	dst = strconv.AppendInt(dst, int64(e.facility*8+severityOf(ev)), 10)
	dst = append(dst, ">1 "...)
	dst = appendMicros(dst, ev)
	dst = append(dst, e.host...)
	dst = appendMsgID(dst, orElse(action, ev.Get(event.Type)))

	dst = append(dst, e.audit...)
	dst = e.param(dst, ` eventId="`, ev.Get(event.ID))
	dst = e.param(dst, ` org="`, ev.Get(event.Org))
	dst = e.param(dst, ` source="`, ev.Get(event.Source))
	dst = e.param(dst, ` type="`, ev.Get(event.Type))
	dst = e.param(dst, ` actor="`, ev.Get(event.ActorID))
	dst = e.param(dst, ` action="`, action)
	dst = e.param(dst, ` outcome="`, ev.Get(event.Outcome))
	if ev.Get(event.Outcome) == event.Success {
		dst = e.param(dst, ` successStatus="`, "Yes")
	} else {
		dst = e.param(dst, ` successStatus="`, "No")
	}
	dst = e.param(dst, ` ip="`, ev.Get(event.IP))
	dst = e.param(dst, ` objectId="`, ev.Get(event.ObjectID))
	dst = e.param(dst, ` projectId="`, ev.Get(event.ProjectID))
	dst = e.param(dst, ` tokenLast4="`, ev.Get(event.TokenLast4))
	dst = e.param(dst, ` tokenLabel="`, ev.Get(event.TokenLabel))
	dst = e.param(dst, ` errorCode="`, ev.Get(event.ErrorCode))
	dst = e.param(dst, ` objectName="`, ev.Get(event.ObjectName))
	dst = e.param(dst, ` projectName="`, ev.Get(event.ProjectName))
	dst = e.param(dst, ` userAgent="`, ev.Get(event.UserAgent))
	dst = e.param(dst, ` errorMessage="`, ev.Get(event.ErrorMessage))
	dst = e.info(dst, ev.Get(event.Info))
	if e.ctrl {
		dst = append(dst, ` ctl="1"`...)
	}
	dst = append(dst, e.origin...)
	dst = appendSentence(dst, ev)
	return append(dst, '\n')
}

func (e *Encoder) param(dst []byte, name, s string) []byte {
	if s == "" {
		return dst
	}
	dst, _ = e.paramWithin(dst, name, s, maxText)
	return dst
}

// info says how long it was where it was cut.
func (e *Encoder) info(dst []byte, s string) []byte {
	if s == "" {
		return dst
	}
	dst, cut := e.paramWithin(dst, ` info="`, s, e.infoLimit)
	if cut {
		dst = append(dst, ` infoBytes="`...)
		dst = strconv.AppendInt(dst, int64(len(s)), 10)
		dst = append(dst, '"')
	}
	return dst
}

// paramWithin appends a parameter: at most limit bytes of s, and no more than there is room for on the line. It reports whether that was not all.
func (e *Encoder) paramWithin(dst []byte, name, s string, limit int) (_ []byte, cut bool) {
	s, cut = lines.Cut(s, limit)
	begin := len(dst)
	dst = append(dst, name...)
	value := len(dst)
	dst, ctrl := e.escape.Append(dst, s)
	if len(dst) > e.end {
		cut = true
		taken := 0
		dst, taken, ctrl = e.escape.AppendWithin(dst[:value], s, e.end-value)
		if taken == 0 {
			e.stats.ValuesCut++
			return dst[:begin], true
		}
	}
	if cut {
		e.stats.ValuesCut++
	}
	e.ctrl = e.ctrl || ctrl
	return append(dst, '"'), cut
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}
