// Package cef writes a day's events as CEF:0 lines for SIEMs, after the CEF Implementation Standard (OpenText, document version 27).
//
// What it guarantees: one event is one line that starts with CEF:0| and ends with LF, valid UTF-8, no BOM, no syslog prefix. Header texts hold
// neither pipe nor backslash, since consumers split there without looking for escapes. A key stands once, never without a value, and a label
// never without its value. Values are cut to the standard's lengths, counted in bytes, at the end of a character and before they are escaped;
// Stats.ValuesCut counts them. JSON (info) comes last in the line, where a careless parser does the least harm.
//
//	CEF:0|Daybook|Daybook|1|<action>|<name>|<0-10>|rt=… end=… externalId=… cat=… act=… outcome=… … cs3Label=info cs3={…}
//
// What it does not: it does not hold all of an event, its times are in milliseconds, and what it puts in place of control characters (\n and \r
// for line ends, a space for the rest) can't be undone. The evidence has all of it.
package cef

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/lines"
)

// Lengths of the standard.
const (
	maxVendor     = 63
	maxProduct    = 63
	maxVersion    = 31
	maxClassID    = 1023
	maxName       = 512
	maxExternalID = 40
	maxAct        = 63
	maxOutcome    = 63
	maxDevice     = 255 // deviceExternalId
	maxText       = 1023
	maxCustom     = 4000 // cs1 to cs6
)

// Options of an Encoder. The zero value is the default.
type Options struct {
	// Vendor, Product and Version name who made the line, for the SIEM to choose its parser by: Daybook, Audit and 1. Version is that of the
	// mapping and not of the program, so that a new build writes the same bytes.
	Vendor, Product, Version string
	// InfoLimit is how many bytes of info are kept: 0 for the 4000 that the standard allows, negative for all.
	InfoLimit int
}

// Validate reports every text that can't stand in a header.
func (o *Options) Validate() error {
	return errors.Join(
		validText("vendor", o.Vendor, maxVendor),
		validText("product", o.Product, maxProduct),
		validText("version", o.Version, maxVersion),
	)
}

func validText(name, s string, limit int) error {
	switch {
	case len(s) > limit:
		return fmt.Errorf("cef: %s %q: longer than %d bytes", name, s, limit)
	case !utf8.ValidString(s) || strings.ContainsAny(s, `|\`) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("cef: %s %q: must be printable, without | and \\", name, s)
	}
	return nil
}

// Encoder writes events as CEF. It implements formats.Encoder.
type Encoder struct {
	out           *lines.Writer
	header, value *lines.Escaper
	head          string // the line up to the class id
	infoLimit     int
	stats         formats.Stats
}

// NewEncoder returns an Encoder to w. o may be nil. Where o does not hold up to Validate, the first Encode, or Close, fails with its error.
func NewEncoder(w io.Writer, o *Options) *Encoder {
	if o == nil {
		o = &Options{}
	}
	e := &Encoder{
		out:       lines.NewWriter(w, o.Validate()),
		header:    lines.NewEscaper(lines.Style{Escapes: map[byte]string{'|': "_", '\\': "/", '\n': " ", '\r': " "}}),
		value:     lines.NewEscaper(lines.Style{Escapes: map[byte]string{'=': `\=`, '\\': `\\`}}),
		infoLimit: o.InfoLimit,
	}
	e.head = "CEF:0|" + orElse(o.Vendor, "Daybook") + "|" + orElse(o.Product, "Audit") + "|" + orElse(o.Version, "1") + "|"
	switch {
	case o.InfoLimit == 0:
		e.infoLimit = maxCustom
	case o.InfoLimit < 0:
		e.infoLimit = math.MaxInt
	}
	return e
}

// Encode writes a line for each event.
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

func (e *Encoder) appendLine(dst []byte, ev *event.Event) []byte {
	action := ev.Get(event.Action)
	dst = append(dst, e.head...)
	dst = e.headerText(dst, orElse(action, orElse(ev.Get(event.Type), "unknown")), maxClassID)
	dst = e.headerText(dst, nameOf(ev), maxName)
	dst = strconv.AppendInt(dst, int64(severityOf(ev)), 10)

	dst = append(dst, "|rt="...)
	start := len(dst)
	dst = strconv.AppendInt(dst, ev.Time.UnixMilli(), 10)
	end := len(dst)
	dst = append(append(dst, " end="...), dst[start:end]...)

	dst = e.externalID(dst, ev.Get(event.ID))
	dst = e.text(dst, " cat=", ev.Get(event.Type), maxText)
	dst = e.text(dst, " act=", action, maxAct)
	dst = e.text(dst, " outcome=", ev.Get(event.Outcome), maxOutcome)
	dst = e.text(dst, " reason=", orElse(ev.Get(event.ErrorCode), ev.Get(event.Reason)), maxText)
	dst = e.text(dst, " msg=", ev.Get(event.ErrorMessage), maxText)
	dst = e.address(dst, ev.Get(event.IP))
	dst = e.text(dst, " requestClientApplication=", ev.Get(event.UserAgent), maxText)
	dst = e.text(dst, " suid=", ev.Get(event.ActorID), maxText)
	dst = e.text(dst, " suser=", orElse(ev.Get(event.ActorName), ev.Get(event.ActorID)), maxText)
	dst = e.text(dst, " spriv=", ev.Get(event.ActorRole), maxText)
	dst = e.text(dst, " deviceExternalId=", ev.Get(event.Source), maxDevice)
	if isFile(ev) {
		dst = e.text(dst, " fileId=", ev.Get(event.ObjectID), maxText)
		dst = e.text(dst, " fname=", ev.Get(event.ObjectName), maxText)
	}
	dst = e.text(dst, " flexString1Label=objectId flexString1=", ev.Get(event.ObjectID), maxText)
	dst = e.text(dst, " flexString2Label=objectName flexString2=", ev.Get(event.ObjectName), maxText)
	dst = e.text(dst, " cs1Label=projectId cs1=", ev.Get(event.ProjectID), maxCustom)
	dst = e.text(dst, " cs2Label=projectName cs2=", ev.Get(event.ProjectName), maxCustom)
	dst = e.text(dst, " cs4Label=tokenLabel cs4=", ev.Get(event.TokenLabel), maxCustom)
	dst = e.text(dst, " cs5Label=tokenLast4 cs5=", ev.Get(event.TokenLast4), maxCustom)
	dst = e.text(dst, " cs6Label=org cs6=", ev.Get(event.Org), maxCustom)

	info := ev.Get(event.Info)
	if len(info) > e.infoLimit {
		dst = append(dst, " cn1Label=infoBytes cn1="...)
		dst = strconv.AppendInt(dst, int64(len(info)), 10)
	}
	dst = e.text(dst, " cs3Label=info cs3=", info, e.infoLimit)
	return append(dst, '\n')
}

// headerText appends a text of the header and the pipe after it. What is cut here is cut, and counted, in act too.
func (e *Encoder) headerText(dst []byte, s string, limit int) []byte {
	s, _ = lines.Cut(s, limit)
	dst, _ = e.header.Append(dst, s)
	return append(dst, '|')
}

// text appends a key with its value, unless that is empty. key has the space before it, the label if there is one, and the equals sign.
func (e *Encoder) text(dst []byte, key, s string, limit int) []byte {
	if s == "" {
		return dst
	}
	s, cut := lines.Cut(s, limit)
	if cut {
		e.stats.ValuesCut++
	}
	dst = append(dst, key...)
	dst, _ = e.value.Append(dst, s)
	return dst
}

// externalID appends the event's id or, where that is too long, sha256: and 32 hex digits of its hash.
func (e *Encoder) externalID(dst []byte, id string) []byte {
	if len(id) <= maxExternalID {
		return e.text(dst, " externalId=", id, maxExternalID)
	}
	e.stats.ValuesCut++
	sum := sha256.Sum256([]byte(id))
	return hex.AppendEncode(append(dst, " externalId=sha256:"...), sum[:16])
}

// address appends the ip under the key that its kind has: src takes IPv4 only.
func (e *Encoder) address(dst []byte, ip string) []byte {
	key := " shost="
	switch {
	case isIPv4(ip):
		key = " src="
	case isIPv6(ip):
		key = " c6a2Label=Source IPv6 Address c6a2="
	}
	return e.text(dst, key, ip, maxText)
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}
