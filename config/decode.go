package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// position is a place in the file, counted from 1.
type position struct{ line, column int }

// decoder lays a document over a Config and goes on after a fault. (The library's own decoder ends at the first.)
type decoder struct {
	faults []Fault
	// at says where the file writes a key: a section by its key, any other by its value.
	at map[string]position
	// spoilt are the keys whose values could not be read: nothing more is to be said of them.
	spoilt []string
}

func (d *decoder) wrote(path string) bool {
	_, ok := d.at[path]
	return ok
}

func (d *decoder) fault(at position, path, hint, format string, args ...any) {
	d.faults = append(d.faults, Fault{Line: at.line, Column: at.column, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (d *decoder) spoil(path string) { d.spoilt = append(d.spoilt, path) }

// locate gives a fault its file and, where it has none, the place of its key or of the nearest section around it.
func (d *decoder) locate(name string, f *Fault) {
	f.File = name
	if f.Line > 0 {
		return
	}
	f.Line, f.Column = 1, 1
	for path := f.Path; path != ""; path = path[:max(0, strings.LastIndexAny(path, ".["))] {
		if at, ok := d.at[path]; ok {
			f.Line, f.Column = at.line, at.column
			return
		}
	}
}

// document reads data into v, a Config.
func (d *decoder) document(data []byte, v reflect.Value) {
	if len(data) > fileLimit {
		d.fault(position{1, 1}, "", "is it the right file?", "longer than %s, the most that a configuration may have", Size(fileLimit))
		d.spoil("")
		return
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if at, ok := invalidText(data); ok {
		d.fault(at, "", "save the file as UTF-8", "not UTF-8 text")
		d.spoil("")
		return
	}
	file, at, err := parse(data)
	if err != nil {
		d.fault(at, "", "see the line above, too: a missing space after a colon, an indentation or a quote is often there", "not YAML: %v", err)
		d.spoil("")
		return
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			d.fault(start(doc.Body), "", "remove the line --- and what follows it", "a second document: a configuration is one")
			break
		}
		body = doc.Body
	}
	if body != nil {
		d.section("", body, v)
	}
}

// parse is the library's parser, with an error that has a place, and no text of the file in its message: a line of a configuration may hold a
// secret that does not belong there.
func parse(data []byte) (file *ast.File, at position, err error) {
	at = position{1, 1}
	defer func() {
		// The parser is not ours; what it cannot take is a fault of the file like any other.
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("the parser gave up (%v)", r)
		}
	}()
	file, err = parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	var syntax yaml.Error
	if errors.As(err, &syntax) {
		at = place(syntax.GetToken())
		err = errors.New(syntax.GetMessage())
	}
	return file, at, err
}

// invalidText returns the place of the first byte that is not text.
func invalidText(data []byte) (position, bool) {
	at := position{1, 1}
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && n == 1, r == 0:
			return at, true
		case r == '\n':
			at = position{at.line + 1, 1}
		default:
			at.column++
		}
		data = data[n:]
	}
	return position{}, false
}

func place(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{max(1, t.Position.Line), max(1, t.Position.Column)}
}

// start is where a node begins. A block mapping's own token is its first colon.
func start(n ast.Node) position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return start(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return start(n.Key)
	}
	return place(n.GetToken())
}

// section reads a mapping into the struct v.
func (d *decoder) section(path string, n ast.Node, v reflect.Value) {
	var pairs []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	case *ast.NullNode:
		return // a section all of whose keys are commented out
	default:
		d.wrongType(path, n, "keys with values", "write its keys below it, indented: "+keyList(v.Type()))
		return
	}
	fields := fieldsOf(v.Type())
	seen := make(map[string]position, len(pairs))
	for _, pair := range pairs {
		key, at := keyText(pair.Key), start(pair.Key)
		keyPath := join(path, key)
		if pair.Key.IsMergeKey() {
			d.fault(at, keyPath, "write the keys out", "merge keys are not read")
			continue
		}
		var known *field
		for i := range fields {
			if fields[i].key == key {
				known = &fields[i]
			}
		}
		if known == nil {
			d.unknown(path, key, at, v.Type())
			continue
		}
		if first, ok := seen[key]; ok {
			d.fault(at, keyPath, "keep one of the two", "written twice, first in line %d", first.line)
			continue
		}
		seen[key] = at
		d.at[keyPath] = at
		if !isSection(known.typ) && pair.Value.Type() != ast.NullType {
			d.at[keyPath] = start(pair.Value)
		}
		d.value(keyPath, pair.Value, v.Field(known.index), *known)
	}
}

// value reads a node into v, whose field is f, or is an element of f.
func (d *decoder) value(path string, n ast.Node, v reflect.Value, f field) {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.spoil(path)
		d.fault(d.placeOf(path, n), path, "write the value out", "anchors, aliases and tags are not read")
		return
	}
	if isSection(v.Type()) {
		d.section(path, n, v)
		return
	}
	if n.Type() == ast.NullType {
		d.spoil(path)
		hint := "write a value, or remove the key" + defaultHint(f, ": then it is ")
		if strings.HasSuffix(path, "]") {
			hint = "write a value, or remove it"
		}
		d.fault(d.placeOf(path, n), path, hint, "has no value")
		return
	}
	if v.Kind() == reflect.Slice {
		d.list(path, n, v, f)
		return
	}
	text, ok := scalarText(n)
	if !ok {
		d.wrongType(path, n, wantOf(v.Type()), hintOf(f))
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			d.spoil(path)
			d.fault(start(n), path, hintOf(f), "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.wrongType(path, n, "true or false", "write true or false, without quotes"+defaultHint(f, "; the default is "))
			return
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int64:
		if i, ok := d.integer(path, n, text, f); ok {
			v.SetInt(i)
		}
	case reflect.Uint32:
		i, ok := d.integer(path, n, text, f)
		if ok && (i < 0 || v.OverflowUint(uint64(i))) {
			d.spoil(path)
			d.fault(start(n), path, rangeOf(f)+defaultHint(f, "; the default is "), "%s is out of range", text)
			return
		}
		if ok {
			v.SetUint(uint64(i))
		}
	default:
		panic(fmt.Sprintf("config: %s has a type that is not read: %s", path, v.Type()))
	}
}

func (d *decoder) integer(path string, n ast.Node, text string, f field) (int64, bool) {
	if _, ok := n.(*ast.IntegerNode); !ok {
		d.wrongType(path, n, "a whole number", "write digits, without quotes"+defaultHint(f, "; the default is "))
		return 0, false
	}
	// Decimal only: that 010 is eight, and 1_000 a thousand, is not what everybody reads.
	i, err := strconv.ParseInt(text, 10, 64)
	if err != nil || (len(strings.TrimLeft(text, "+-")) > 1 && strings.TrimLeft(text, "+-")[0] == '0') {
		d.spoil(path)
		d.fault(start(n), path, "write decimal digits alone"+defaultHint(f, "; the default is "), "%s is not a decimal whole number", text)
		return 0, false
	}
	return i, true
}

func (d *decoder) list(path string, n ast.Node, v reflect.Value, f field) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		hint := "write it as [a, b], or as lines that begin with -"
		if text, ok := scalarText(n); ok && f.tag.Get("form") != "regexp" && len(text) < 40 && !looksSecret(text) {
			hint = "write [" + text + "]"
		}
		d.wrongType(path, n, "a list", hint)
		return
	}
	list := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, node := range seq.Values {
		at := element(path, i)
		d.at[at] = start(node)
		if isSection(v.Type().Elem()) {
			fillDefaults(list.Index(i))
			if node.Type() == ast.NullType {
				d.spoil(at)
				d.fault(start(node), at, "write its keys, or remove the -", "has no value")
				continue
			}
		}
		d.value(at, node, list.Index(i), f)
	}
	v.Set(list)
}

func (d *decoder) placeOf(path string, n ast.Node) position {
	if at, ok := d.at[path]; ok {
		return at
	}
	return start(n)
}

func (d *decoder) wrongType(path string, n ast.Node, want, hint string) {
	d.spoil(path)
	d.fault(start(n), path, hint, "is %s: must be %s", kindOf(n), want)
}

// unknown reports a key that the section does not have.
func (d *decoder) unknown(path, key string, at position, section reflect.Type) {
	keyPath := join(path, key)
	if hint, ok := secretKey(key); ok {
		d.fault(at, keyPath, hint, "a secret is not written in this file")
		return
	}
	if path == "store" && key == "classes" {
		d.spoil("store.retention_policies") // what was meant for it is not to be missed as well
		message, hint := oldClasses()
		d.fault(at, keyPath, hint, "%s", message)
		return
	}
	if near, ok := Nearest(key, keysOf(section)); ok {
		// Its value was meant for near: that near is missing would be said twice.
		d.spoil(join(path, near))
		d.fault(at, keyPath, fmt.Sprintf("did you mean %s?", near), "unknown key")
		return
	}
	var elsewhere []string
	for _, s := range sectionsWith(key) {
		if s == "" {
			s = "the top"
		}
		elsewhere = append(elsewhere, s)
	}
	if len(elsewhere) > 0 {
		d.fault(at, keyPath, "it belongs to "+strings.Join(elsewhere, " or "), "unknown key in this place")
		return
	}
	d.fault(at, keyPath, "known here: "+keyList(section), "unknown key")
}

// secretKey says that a key asks for a secret, and what to write instead.
func secretKey(key string) (string, bool) {
	hint := func(k string) string {
		return fmt.Sprintf("name it: store.%s_env: VARIABLE or store.%s_file: PATH; or leave it out, and the AWS chain is asked", k, k)
	}
	switch strings.TrimPrefix(plainKey(key), "aws") {
	case "accesskey", "accesskeyid":
		return hint("access_key"), true
	case "secretkey", "secretaccesskey", "secret", "password":
		return hint("secret_key"), true
	case "sessiontoken", "token":
		return hint("session_token"), true
	case "privatekey", "signingkey":
		return "name the file that holds it: key: PATH", true
	}
	return "", false
}

func keyText(n ast.MapKeyNode) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.MappingKeyNode:
		if text, ok := scalarText(n.Value); ok {
			return text
		}
	}
	return n.GetToken().Value
}

// scalarText returns a scalar as it is written: a project's id of twelve digits stays the text that it is.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a section"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	}
	return "an anchor, alias or tag"
}

func wantOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Duration]():
		return "a length of time"
	case t == reflect.TypeFor[Size]():
		return "a size"
	case t == reflect.TypeFor[Date]():
		return "a day"
	case t == reflect.TypeFor[Time]():
		return "a time"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	default:
		return "a whole number"
	}
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for _, f := range fieldsOf(t) {
		keys = append(keys, f.key)
	}
	return keys
}

func keyList(t reflect.Type) string { return strings.Join(keysOf(t), ", ") }

// hintOf is what helps with a field where nothing better is known.
func hintOf(f field) string {
	if hint := defaultHint(f, "the default is "); hint != "" {
		return hint
	}
	return f.tag.Get("doc")
}

// defaultHint is prefix and the field's default, nothing where it has none.
func defaultHint(f field, prefix string) string {
	if text := f.tag.Get("default"); text != "" {
		return prefix + text
	}
	return ""
}
