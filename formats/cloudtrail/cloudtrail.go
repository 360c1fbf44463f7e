// Package cloudtrail reads the records of AWS CloudTrail.
//
// It takes delivered files ({"Records":[…]}), a bare array, one record a line, and the output of LookupEvents ({"Events":[…]}, or one event a
// line), where the record is the JSON in CloudTrailEvent and the rest, which AWS made from it, is left aside: the same event comes out the same on
// either way.
//
// # Mapping
//
// Texts stand as they came. A member that is null counts as absent; an empty text is kept. A name in brackets says where a value comes from.
//
//	id             eventID; absent where there is none
//	time           eventTime, RFC 3339; timeWindow.windowStart of aggregated events
//	type           a table (types.go), else api.read or api.write by readOnly, api.call where it isn't said;
//	               api.insight for Insights events, api.aggregate for aggregated ones
//	action         eventSource without .amazonaws.com, ":", eventName; of an Insights event those that insightDetails names; of an aggregated
//	               event, which has no name, eventSource and eventType
//	outcome        failure with an errorCode or errorMessage (DryRunOperation too), or where a sign-in's responseElements or serviceEventDetails
//	               say "Failure", or the creation of an account "FAILED"; unknown for Insights and aggregated events; else success
//	error_code     errorCode
//	error_message  errorMessage
//	actor_type     userIdentity.type: root, iam_user, role, assumed_role, federated_user, directory, aws_account, aws_service,
//	               identity_center_user, saml_user, web_identity_user, unknown, any other one as it stands; service where there is no type
//	actor_id       userIdentity.arn, but for
//	                 identity_center_user              onBehalfOf.userId
//	                 saml_user, web_identity_user,
//	                 aws_account                       principalId
//	                 aws_service                       invokedBy
//	                 service                           eventSource (an arn without a type stays an arn, without a type)
//	actor_name     userIdentity.userName
//	actor_role     userIdentity.sessionContext.sessionIssuer.arn
//	ip             sourceIPAddress: an address, a DNS name, or AWS Internal; all else is flagged ip_invalid
//	user_agent     userAgent
//	session_id     principalId of an assumed_role or federated_user, which is the id of the role or account and the name of the session; CloudTrail
//	               has no other, so it is absent for all else
//	request_id     requestID
//	credential_id  userIdentity.accessKeyId, which is an identifier and no secret; token_last4 is its end
//	token_label    the session's name, behind the colon in principalId; absent for long-term keys (AKIA…), and for saml_user and
//	               web_identity_user, who have no session yet
//	object_*       see below
//	project_id     recipientAccountId, else userIdentity.accountId, else an aggregated event's accountId
//	provider       aws
//	region         awsRegion
//	info           requestParameters; of AwsServiceEvent serviceEventDetails, of Insights events insightDetails, where they have it
//	corrects       addendum.originalEventID
//	raw            the record, always: it has members that no field holds
//
// Severity, reason, actor_email, project_name, tags and changes are not in CloudTrail and stay absent.
//
// # The object
//
// It is the one entry of resources that has an ARN (or arn, or ARNPrefix). An entry beats the bucket that it lies in. If there are none or
// several, a table per service says which request parameter names the object, and for calls that make one, which member of the response (objects.go).
// Where a parameter holds a list, it must hold one. An IAM call on a user's credentials that names no user is about its caller. Otherwise the object
// is absent: it is never guessed.
//
// object_type is the service and kind as they stand in ARNs, and in the Service Authorization Reference: s3:object, s3:bucket, iam:user, iam:role,
// kms:key, ec2:instance, ec2:security-group, rds:db, lambda:function and so on. object_id is the ARN, or the id or name that the request
// gave; bucket/key for an object in S3. object_name is there only for what has a name.
//
// # What can't be read
//
// A record without eventTime, eventSource or eventName; a time that is not RFC 3339, or without a zone; a text that is no text; an identity that is
// no object; and a record that two readers could read differently: a member of the record or of userIdentity that the mapping uses and that
// occurs twice, or in other letter case.
package cloudtrail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/frame"
	"daybook/formats/jsontext"
)

// Decoder reads CloudTrail records. It has no state.
type Decoder struct{}

var _ formats.Decoder = Decoder{}

// Records splits a file into records, in constant memory. Files that stand one after the other in a stream are read too.
func (Decoder) Records(r io.Reader, limit int) iter.Seq2[formats.Record, error] {
	return frame.JSON(r, limit, "Records", "Events")
}

// Decode maps one record to e, as the package comment says. Invalid UTF-8 is jsontext.ErrUTF8.
func (Decoder) Decode(data []byte, e *event.Event) error {
	var r record
	if err := r.read(data); err != nil {
		return err
	}
	if r.lookupEvent.Kind() != 0 {
		if r.lookupEvent.Kind() != jsontext.String {
			return errors.New("CloudTrailEvent is not a text")
		}
		data = []byte(r.lookupEvent.Str())
		r = record{}
		if err := r.read(data); err != nil {
			return fmt.Errorf("in CloudTrailEvent: %w", err)
		}
		if r.lookupEvent.Kind() != 0 {
			return errors.New("in CloudTrailEvent: another CloudTrailEvent")
		}
	}
	if r.ambiguous != nil {
		return r.ambiguous
	}
	return r.decode(data, e)
}

// Event types and categories that differ from a plain call.
const (
	typeService    = "AwsServiceEvent"
	typeSignIn     = "AwsConsoleSignIn"
	typeInsight    = "AwsCloudTrailInsight"
	typeAggregated = "AwsAggregatedEvent"
)

func (r *record) decode(data []byte, e *event.Event) error {
	if err := r.checkKinds(); err != nil {
		return err
	}
	eventType := r.eventType.Str()
	category := r.eventCategory.Str()
	insight := eventType == typeInsight || category == "Insight"
	aggregated := eventType == typeAggregated || category == "Aggregated"
	if err := r.complete(insight, aggregated); err != nil {
		return err
	}
	at, err := parseTime(r.eventTime)
	if err != nil {
		return err
	}
	var id identity
	if err := id.read(r.userIdentity); err != nil {
		return err
	}

	e.Time = at
	source := r.eventSource.Str()
	service := strings.TrimSuffix(source, ".amazonaws.com")
	name := r.eventName.Str()
	action := service + ":" + name

	e.Set(event.Action, action)
	e.Set(event.Provider, "aws")
	set(e, event.ID, r.eventID)
	set(e, event.ErrorCode, r.errorCode)
	set(e, event.ErrorMessage, r.errorMessage)
	set(e, event.UserAgent, r.userAgent)
	set(e, event.RequestID, r.requestID)
	set(e, event.Region, r.awsRegion)
	if r.sourceIP.Kind() == jsontext.String {
		ip := r.sourceIP.Str()
		e.Set(event.IP, ip)
		if !isOrigin(ip) {
			e.Flag(event.FlagIPInvalid)
		}
	}
	switch {
	case r.recipientAccountID.Str() != "":
		set(e, event.ProjectID, r.recipientAccountID)
	case id.accountID.Str() != "":
		set(e, event.ProjectID, id.accountID)
	case aggregated:
		set(e, event.ProjectID, r.accountID)
	}

	known := trimVersion(action)
	switch {
	case insight:
		e.Set(event.Type, "api.insight")
		e.Set(event.Outcome, event.Unknown)
	case aggregated:
		e.Set(event.Type, "api.aggregate")
		e.Set(event.Outcome, event.Unknown)
	default:
		e.Set(event.Type, r.class(known))
		e.Set(event.Outcome, r.outcome(service, eventType))
	}

	id.decode(source, e)
	r.object(&id, service, known[len(service)+1:], e)

	if v, err := member(r.addendum, "originalEventID"); err == nil {
		set(e, event.Corrects, v)
	}
	raw := compact(data)
	e.Set(event.Raw, raw)
	info := r.requestParameters
	if details := r.details(eventType, insight); present(details) {
		info = details
	}
	if present(info) {
		text := info.TextString()
		if len(raw) != len(data) { // else there is no white space in it either
			text = compact(info.Text())
		}
		e.Set(event.Info, text)
	}
	return nil
}

// complete takes what Insights and aggregated events have elsewhere, and reports what is missing.
func (r *record) complete(insight, aggregated bool) error {
	if insight {
		for _, m := range []struct {
			name string
			at   *jsontext.Value
		}{{"eventSource", &r.eventSource}, {"eventName", &r.eventName}} {
			if v, err := member(r.insightDetails, m.name); err == nil && !present(*m.at) && v.Kind() == jsontext.String {
				*m.at = v
			}
		}
	}
	if aggregated {
		if !present(r.eventName) {
			r.eventName = r.eventType
		}
		if v, err := member(r.timeWindow, "windowStart"); err == nil && !present(r.eventTime) && v.Kind() == jsontext.String {
			r.eventTime = v
		}
	}
	var missing []string
	for _, m := range []struct {
		name string
		v    jsontext.Value
	}{{"eventTime", r.eventTime}, {"eventSource", r.eventSource}, {"eventName", r.eventName}} {
		if m.v.Kind() != jsontext.String || len(m.v.Text()) == len(`""`) {
			missing = append(missing, m.name)
		}
	}
	if missing != nil {
		return fmt.Errorf("not a CloudTrail record: no %s", strings.Join(missing, ", no "))
	}
	return nil
}

func (r *record) outcome(service, eventType string) string {
	if r.errorCode.Str() != "" || r.errorMessage.Str() != "" {
		return event.Failure
	}
	if (service == "signin" || eventType == typeSignIn) && (saysFailure(r.responseElements) || saysFailure(r.serviceEventDetails)) {
		return event.Failure
	}
	if eventType == typeService {
		status, err := member(r.serviceEventDetails, "createAccountStatus")
		if err == nil {
			status, err = member(status, "state")
		}
		if err == nil && status.Str() == "FAILED" {
			return event.Failure
		}
	}
	return event.Success
}

func saysFailure(v jsontext.Value) bool {
	m := v.Members()
	for m.Next() {
		if m.Value.Str() == "Failure" {
			return true
		}
	}
	return false
}

func (r *record) details(eventType string, insight bool) jsontext.Value {
	switch {
	case insight:
		return r.insightDetails
	case eventType == typeService:
		return r.serviceEventDetails
	}
	return jsontext.Value{}
}

// parseTime reads a time of the years 0000 to 9999 in UTC.
func parseTime(v jsontext.Value) (time.Time, error) {
	var t time.Time
	text := v.Text()
	inner := text[1 : len(text)-1]
	// The standard library takes an hour of one digit and a comma before the fraction (golang.org/issue/54580).
	if err := t.UnmarshalText(inner); err != nil || inner[len("2006-01-02T15")] != ':' || bytes.IndexByte(inner, ',') >= 0 {
		return t, fmt.Errorf("eventTime %.64s is not an RFC 3339 time", text)
	}
	t = t.UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return t, fmt.Errorf("eventTime %.64s is not of the years 0000 to 9999", text)
	}
	return t, nil
}

// set sets f to v's text, if v is one.
func set(e *event.Event, f event.Field, v jsontext.Value) {
	if v.Kind() == jsontext.String {
		e.Set(f, v.Str())
	}
}

func present(v jsontext.Value) bool { return v.Kind() != 0 && v.Kind() != jsontext.Null }
