package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong, or, among warnings, that deserves a look.
type Fault struct {
	// File, Line and Column say where it stands, the latter two counted from 1. They are empty where the value is not from a file.
	File         string
	Line, Column int
	// Path is the key, from the top: store.retention_policies[0].hot_days. Empty where the file as a whole is at fault.
	Path string
	// Message says what is wrong, Hint a way out.
	Message, Hint string
}

// String is file:line:column: path: message, without the hint.
func (f Fault) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
		}
		b.WriteString(": ")
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// Faults is the error of a configuration: all that is wrong with it, in the order of the file.
type Faults struct {
	Faults []Fault
}

// newFaults sorts the faults by where they stand.
func newFaults(faults []Fault) *Faults {
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Faults{Faults: faults}
}

// Error lists the faults, a line each, and below each its hint.
func (f *Faults) Error() string {
	var b strings.Builder
	if len(f.Faults) > 1 {
		fmt.Fprintf(&b, "the configuration has %d faults:\n", len(f.Faults))
	}
	for i, fault := range f.Faults {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(fault.String())
		if fault.Hint != "" {
			b.WriteString("\n    " + fault.Hint)
		}
	}
	return b.String()
}
