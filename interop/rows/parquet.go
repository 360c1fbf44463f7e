package rows

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// Column is a column of our Parquet files.
type Column struct {
	Name string
	// Type is the logical type: time, date, bool, int, list or text.
	Type     string
	Required bool
	// Field is the field of the evidence row that it holds.
	Field string
}

// ParquetColumns are the columns of our Parquet files, in their order: design.md §8.
var ParquetColumns = []Column{
	{"event_time", "time", true, "time"}, {"event_date", "date", true, ""}, {"event_id", "text", true, "id"}, {"org", "text", true, "org"},
	{"source", "text", true, "source"}, {"ip_address", "text", false, "ip"}, {"user_agent", "text", false, "user_agent"},
	{"actor_id", "text", false, "actor_id"}, {"action", "text", true, "action"}, {"object_id", "text", false, "object_id"},
	{"object_name", "text", false, "object_name"}, {"project_id", "text", false, "project_id"}, {"project_name", "text", false, "project_name"},
	{"success", "bool", false, "outcome"}, {"info", "text", false, "info"}, {"token_label", "text", false, "token_label"},
	{"token_last4", "text", false, "token_last4"}, {"event_type", "text", false, "type"}, {"severity", "text", false, "severity"},
	{"error_code", "text", false, "error_code"}, {"error_message", "text", false, "error_message"}, {"reason", "text", false, "reason"},
	{"actor_type", "text", false, "actor_type"}, {"actor_name", "text", false, "actor_name"}, {"actor_email", "text", false, "actor_email"},
	{"actor_role", "text", false, "actor_role"}, {"session_id", "text", false, "session_id"}, {"request_id", "text", false, "request_id"},
	{"credential_id", "text", false, "credential_id"}, {"object_type", "text", false, "object_type"}, {"provider", "text", false, "provider"},
	{"region", "text", false, "region"}, {"tags", "list", false, "tags"}, {"changes", "text", false, "changes"}, {"corrects", "text", false, "corrects"},
	{"source_seq", "int", false, "source_seq"}, {"received_time", "time", false, "received"}, {"flags", "list", false, "flags"}, {"raw", "text", false, "raw"},
}

// InParquet is what Parquet holds of an evidence row of that day.
func InParquet(r Row, day string) Row {
	c := Row{}
	for _, col := range ParquetColumns {
		value, there := r[col.Field]
		switch {
		case col.Name == "event_date":
			c[col.Name] = day
		case col.Name == "success":
			switch value {
			case "success":
				c[col.Name] = "true"
			case "failure":
				c[col.Name] = "false"
			}
		case col.Type == "time" && there:
			t := Row{"time": value}
			c[col.Name] = t.cutTime(time.Microsecond)
		case col.Type == "list" && value == "[]":
			// An empty list is none.
		case there || col.Required:
			c[col.Name] = value
		}
	}
	return c
}

// ArrowParquet reads a Parquet file with arrow-go. The rows' names are those of the columns.
func ArrowParquet(path string) ([]Row, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	table, err := pqarrow.ReadTable(context.Background(), f, parquet.NewReaderProperties(nil), pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	defer table.Release()
	if err := sameSchema(table.Schema()); err != nil {
		return nil, err
	}
	all := make([]Row, table.NumRows())
	for i := range all {
		all[i] = Row{}
	}
	for i := range int(table.NumCols()) {
		name := table.Schema().Field(i).Name
		n := 0
		for _, chunk := range table.Column(i).Data().Chunks() {
			for j := range chunk.Len() {
				if chunk.IsValid(j) {
					text, err := arrowText(chunk, j)
					if err != nil {
						return nil, fmt.Errorf("%s: %w", name, err)
					}
					all[n][name] = text
				}
				n++
			}
		}
	}
	return all, nil
}

func sameSchema(s *arrow.Schema) error {
	if s.NumFields() != len(ParquetColumns) {
		return fmt.Errorf("%d columns, want %d", s.NumFields(), len(ParquetColumns))
	}
	types := map[string]arrow.DataType{
		"time": &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, "date": arrow.FixedWidthTypes.Date32, "bool": arrow.FixedWidthTypes.Boolean,
		"int": arrow.PrimitiveTypes.Int64, "text": arrow.BinaryTypes.String,
	}
	for i, col := range ParquetColumns {
		f := s.Field(i)
		same := false
		if list, ok := f.Type.(*arrow.ListType); ok {
			same = col.Type == "list" && arrow.TypeEqual(list.Elem(), arrow.BinaryTypes.String) && !list.ElemField().Nullable
		} else {
			same = col.Type != "list" && arrow.TypeEqual(f.Type, types[col.Type])
		}
		if f.Name != col.Name || !same || f.Nullable == col.Required {
			return fmt.Errorf("column %d is %s, want %+v", i, f, col)
		}
	}
	return nil
}

func arrowText(a arrow.Array, i int) (string, error) {
	switch a := a.(type) {
	case *array.String:
		return a.Value(i), nil
	case *array.Timestamp:
		return timeText(time.UnixMicro(int64(a.Value(i)))), nil
	case *array.Date32:
		return a.Value(i).ToTime().Format(time.DateOnly), nil
	case *array.Boolean:
		return strconv.FormatBool(a.Value(i)), nil
	case *array.Int64:
		return strconv.FormatInt(a.Value(i), 10), nil
	case *array.List:
		from, to := a.ValueOffsets(i)
		list := []string{}
		for j := from; j < to; j++ {
			list = append(list, a.ListValues().(*array.String).Value(int(j)))
		}
		return listText(list), nil
	}
	return "", fmt.Errorf("unexpected type %s", a.DataType())
}
