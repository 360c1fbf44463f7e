package config_test

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"daybook/config"
)

func schemaTree(t *testing.T) map[string]any {
	t.Helper()
	text, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// The schema is of the draft it names: only keywords that we know, each of the right kind, every reference resolved, every default valid.
func TestSchemaIsWellFormed(t *testing.T) {
	root := schemaTree(t)
	if root["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema: %v", root["$schema"])
	}
	var walk func(at string, s map[string]any)
	walk = func(at string, s map[string]any) {
		for keyword, value := range s {
			ok := false
			switch keyword {
			case "$schema", "title", "description", "format":
				text, isText := value.(string)
				ok = isText && text != ""
			case "$ref":
				_, ok = resolve(root, value.(string))
			case "type":
				ok = len(typesOf(value)) > 0
				for _, name := range typesOf(value) {
					ok = ok && slices.Contains([]string{"object", "array", "string", "number", "integer", "boolean", "null"}, name)
				}
			case "enum", "required":
				list, isList := value.([]any)
				ok = isList && len(list) > 0
			case "pattern":
				_, err := regexp.Compile(value.(string))
				ok = err == nil
			case "minLength", "minItems", "minimum", "maximum":
				n, isNumber := value.(float64)
				ok = isNumber && n == math.Trunc(n)
			case "uniqueItems", "additionalProperties":
				_, ok = value.(bool)
			case "default":
				problems := validate(root, s, value, at)
				ok = len(problems) == 0
			case "items":
				items, isSchema := value.(map[string]any)
				if ok = isSchema; ok {
					walk(at+"[]", items)
				}
			case "properties", "$defs":
				props, isMap := value.(map[string]any)
				ok = isMap
				for name, prop := range props {
					walk(at+"."+name, prop.(map[string]any))
				}
			}
			if !ok {
				t.Errorf("%s: %s: %v", at, keyword, value)
			}
		}
		if s["description"] == nil && strings.Contains(at, ".") && !strings.HasSuffix(at, "[]") {
			t.Errorf("%s: no description", at)
		}
	}
	walk("", root)
}

func TestSchemaHasEveryKey(t *testing.T) {
	got, want := map[string]bool{}, map[string]bool{}
	var walk func(at string, s map[string]any)
	walk = func(at string, s map[string]any) {
		if items, ok := s["items"].(map[string]any); ok {
			walk(at+"[]", items)
		}
		props, _ := s["properties"].(map[string]any)
		if len(props) > 0 && s["additionalProperties"] != false {
			t.Errorf("%s: lets unknown keys pass", at)
		}
		for name, prop := range props {
			got[strings.TrimPrefix(at+"."+name, ".")] = true
			walk(at+"."+name, prop.(map[string]any))
		}
	}
	walk("", schemaTree(t))
	structKeys("", reflect.TypeFor[config.Config](), want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-structs +schema):\n%s", diff)
	}
}

// What Parse accepts the schema accepts, and of what Parse refuses the schema refuses what it can know.
func TestSchemaAgreesWithParse(t *testing.T) {
	root := schemaTree(t)
	check := func(text string) []string {
		var doc any
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		return validate(root, root, doc, "")
	}
	for _, text := range []string{
		string(config.Sample()),
		"trails: [{name: 2026, projects: [811596193553, x], formats: []}]",
		"close_after: 1d12h\nspool: {keep: 7y, memory: 67108864}\npart: {bytes: 1.5GiB}\nas_of: 2026-03-10T08:00:00Z\nstore: {mode: governance, url: 's3://bucket', retention_policies: [{class: a, default: true, preset: gxp, cold_years: 7, warm_storage: W}]}",
		"close_after: 0s\nspool:\nformats: {csv: , cef: {level: 9}}",
	} {
		if _, err := config.Parse("", []byte(text)); err != nil {
			t.Errorf("Parse refuses: %v", err)
		}
		if problems := check(text); len(problems) > 0 {
			t.Errorf("the schema refuses what Parse accepts: %v\n%s", problems, text)
		}
	}
	for _, text := range []string{
		"sauce: x", "trails: []", "trails: [{org: x}]", "trails: [{name: a, split: both}]", "trails: [{name: a, formats: [csv, csv]}]", "trails: [{name: a, max_split: 0}]",
		"close_after: 3600", "close_after: 1w", "close_after: ''", "spool: {memory: 1MB}", "part: {rows: 1.5}", "include_open: 'yes'", "plausible_after: yesterday", "as_of: noon",
		"formats: {csv: {level: 23}}", "formats: {syslog: {enterprise: 0}}", "store: {mode: Compliance}", "store: {classes: [{name: a}]}", "store: {retention_policies: [{default: true}]}", "store: {retention_policies: [{class: a, default: true, hot_days: -1}]}", "store: {retention_policies: [{class: a, default: true, mode: none}]}", "store: {secret_key: x}", "source: [x]", "store: {url: ''}",
	} {
		if _, err := config.Parse("", []byte(text)); err == nil {
			t.Errorf("Parse accepts %s", text)
		}
		if len(check(text)) == 0 {
			t.Errorf("the schema accepts %s", text)
		}
	}
}

func resolve(root map[string]any, ref string) (map[string]any, bool) {
	defs, _ := root["$defs"].(map[string]any)
	s, ok := defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	return s, ok
}

func typesOf(value any) []string {
	switch value := value.(type) {
	case string:
		return []string{value}
	case []any:
		var names []string
		for _, name := range value {
			names = append(names, fmt.Sprint(name))
		}
		return names
	}
	return nil
}

// validate is as much of a JSON Schema validator as our schema needs. It returns what is wrong.
func validate(root, s map[string]any, doc any, at string) []string {
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, at+": "+fmt.Sprintf(format, args...)) }
	if ref, ok := s["$ref"].(string); ok {
		target, _ := resolve(root, ref)
		problems = append(problems, validate(root, target, doc, at)...)
	}
	var kinds []string
	number, isNumber := 0.0, false
	switch v := doc.(type) {
	case nil:
		kinds = []string{"null"}
	case bool:
		kinds = []string{"boolean"}
	case string:
		kinds = []string{"string"}
	case []any:
		kinds = []string{"array"}
	case map[string]any:
		kinds = []string{"object"}
	default:
		number, isNumber = reflect.ValueOf(v).Convert(reflect.TypeFor[float64]()).Float(), true
		kinds = []string{"number"}
		if number == math.Trunc(number) {
			kinds = append(kinds, "integer")
		}
	}
	if want := typesOf(s["type"]); want != nil && !slices.ContainsFunc(kinds, func(k string) bool { return slices.Contains(want, k) }) {
		bad("is %v, not %v", kinds, want)
		return problems
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, doc) {
		bad("%v is none of %v", doc, enum)
	}
	if isNumber {
		if least, ok := s["minimum"].(float64); ok && number < least {
			bad("%v is less than %v", number, least)
		}
		if most, ok := s["maximum"].(float64); ok && number > most {
			bad("%v is more than %v", number, most)
		}
	}
	switch v := doc.(type) {
	case string:
		if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(v) {
			bad("%q does not match %s", v, pattern)
		}
		if least, ok := s["minLength"].(float64); ok && float64(utf8.RuneCountInString(v)) < least {
			bad("%q is too short", v)
		}
		if _, err := time.Parse(time.DateOnly, v); s["format"] == "date" && err != nil {
			bad("%v", err)
		}
	case []any:
		if least, ok := s["minItems"].(float64); ok && float64(len(v)) < least {
			bad("too few items")
		}
		items, _ := s["items"].(map[string]any)
		for i, item := range v {
			if s["uniqueItems"] == true && slices.ContainsFunc(v[:i], func(other any) bool { return cmp.Equal(other, item) }) {
				bad("item %d twice", i)
			}
			problems = append(problems, validate(root, items, item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case map[string]any:
		props, _ := s["properties"].(map[string]any)
		required, _ := s["required"].([]any)
		for _, key := range required {
			if _, ok := v[key.(string)]; !ok {
				bad("%s is missing", key)
			}
		}
		for key, value := range v {
			prop, ok := props[key].(map[string]any)
			if !ok {
				bad("%s is unknown", key)
				continue
			}
			problems = append(problems, validate(root, prop, value, at+"."+key)...)
		}
	}
	return problems
}
