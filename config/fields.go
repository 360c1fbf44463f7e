package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// field is a key of a section, as its struct's field describes it.
type field struct {
	key   string
	index int
	typ   reflect.Type
	tag   reflect.StructTag
}

// fieldsOf returns the keys of a section, in the order of the struct.
func fieldsOf(t reflect.Type) []field {
	fields := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		fields = append(fields, field{key: f.Tag.Get("yaml"), index: i, typ: f.Type, tag: f.Tag})
	}
	return fields
}

// enum returns the values that the field takes, nil where any will do.
func (f field) enum() []string {
	if e := f.tag.Get("enum"); e != "" {
		return strings.Split(e, ",")
	}
	return nil
}

// isText says that values of t are scalars that t reads itself.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isSection says that t's values are mappings.
func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct && !isText(t) }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// fillDefaults gives v what its tags say. The tags are read by the decoder that reads files; a test proves that each of them is right.
func fillDefaults(v reflect.Value) {
	for _, f := range fieldsOf(v.Type()) {
		to := v.Field(f.index)
		if isSection(f.typ) {
			fillDefaults(to)
			continue
		}
		text, ok := f.tag.Lookup("default")
		if !ok {
			continue
		}
		node, err := parseDefault(text)
		d := decoder{at: map[string]position{}}
		if err == nil {
			d.value(f.key, node, to, f)
		}
		if err != nil || len(d.faults) > 0 {
			panic(fmt.Sprintf("config: the default of %s is wrong: %v %v", f.key, err, d.faults))
		}
	}
}

func parseDefault(text string) (ast.Node, error) {
	file, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		return nil, err
	}
	return file.Docs[0].Body, nil
}

// Nearest returns the one of the names that was probably meant, and whether there is one.
func Nearest(name string, known []string) (string, bool) {
	best, distance := "", 1+max(1, len(name)/3)
	for _, k := range known {
		if n := editDistance(plainKey(name), plainKey(k)); n < distance {
			best, distance = k, n
		}
	}
	return best, best != ""
}

// plainKey is a key without what people vary: case, underscores and hyphens.
func plainKey(key string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(key))
}

// editDistance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b.
func editDistance(a, b string) int {
	const far = 1 << 10
	if len(a) > 64 || len(b) > 64 {
		return far
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

// sectionsWith returns the sections, as paths with [] for a list's element, that have the key.
func sectionsWith(key string) []string {
	var found []string
	var walk func(path string, t reflect.Type)
	walk = func(path string, t reflect.Type) {
		for _, f := range fieldsOf(t) {
			at := join(path, f.key)
			switch {
			case isSection(f.typ):
				walk(at, f.typ)
			case f.typ.Kind() == reflect.Slice && isSection(f.typ.Elem()):
				walk(at+"[]", f.typ.Elem())
			}
			if f.key == key {
				found = append(found, path)
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
	slices.Sort(found)
	return found
}
