package csv

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"

	"github.com/gocarina/gocsv"
)

// Row is one row of the file. The tags are the header, in the order of the columns: frozen.
type Row struct {
	// Timestamp is when it happened: ISO 8601, UTC, milliseconds, the rest cut off.
	Timestamp string `csv:"Timestamp"`
	IP        string `csv:"IP Address"`
	UserAgent string `csv:"User Agent"`
	ActorID   string `csv:"Acting User ID"`
	Action    string `csv:"Action"`
	ObjectID  string `csv:"Object ID"`
	// ObjectName and ProjectName are the names at the time of the event.
	ObjectName  string `csv:"Object Name"`
	ProjectID   string `csv:"Project ID"`
	ProjectName string `csv:"Project Name"`
	// Success is Yes for a success, No for a failure and for what nobody knows.
	Success string `csv:"Success Status"`
	// Info is JSON: the input of the API call.
	Info       string `csv:"Info"`
	TokenLabel string `csv:"Label"`
	TokenLast4 string `csv:"Auth Token"`
}

// Header returns the names of the columns, as gocsv takes them from Row.
func Header() []string {
	names, err := csv.NewReader(bytes.NewReader(header())).Read()
	if err != nil {
		panic("csv: header of Row: " + err.Error())
	}
	return names
}

// header is the header's line, as gocsv writes it. The writer is made here because gocsv's own default can be changed by anyone.
func header() []byte {
	var b bytes.Buffer
	if err := gocsv.MarshalCSV([]Row{}, csv.NewWriter(&b)); err != nil {
		panic("csv: header of Row: " + err.Error())
	}
	return b.Bytes()
}

// texts are the cells that come from outside, and so are escaped.
func (r *Row) texts() [11]*string {
	return [...]*string{
		&r.IP, &r.UserAgent, &r.ActorID, &r.Action, &r.ObjectID, &r.ObjectName, &r.ProjectID, &r.ProjectName, &r.Info, &r.TokenLabel, &r.TokenLast4,
	}
}

// sameColumns reports whether names is the header, by gocsv's account of it.
func sameColumns(names []string) bool { return slices.Equal(names, Header()) }

// unquote takes away the quote that a spreadsheet-safe encoder put in front.
func unquote(cell string) string {
	rest, ok := strings.CutPrefix(cell, "'")
	if !ok {
		return cell
	}
	for _, start := range [...]string{"=", "+", "-", "@", "'", `\t`, `\r`} {
		if strings.HasPrefix(rest, start) {
			return rest
		}
	}
	return cell
}
