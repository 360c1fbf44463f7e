package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
)

// schema is the part of JSON Schema (draft 2020-12) that the configuration needs.
type schema struct {
	Schema               string     `json:"$schema,omitempty"`
	Title                string     `json:"title,omitempty"`
	Ref                  string     `json:"$ref,omitempty"`
	Description          string     `json:"description,omitempty"`
	Type                 any        `json:"type,omitempty"` // a string, or a list of them
	Enum                 []string   `json:"enum,omitempty"`
	Pattern              string     `json:"pattern,omitempty"`
	Format               string     `json:"format,omitempty"`
	MinLength            int        `json:"minLength,omitempty"`
	Minimum              *int64     `json:"minimum,omitempty"`
	Maximum              *int64     `json:"maximum,omitempty"`
	Items                *schema    `json:"items,omitempty"`
	MinItems             int        `json:"minItems,omitempty"`
	UniqueItems          bool       `json:"uniqueItems,omitempty"`
	Properties           properties `json:"properties,omitempty"`
	Required             []string   `json:"required,omitempty"`
	AdditionalProperties *bool      `json:"additionalProperties,omitempty"`
	Default              any        `json:"default,omitempty"`
	Defs                 properties `json:"$defs,omitempty"`
}

// properties are written in the order of the struct, which is the one that a reader knows from the sample.
type properties []property

type property struct {
	name   string
	schema *schema
}

func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, prop := range p {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(prop.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(prop.schema)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Schema returns the JSON Schema (draft 2020-12) of the file, for editors. It knows each key, its type and its range; what several keys say together,
// Validate alone knows.
func Schema() ([]byte, error) {
	root, err := sectionSchema(reflect.TypeFor[Config]())
	if err != nil {
		return nil, err
	}
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "Daybook configuration"
	root.Defs = properties{
		{"duration", &schema{Type: "string", Description: "A length of time: 90s, 1h30m, 30d, 7y.", Pattern: `^([0-9]+[dy])*(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*$`, MinLength: 2}},
		{"size", &schema{Type: []string{"integer", "string"}, Description: "Bytes, or KiB, MiB, GiB.", Pattern: `^([0-9]+|[0-9]+(\.[0-9]+)? ?(KiB|MiB|GiB))$`}},
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

func sectionSchema(t reflect.Type) (*schema, error) {
	closed := false
	s := &schema{Type: "object", AdditionalProperties: &closed}
	for _, f := range fieldsOf(t) {
		prop, err := fieldSchema(f)
		if err != nil {
			return nil, err
		}
		s.Properties = append(s.Properties, property{f.key, prop})
		if f.tag.Get("required") != "" {
			s.Required = append(s.Required, f.key)
		}
	}
	return s, nil
}

func fieldSchema(f field) (*schema, error) {
	var s *schema
	var err error
	switch {
	case isSection(f.typ):
		if s, err = sectionSchema(f.typ); err != nil {
			return nil, err
		}
		// A section whose keys are all commented out is nothing, and means its defaults.
		s.Type = []string{"object", "null"}
	case f.typ.Kind() == reflect.Slice && isSection(f.typ.Elem()):
		items, err := sectionSchema(f.typ.Elem())
		if err != nil {
			return nil, err
		}
		s = &schema{Type: "array", Items: items}
		if f.tag.Get("default") != "[]" {
			s.MinItems = 1
		}
	case f.typ.Kind() == reflect.Slice:
		s = &schema{Type: "array", UniqueItems: true, Items: textSchema(f)}
		if f.tag.Get("required") != "" {
			s.MinItems = 1
		}
	default:
		s = scalarSchema(f)
	}
	s.Description = f.tag.Get("doc")
	if text, ok := f.tag.Lookup("default"); ok {
		if err := yaml.Unmarshal([]byte(text), &s.Default); err != nil {
			return nil, fmt.Errorf("default of %s: %w", f.key, err)
		}
	}
	return s, nil
}

func scalarSchema(f field) *schema {
	switch f.typ {
	case reflect.TypeFor[Duration]():
		return &schema{Ref: "#/$defs/duration"}
	case reflect.TypeFor[Size]():
		return &schema{Ref: "#/$defs/size"}
	case reflect.TypeFor[Date]():
		return &schema{Type: "string", Format: "date"}
	case reflect.TypeFor[Time]():
		return &schema{Type: "string", Pattern: `^([0-9]{4}-[0-9]{2}-[0-9]{2}([Tt].+)?)?$`}
	}
	switch f.typ.Kind() {
	case reflect.String:
		return textSchema(f)
	case reflect.Bool:
		return &schema{Type: "boolean"}
	default:
		s := &schema{Type: "integer"}
		if f.tag.Get("min") != "" {
			n := limitOf(f, f.tag.Get("min"))
			s.Minimum = &n
		}
		if f.tag.Get("max") != "" {
			n := limitOf(f, f.tag.Get("max"))
			s.Maximum = &n
		}
		return s
	}
}

// textSchema is a text, which may be written without quotes where it is a number: project ids are.
func textSchema(f field) *schema {
	if values := f.enum(); values != nil {
		return &schema{Type: "string", Enum: values}
	}
	s := &schema{Type: "string"}
	if f.tag.Get("form") == "name" {
		s.Type = []string{"string", "number"}
	}
	if f.tag.Get("required") != "" || f.tag.Get("default") != "" {
		s.MinLength = 1
	}
	return s
}

// Reference returns docs/CONFIG.md.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(`# The configuration file

<!-- Made from the structs of package config. To bring it up to date: go test ./config -run Reference -update -->

A YAML file, named by ` + "`--config`" + `. Every key has a default but those that say "must be written". ` + "`daybook init`" + ` writes a commented
sample, ` + "`daybook config check`" + ` reports every fault of a file at once, ` + "`daybook config schema`" + ` prints a JSON Schema for editors.

- Unknown keys are refused, and so are anchors, aliases, merge keys and tags: what stands in the file is what is meant.
- **Lengths of time** are written as ` + "`90s`, `1h30m`, `30d`, `7y`" + ` (a day has 24 hours, a year 365 days), **sizes** in bytes or in ` + "`KiB`, `MiB`, `GiB`" + `, **days** as
  ` + "`2026-03-10`" + `. Days and times are UTC.
- **Secrets** are never in the file: a key that ends in ` + "`_env`" + ` names the environment variable that holds one, a key that ends in ` + "`_file`" + ` the file.
- A flag of the command line goes before the file.
`)
	referenceSection(&b, "", "The top", "", reflect.TypeFor[Config]())
	return []byte(b.String())
}

func referenceSection(b *strings.Builder, path, title, doc string, t reflect.Type) {
	fmt.Fprintf(b, "\n## %s\n\n", title)
	if doc != "" {
		b.WriteString(prose(doc) + "\n\n")
	}
	b.WriteString("| Key | Type | Default | Flag | What it says |\n|---|---|---|---|---|\n")
	type sub struct {
		path, doc string
		typ       reflect.Type
	}
	var subs []sub
	for _, f := range fieldsOf(t) {
		at := join(path, f.key)
		value, flag := "", ""
		switch text := f.tag.Get("default"); {
		case f.tag.Get("required") != "":
			value = "must be written"
		case text != "":
			value = "`" + text + "`"
		}
		if name := f.tag.Get("flag"); name != "" {
			flag = "`--" + name + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", f.key, cell(typeName(f)), cell(value), flag, cell(prose(f.tag.Get("doc"))))
		switch {
		case isSection(f.typ):
			subs = append(subs, sub{at, f.tag.Get("doc"), f.typ})
		case f.typ.Kind() == reflect.Slice && isSection(f.typ.Elem()):
			subs = append(subs, sub{at + "[]", f.tag.Get("doc"), f.typ.Elem()})
		}
	}
	for _, s := range subs {
		referenceSection(b, s.path, "`"+s.path+"`", s.doc, s.typ)
	}
}

// prose escapes what Markdown takes for emphasis.
func prose(text string) string { return strings.ReplaceAll(text, "*", `\*`) }

// cell escapes what ends a cell of a Markdown table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// typeName says what a value of the field looks like.
func typeName(f field) string {
	if f.typ.Kind() == reflect.Slice {
		switch {
		case isSection(f.typ.Elem()):
			return "list of sections"
		case f.enum() != nil:
			return "list of " + strings.Join(f.enum(), ", ")
		case f.tag.Get("form") == "regexp":
			return "list of regular expressions"
		case f.tag.Get("form") == "glob":
			return "list of patterns"
		}
		return "list of texts"
	}
	if isSection(f.typ) {
		return "section"
	}
	if values := f.enum(); values != nil {
		return strings.Join(values, ", ")
	}
	switch f.typ {
	case reflect.TypeFor[Duration]():
		return "length of time" + rangeText(f)
	case reflect.TypeFor[Size]():
		return "size" + rangeText(f)
	case reflect.TypeFor[Date]():
		return "day"
	case reflect.TypeFor[Time]():
		return "time"
	}
	switch f.typ.Kind() {
	case reflect.Bool:
		return "true, false"
	case reflect.String:
		return "text"
	default:
		return "number" + rangeText(f)
	}
}

func rangeText(f field) string {
	if f.tag.Get("min") == "" {
		return ""
	}
	return ", " + rangeOf(f)
}
