package cloudtrail

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
	"unsafe"

	"daybook/formats/jsontext"
)

// record has the members of a record that the mapping uses.
type record struct {
	eventTime, eventSource, eventName, eventID, eventType, eventCategory jsontext.Value
	awsRegion, sourceIP, userAgent, requestID, recipientAccountID        jsontext.Value
	errorCode, errorMessage, readOnly                                    jsontext.Value
	requestParameters, responseElements, resources, userIdentity         jsontext.Value
	serviceEventDetails, insightDetails, addendum                        jsontext.Value

	// Of aggregated events. They alone write eventId.
	accountID, timeWindow, eventIDOfAggregate jsontext.Value

	// lookupEvent is set in what LookupEvents returns.
	lookupEvent jsontext.Value

	// ambiguous says why two readers could read the record differently. The envelope of LookupEvents looks like that, so it isn't an error yet.
	ambiguous error
}

// read finds the members. It checks that all of data is JSON.
func (r *record) read(data []byte) error {
	plain := false
	m := jsontext.MembersOf(data)
	for m.Next() {
		at := r.at(m.Name)
		if at == nil {
			if lower := foldsTo(m.Name, recordNames); lower != "" && r.ambiguous == nil {
				r.ambiguous = fmt.Errorf("member %q can be taken for %q", m.Name, lower)
			}
			continue
		}
		if at.Kind() != 0 {
			return fmt.Errorf("member %q occurs twice", m.Name)
		}
		*at = m.Value
		plain = plain || at != &r.lookupEvent
	}
	if err := m.Err(); err != nil {
		return err
	}
	if r.lookupEvent.Kind() != 0 && plain {
		return fmt.Errorf("a record and CloudTrailEvent in one")
	}
	if r.eventIDOfAggregate.Kind() != 0 {
		switch {
		case r.eventCategory.Str() != "Aggregated" || r.eventID.Kind() != 0:
			r.ambiguous = fmt.Errorf("member %q can be taken for %q", "eventId", "eventID")
		default:
			r.eventID = r.eventIDOfAggregate
		}
	}
	return nil
}

func (r *record) at(name string) *jsontext.Value {
	switch name {
	case "eventTime":
		return &r.eventTime
	case "eventSource":
		return &r.eventSource
	case "eventName":
		return &r.eventName
	case "eventID":
		return &r.eventID
	case "eventId":
		return &r.eventIDOfAggregate
	case "eventType":
		return &r.eventType
	case "eventCategory":
		return &r.eventCategory
	case "awsRegion":
		return &r.awsRegion
	case "sourceIPAddress":
		return &r.sourceIP
	case "userAgent":
		return &r.userAgent
	case "requestID":
		return &r.requestID
	case "recipientAccountId":
		return &r.recipientAccountID
	case "errorCode":
		return &r.errorCode
	case "errorMessage":
		return &r.errorMessage
	case "readOnly":
		return &r.readOnly
	case "requestParameters":
		return &r.requestParameters
	case "responseElements":
		return &r.responseElements
	case "resources":
		return &r.resources
	case "userIdentity":
		return &r.userIdentity
	case "serviceEventDetails":
		return &r.serviceEventDetails
	case "insightDetails":
		return &r.insightDetails
	case "addendum":
		return &r.addendum
	case "accountId":
		return &r.accountID
	case "timeWindow":
		return &r.timeWindow
	case "CloudTrailEvent":
		return &r.lookupEvent
	}
	return nil
}

// recordNames are the names that at knows, for those that differ from them in letter case.
func recordNames(lower string) string {
	switch lower {
	case "eventtime":
		return "eventTime"
	case "eventsource":
		return "eventSource"
	case "eventname":
		return "eventName"
	case "eventid":
		return "eventID"
	case "eventtype":
		return "eventType"
	case "eventcategory":
		return "eventCategory"
	case "awsregion":
		return "awsRegion"
	case "sourceipaddress":
		return "sourceIPAddress"
	case "useragent":
		return "userAgent"
	case "requestid":
		return "requestID"
	case "recipientaccountid":
		return "recipientAccountId"
	case "errorcode":
		return "errorCode"
	case "errormessage":
		return "errorMessage"
	case "readonly":
		return "readOnly"
	case "requestparameters":
		return "requestParameters"
	case "responseelements":
		return "responseElements"
	case "resources":
		return "resources"
	case "useridentity":
		return "userIdentity"
	case "serviceeventdetails":
		return "serviceEventDetails"
	case "insightdetails":
		return "insightDetails"
	case "addendum":
		return "addendum"
	case "accountid":
		return "accountId"
	case "timewindow":
		return "timeWindow"
	case "cloudtrailevent":
		return "CloudTrailEvent"
	}
	return ""
}

// foldsTo returns the name in names that name differs from in letter case only, "" if there is none.
func foldsTo(name string, names func(lower string) string) string {
	var lower [24]byte
	if len(name) > len(lower) {
		return ""
	}
	for i := range len(name) {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return names(unsafe.String(&lower[0], len(name)))
}

// checkKinds reports a text that is none.
func (r *record) checkKinds() error {
	for _, m := range [...]struct {
		name string
		v    *jsontext.Value
	}{
		{"eventTime", &r.eventTime}, {"eventSource", &r.eventSource}, {"eventName", &r.eventName}, {"eventID", &r.eventID},
		{"eventType", &r.eventType}, {"eventCategory", &r.eventCategory}, {"awsRegion", &r.awsRegion}, {"sourceIPAddress", &r.sourceIP},
		{"userAgent", &r.userAgent}, {"requestID", &r.requestID}, {"recipientAccountId", &r.recipientAccountID}, {"errorCode", &r.errorCode},
		{"errorMessage", &r.errorMessage},
	} {
		if present(*m.v) && m.v.Kind() != jsontext.String {
			return fmt.Errorf("%s is not a text", m.name)
		}
	}
	return nil
}

// isReadOnly returns what readOnly says, if it says anything. Some tools write it as a text.
func (r *record) isReadOnly() (readOnly, said bool) {
	switch {
	case r.readOnly.Kind() == jsontext.True || strings.EqualFold(r.readOnly.Str(), "true"):
		return true, true
	case r.readOnly.Kind() == jsontext.False || strings.EqualFold(r.readOnly.Str(), "false"):
		return false, true
	}
	return false, false
}

// member returns the member of an object; the zero Value if v has none or is no object. It is an error if it occurs twice.
func member(v jsontext.Value, name string) (jsontext.Value, error) {
	var found jsontext.Value
	m := v.Members()
	for m.Next() {
		if m.Name == name {
			if found.Kind() != 0 {
				return jsontext.Value{}, fmt.Errorf("member %q occurs twice", name)
			}
			found = m.Value
		}
	}
	return found, m.Err()
}

// compact returns valid JSON text without white space between its tokens: text itself, where there is none.
func compact(text []byte) string {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = endOfString(text, i+1)
		case ' ', '\n', '\t', '\r':
			text = jsontext.AppendCompact(make([]byte, 0, len(text)), text)
			return unsafe.String(unsafe.SliceData(text), len(text))
		}
	}
	return unsafe.String(unsafe.SliceData(text), len(text))
}

// endOfString returns where the quote is that closes the string whose content begins at text[i]. It looks at eight bytes at a time for one that
// is a quote or a backslash: x-ones&^x&highs marks the bytes of x that are zero, or follow one.
func endOfString(text []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for {
		for i+8 <= len(text) {
			w := binary.LittleEndian.Uint64(text[i:])
			q, b := w^(ones*'"'), w^(ones*'\\')
			mark := ((q-ones)&^q | (b-ones)&^b) & highs
			if mark != 0 {
				i += bits.TrailingZeros64(mark) / 8
				break
			}
			i += 8
		}
		for text[i] != '"' && text[i] != '\\' {
			i++
		}
		if text[i] == '"' {
			return i
		}
		i += 2
	}
}

// isOrigin reports whether s is something that CloudTrail gives as the origin of a call: an address, a DNS name, AWS Internal, or nothing.
func isOrigin(s string) bool {
	if s == "" || strings.HasPrefix(s, "AWS Internal") {
		return true
	}
	dot, letter, name := false, false, true
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			letter = true
		case c == '.':
			dot = true
		case c >= '0' && c <= '9' || c == '-' || c == '_':
		default:
			name = false
		}
	}
	if dot && letter && name {
		return true
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}
