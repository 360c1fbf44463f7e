package parquet

import (
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"daybook/event"
)

// kind is how a column's values are had from an event, and how they are stored.
type kind uint8

const (
	text     kind = iota // a text field, as BYTE_ARRAY
	time                 // the event's time, INT64 microseconds
	date                 // the day filed under, INT32 days
	received             // when the event was taken, INT64 microseconds
	success              // the outcome, as BOOLEAN
	sequence             // the producer's sequence number, INT64
	list                 // tags or flags, as a three-level LIST
)

// spec describes a column. What is not a guarantee to readers (dict, bloom, bounds) may change between versions.
type spec struct {
	name     string
	kind     kind
	field    event.Field // for text
	required bool
	// dict tries a dictionary first. Columns whose values hardly repeat have none: it would only cost.
	dict bool
	// bloom keeps a bloom filter, for the columns that people search by a single value.
	bloom bool
	// bounds keeps the least and greatest value of each page and chunk. JSON and free text have none: nobody compares them.
	bounds bool
	// list returns the texts of a list column.
	list func(*event.Event) []string
}

// columns is design.md §8, in its order. The order, names, types and repetition are frozen: readers such as BigQuery take another position
// for another schema. Additions go to the end, and raise SchemaVersion.
var columns = [...]spec{
	{name: "event_time", kind: time, required: true, bounds: true},
	{name: "event_date", kind: date, required: true, bounds: true},
	{name: "event_id", field: event.ID, required: true, bloom: true, bounds: true},
	{name: "org", field: event.Org, required: true, dict: true, bounds: true},
	{name: "source", field: event.Source, required: true, dict: true, bounds: true},
	{name: "ip_address", field: event.IP, dict: true, bloom: true, bounds: true},
	{name: "user_agent", field: event.UserAgent, dict: true, bounds: true},
	{name: "actor_id", field: event.ActorID, dict: true, bloom: true, bounds: true},
	{name: "action", field: event.Action, required: true, dict: true, bounds: true},
	{name: "object_id", field: event.ObjectID, dict: true, bloom: true, bounds: true},
	{name: "object_name", field: event.ObjectName, dict: true, bounds: true},
	{name: "project_id", field: event.ProjectID, dict: true, bounds: true},
	{name: "project_name", field: event.ProjectName, dict: true, bounds: true},
	{name: "success", kind: success, bounds: true},
	{name: "info", field: event.Info},
	{name: "token_label", field: event.TokenLabel, dict: true, bounds: true},
	{name: "token_last4", field: event.TokenLast4, dict: true, bounds: true},
	{name: "event_type", field: event.Type, dict: true, bounds: true},
	{name: "severity", field: event.Severity, dict: true, bounds: true},
	{name: "error_code", field: event.ErrorCode, dict: true, bounds: true},
	{name: "error_message", field: event.ErrorMessage},
	{name: "reason", field: event.Reason, dict: true},
	{name: "actor_type", field: event.ActorType, dict: true, bounds: true},
	{name: "actor_name", field: event.ActorName, dict: true, bounds: true},
	{name: "actor_email", field: event.ActorEmail, dict: true, bounds: true},
	{name: "actor_role", field: event.ActorRole, dict: true, bounds: true},
	{name: "session_id", field: event.SessionID, dict: true, bounds: true},
	{name: "request_id", field: event.RequestID, bounds: true},
	{name: "credential_id", field: event.CredentialID, dict: true, bloom: true, bounds: true},
	{name: "object_type", field: event.ObjectType, dict: true, bounds: true},
	{name: "provider", field: event.Provider, dict: true, bounds: true},
	{name: "region", field: event.Region, dict: true, bounds: true},
	{name: "tags", kind: list, dict: true, list: func(e *event.Event) []string { return e.Tags }},
	{name: "changes", field: event.Changes},
	{name: "corrects", field: event.Corrects, bounds: true},
	{name: "source_seq", kind: sequence, bounds: true},
	{name: "received_time", kind: received, bounds: true},
	{name: "flags", kind: list, dict: true, list: func(e *event.Event) []string { return e.Flags }},
	{name: "raw", field: event.Raw},
}

// Positions of the sorting columns among the leaves.
const (
	leafTime = 0
	leafID   = 2
)

// physical returns the Parquet type of the column's values.
func (s *spec) physical() format.Type {
	switch s.kind {
	case time, received, sequence:
		return format.Int64
	case date:
		return format.Int32
	case success:
		return format.Boolean
	}
	return format.ByteArray
}

// path returns where the column's leaf stands in the schema.
func (s *spec) path() []string {
	if s.kind == list {
		return []string{s.name, "list", "element"}
	}
	return []string{s.name}
}

// schemaElements returns the schema as the footer has it: depth first, the root before all.
func schemaElements() []format.SchemaElement {
	root := format.SchemaElement{Name: "event"}
	root.NumChildren.Set(int32(len(columns)))
	elements := []format.SchemaElement{root}
	for i := range columns {
		elements = columns[i].appendElements(elements)
	}
	return elements
}

func (s *spec) appendElements(elements []format.SchemaElement) []format.SchemaElement {
	leaf := format.SchemaElement{Name: s.name}
	leaf.Type.Set(s.physical())
	leaf.RepetitionType.Set(format.Optional)
	if s.required {
		leaf.RepetitionType.Set(format.Required)
	}
	switch s.kind {
	case time, received:
		leaf.ConvertedType.Set(deprecated.TimestampMicros)
		leaf.LogicalType.Value = &format.TimestampType{IsAdjustedToUTC: true, Unit: format.TimeUnit{Value: new(format.MicroSeconds)}}
	case date:
		leaf.ConvertedType.Set(deprecated.Date)
		leaf.LogicalType.Value = new(format.DateType)
	case text, list:
		leaf.ConvertedType.Set(deprecated.UTF8)
		leaf.LogicalType.Value = new(format.StringType)
	}
	if s.kind != list {
		return append(elements, leaf)
	}
	outer := format.SchemaElement{Name: s.name}
	outer.RepetitionType.Set(format.Optional)
	outer.NumChildren.Set(1)
	outer.ConvertedType.Set(deprecated.List)
	outer.LogicalType.Value = new(format.ListType)
	middle := format.SchemaElement{Name: "list"}
	middle.RepetitionType.Set(format.Repeated)
	middle.NumChildren.Set(1)
	leaf.Name = "element"
	leaf.RepetitionType.Set(format.Required)
	return append(elements, outer, middle, leaf)
}

// columnOrders says of every leaf that its bounds follow the order of its type. Readers pass over bounds without it.
func columnOrders() thrift.Slice[format.ColumnOrder] {
	orders := make(thrift.Slice[format.ColumnOrder], len(columns))
	for i := range orders {
		orders[i].Value = new(format.TypeDefinedOrder)
	}
	return orders
}

// Type is the type of a column, as readers see it.
type Type string

// The types of columns.
const (
	String    Type = "STRING"
	Boolean   Type = "BOOLEAN"
	Int64     Type = "INT64"
	Date      Type = "DATE"
	Timestamp Type = "TIMESTAMP(MICROS, UTC)"
	Strings   Type = "LIST of STRING"
)

// Column is a column, as readers see it.
type Column struct {
	Name string
	Type Type
	// Required says that it is null in no row.
	Required bool
}

// Columns returns the columns of every file, in their order.
func Columns() []Column {
	types := map[kind]Type{text: String, time: Timestamp, received: Timestamp, date: Date, success: Boolean, sequence: Int64, list: Strings}
	all := make([]Column, len(columns))
	for i := range columns {
		all[i] = Column{columns[i].name, types[columns[i].kind], columns[i].required}
	}
	return all
}
