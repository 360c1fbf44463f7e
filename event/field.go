package event

// Field names a text field of an Event. The order is that of the evidence row, and frozen: additions go to the end of their group only
// with a new schema version.
type Field uint8

// The text fields. What each means is said in docs/COLUMNS.md.
const (
	ID Field = iota
	Source
	Org
	Type
	Action
	Outcome
	ErrorCode
	ErrorMessage
	Reason
	Severity
	ActorType
	ActorID
	ActorName
	ActorEmail
	ActorRole
	IP
	UserAgent
	SessionID
	RequestID
	CredentialID
	TokenLabel
	TokenLast4
	ObjectType
	ObjectID
	ObjectName
	ProjectID
	ProjectName
	Provider
	Region
	// Info is JSON: the input of the API call, nothing else.
	Info
	// Changes is JSON: before and after.
	Changes
	Corrects
	// Raw is JSON: the redacted source record, whenever the other fields do not hold all of it.
	Raw

	numFields
)

var fieldNames = [numFields]string{
	"id", "source", "org", "type", "action", "outcome", "error_code", "error_message", "reason", "severity",
	"actor_type", "actor_id", "actor_name", "actor_email", "actor_role", "ip", "user_agent", "session_id", "request_id",
	"credential_id", "token_label", "token_last4", "object_type", "object_id", "object_name", "project_id", "project_name",
	"provider", "region", "info", "changes", "corrects", "raw",
}

// String returns the name of f in the evidence row.
func (f Field) String() string { return fieldNames[f] }

// JSON reports whether f holds JSON text rather than plain text.
func (f Field) JSON() bool { return f == Info || f == Changes || f == Raw }

// Fields returns every text field in the order of the evidence row.
func Fields() []Field {
	all := make([]Field, numFields)
	for i := range all {
		all[i] = Field(i)
	}
	return all
}

// FieldNamed returns the field of that name.
func FieldNamed(name string) (Field, bool) {
	f, ok := fieldsByName[name]
	return f, ok
}

var fieldsByName = func() map[string]Field {
	m := make(map[string]Field, numFields)
	for f, name := range fieldNames {
		m[name] = Field(f)
	}
	return m
}()
