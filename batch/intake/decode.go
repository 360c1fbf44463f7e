package intake

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"time"

	"daybook/event"
	"daybook/formats/jsontext"
)

// eventDecoder makes events of records, one at a time: what it returns holds until the next.
type eventDecoder struct {
	settings *Settings
	event    event.Event
	row      []byte
	// ordinal, where it is set, tells how many events of that content hash there were before.
	ordinal func(hash [contentName]byte) uint32
}

// decode makes an event of a record. An error is the reason why it can't be read.
func (d *eventDecoder) decode(entry decoderEntry, record []byte) (Taken, error) {
	e, settings := &d.event, d.settings
	e.Reset()
	err := entry.decoder.Decode(record, e)
	invalid := errors.Is(err, jsontext.ErrUTF8)
	if err == nil {
		record, invalid = loneSurrogate(record, e)
	}
	var plain []byte // the record without secrets, where its fields do not hold all of it
	switch {
	case invalid:
		if plain, err = d.decodeInvalid(entry, record); err != nil {
			return Taken{}, err
		}
		d.bind()
	case err != nil:
		return Taken{}, err
	default:
		if d.bind() && !e.Has(event.Raw) && entry.keepRaw != nil {
			entry.keepRaw(record, e)
		}
		settings.Redactor.Redact(e)
		plain = viewBytes(e.Get(event.Raw))
	}
	outcome := ""
	if len(plain) > 0 && entry.outcomeNotKnown != nil && e.Get(event.Outcome) == event.Unknown {
		outcome = entry.outcomeNotKnown(plain)
	}
	if e.Get(event.Source) == "" {
		e.Set(event.Source, settings.sourceOf(entry.name))
	}
	if e.Get(event.Org) == "" {
		e.Set(event.Org, settings.Org)
	}
	e.Received = settings.Received
	if !event.PlausibleIP(e.Get(event.IP)) {
		e.Flag(event.FlagIPInvalid)
	}
	if year := e.Time.Year(); year < 1 || year > 9999 || e.Time.IsZero() {
		return Taken{}, fmt.Errorf("time is in the year %d: UTC times are written with the years 1 to 9999, and its first instant stands for none", year)
	}
	suspect := e.Time.After(settings.receipt().Add(FutureTolerance)) || e.Time.Before(settings.PlausibleAfter)
	if suspect {
		e.Flag(event.FlagTimeSuspect)
	}
	ordinal := e.Get(event.ID) == ""
	if ordinal {
		d.nameByContent()
		ordinal = d.ordinal == nil
	}
	d.row = e.AppendJSON(d.row[:0])
	return Taken{e, d.row, ordinal, suspect, outcome}, nil
}

// loneSurrogate reports whether the record that e was decoded from has a lone surrogate's escape, and returns the record. What LookupEvents gives is wrapped
// in another one, with its escapes escaped: the record is what raw has then.
func loneSurrogate(record []byte, e *event.Event) ([]byte, bool) {
	if jsontext.HasLoneSurrogate(record) {
		return record, true
	}
	raw := e.Get(event.Raw)
	if raw != viewString(record) && jsontext.HasLoneSurrogate(viewBytes(raw)) {
		return []byte(raw), true
	}
	return record, false
}

// bind gives the event the org and source that the credential has, and reports whether the record named others.
func (d *eventDecoder) bind() (replaced bool) {
	for _, b := range []struct {
		field event.Field
		to    string
		flag  string
	}{
		{event.Org, d.settings.BindOrg, event.FlagOrgReplaced},
		{event.Source, d.settings.BindSource, event.FlagSourceReplaced},
	} {
		was := d.event.Get(b.field)
		if b.to == "" || was == b.to {
			continue
		}
		d.event.Set(b.field, b.to)
		if was != "" {
			d.event.Flag(b.flag)
			replaced = true
		}
	}
	return replaced
}

func (s *Settings) sourceOf(format string) string {
	if s.Source != "" {
		return s.Source
	}
	return format
}

// receipt is the time at which an event came, or that which stands for it.
func (s *Settings) receipt() time.Time {
	if s.Received.IsZero() {
		return s.AsOf
	}
	return s.Received
}

// contentName is how many bytes of its content hash name an event that has no id.
const contentName = 12

// nameByContent gives the event, which has no id, one that is made from its content: 24 hex digits of its content hash, then 8 for its ordinal among
// equals. The hash is over the redacted row, so that no secret can be guessed from it.
func (d *eventDecoder) nameByContent() {
	e := &d.event
	e.Unset(event.ID)
	d.row = e.AppendJSON(d.row[:0])
	sum := e.ContentHash(d.row)
	name := [contentName + 4]byte(sum[:])
	ordinal := uint32(0)
	if d.ordinal != nil {
		ordinal = d.ordinal([contentName]byte(sum[:]))
	}
	binary.BigEndian.PutUint32(name[contentName:], ordinal)
	e.Set(event.ID, hex.EncodeToString(name[:]))
}

// tokenMember finds the value of a member token_last4, be its name written with escapes, in a record of any encoding.
var tokenMember = func() *regexp.Regexp {
	name := ""
	for _, c := range event.TokenLast4.String() {
		name += fmt.Sprintf(`(?:%c|\\u(?i:%04x))`, c, c)
	}
	return regexp.MustCompile(`"` + name + `"\s*:\s*("(?:[^"\\]|\\.)*"|[^\s,}"]+)`)
}()

// cutToken cuts a token that the source forgot to cut, as the event has it.
func cutToken(record []byte, e *event.Event) []byte {
	var out []byte
	last := 0
	for _, at := range tokenMember.FindAllSubmatchIndex(record, -1) {
		if string(record[at[2]:at[3]]) != "null" {
			out = event.AppendQuoted(append(out, record[last:at[2]]...), e.Get(event.TokenLast4))
			last = at[3]
		}
	}
	return append(out, record[last:]...)
}

// decodeInvalid decodes a record that is not valid UTF-8, or has an escape of a surrogate without its other half, which no UTF-8 stands for: its fields get
// U+FFFD for what is broken, raw gets the bytes, redacted, in base64. It returns these bytes with U+FFFD too.
func (d *eventDecoder) decodeInvalid(entry decoderEntry, record []byte) ([]byte, error) {
	e := &d.event
	e.Reset()
	if err := entry.decoder.Decode(legible(record), e); err != nil {
		return nil, err
	}
	e.Unset(event.Raw)
	d.settings.Redactor.Redact(e)
	redacted, _ := d.settings.Redactor.RedactBytes(cutToken(record, e))
	e.Set(event.Raw, `{"base64":"`+base64.StdEncoding.EncodeToString(redacted)+`"}`)
	e.Flag(event.FlagInvalidUTF8)
	return legible(redacted), nil
}

// legible returns a record with U+FFFD for all that is no character.
func legible(record []byte) []byte {
	return jsontext.ReplaceLoneSurrogates(bytes.ToValidUTF8(record, []byte("\ufffd")))
}
