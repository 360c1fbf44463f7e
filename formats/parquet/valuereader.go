package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	gotime "time"
	"unicode/utf8"
	"unsafe"

	"github.com/parquet-go/parquet-go/bloom/xxhash"

	"daybook/event"
	"daybook/formats"
)

// differs says that a value is not that of the evidence. The row is set by the caller. Of texts that begin alike it tells the part that differs.
func (c *columnReader) differs(want, got string) error {
	const before = 20
	same := 0
	for same < len(want) && same < len(got) && want[same] == got[same] {
		same++
	}
	if same > 2*before {
		from := runeStart([]byte(want[:same]), same-before)
		want, got = "…"+want[from:], "…"+got[from:]
	}
	return &formats.Mismatch{Field: c.name, Want: cut(want), Got: cut(got)}
}

const absent = "(null)"

// cut returns the beginning of s.
func cut(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:runeStart([]byte(s[:most+1]), most)]
}

// check reads the column's value of the next row, and compares it with the event's.
func (c *columnReader) check(e *event.Event, day event.Day) error {
	if c.left == 0 {
		if err := c.beginPage(); err != nil {
			return err
		}
	}
	var err error
	switch c.kind {
	case text:
		err = c.checkText(e)
	case list:
		err = c.checkList(c.list(e))
	case time:
		err = c.checkNumber(e.Time.UnixMicro(), true)
	case date:
		err = c.checkNumber(int64(day), true)
	case received:
		err = c.checkNumber(e.Received.UnixMicro(), !e.Received.IsZero())
	case sequence:
		n, ok := e.SourceSeq()
		err = c.checkNumber(int64(n), ok && n <= math.MaxInt64)
	case success:
		outcome := e.Get(event.Outcome)
		n := int64(0)
		if outcome == event.Success {
			n = 1
		}
		err = c.checkNumber(n, outcome == event.Success || outcome == event.Failure)
	}
	if err != nil {
		return err
	}
	c.rows++
	if c.left == 0 {
		return c.endPage()
	}
	return nil
}

// present reads whether a flat column has a value in the row.
func (c *columnReader) present() (bool, error) {
	c.left--
	if c.required {
		return true, nil
	}
	level, err := c.defs.next()
	if level == 0 {
		c.pageNulls++
	}
	return level == 1, err
}

func (c *columnReader) checkText(e *event.Event) error {
	has, err := c.present()
	if err != nil {
		return err
	}
	wanted := c.required || e.Has(c.field)
	switch {
	case has && wanted:
		return c.checkValue(e.Get(c.field))
	case wanted:
		return c.differs(e.Get(c.field), absent)
	case has:
		got, err := c.head()
		if err != nil {
			return err
		}
		return c.differs(absent, got)
	}
	return nil
}

// checkValue reads a text, which must be want.
func (c *columnReader) checkValue(want string) error {
	if c.indexed {
		id, err := c.number()
		if err != nil {
			return err
		}
		got := c.dict.text(id)
		if string(got) != want && (utf8.ValidString(want) || string(got) != validText(want)) {
			return c.differs(want, string(got))
		}
		if c.dict.seen[id] == int32(c.pages) {
			return nil
		}
		first := c.dict.seen[id] == 0
		c.dict.seen[id] = int32(c.pages)
		return c.met(got, first)
	}
	n, err := c.length()
	if err != nil {
		return err
	}
	if c.src.more != nil && n > takeMost {
		return c.checkLong(n, want)
	}
	got, err := c.src.take(n)
	if err != nil {
		return err
	}
	if string(got) != want && (utf8.ValidString(want) || string(got) != validText(want)) {
		return c.differs(want, string(got))
	}
	if !utf8.Valid(got) {
		return errUTF8
	}
	if len(c.dict.rest) > 0 {
		c.metPlain(string(got))
	}
	return c.met(got, true)
}

var errUTF8 = errors.New("a text is not valid UTF-8")

// number reads a number of the dictionary.
func (c *columnReader) number() (uint32, error) {
	if !c.packed {
		b, err := c.src.take(1)
		if err != nil {
			return 0, err
		}
		if b[0] == 0 || b[0] > 24 {
			return 0, errRuns
		}
		c.ids.reset(&c.src, uint(b[0]))
		c.packed = true
	}
	id, err := c.ids.next()
	if err != nil {
		return 0, err
	}
	if int(id) >= len(c.dict.start) {
		return 0, errors.New("a value is not in the dictionary")
	}
	return id, nil
}

// length reads the length of a plain text.
func (c *columnReader) length() (int, error) {
	b, err := c.src.take(4)
	if err != nil {
		return 0, err
	}
	n := int64(binary.LittleEndian.Uint32(b))
	if n > c.src.left() {
		return 0, errPageEnds
	}
	return int(n), nil
}

// head reads a text, of which it returns the beginning.
func (c *columnReader) head() (string, error) {
	if c.indexed {
		id, err := c.number()
		if err != nil {
			return "", err
		}
		return string(c.dict.text(id)), nil
	}
	n, err := c.length()
	if err != nil {
		return "", err
	}
	b, err := c.src.take(min(n, takeMost))
	return string(b), err
}

// checkLong is checkValue for a text that is not held in memory.
func (c *columnReader) checkLong(n int, want string) error {
	if !utf8.ValidString(want) {
		want = validText(want)
	}
	for at := 0; at < n; {
		got, err := c.src.take(min(n-at, takeMost))
		if err != nil {
			return err
		}
		here := want[at:min(len(want), at+len(got))]
		if string(got) != here {
			return c.differs(here, string(got))
		}
		at += len(got)
	}
	if n < len(want) {
		return c.differs(want[n-takeMost:], want[n-takeMost:n])
	}
	if len(c.dict.rest) > 0 {
		c.metPlain(want)
	}
	return c.met(unsafe.Slice(unsafe.StringData(want), len(want)), true) // which reads it only; a copy of a giant would be as large
}

// met takes a value into account that the page has not had before, or that is plain. It is first if the chunk has not had it either, as far as known.
func (c *columnReader) met(v []byte, first bool) error {
	if !c.page.text(v) {
		return errColumnIndex
	}
	if !c.claim.text(v) {
		return errStatistics
	}
	if first && c.filter != nil {
		hash := xxhash.Sum64(v)
		if !c.filter.Check(hash) {
			return fmt.Errorf("%q is not in the bloom filter", cut(string(v)))
		}
		c.values.Insert(hash)
	}
	return nil
}

// metPlain notes that a text of the dictionary was met in a plain page.
func (c *columnReader) metPlain(v string) {
	if id, ok := c.dict.rest[v]; ok {
		c.dict.seen[id] = -1
		delete(c.dict.rest, v)
	}
}

var errStatistics = errors.New("the footer's statistics are not true to the values")

func (c *columnReader) checkNumber(want int64, wanted bool) error {
	has, err := c.present()
	if err != nil || !has && !wanted {
		return err
	}
	got := int64(0)
	if has {
		if got, err = c.plainNumber(); err != nil {
			return err
		}
	}
	if has != wanted || got != want {
		return c.differs(c.show(want, wanted), c.show(got, has))
	}
	if !c.page.number(got) {
		return errColumnIndex
	}
	if !c.claim.number(got) {
		return errStatistics
	}
	return nil
}

func (c *columnReader) plainNumber() (int64, error) {
	if c.kind == success {
		if c.bit&7 == 0 {
			b, err := c.src.take(1)
			if err != nil {
				return 0, err
			}
			c.bit, c.bits = 0, b[0]
		}
		c.bit++
		return int64(c.bits >> (c.bit - 1) & 1), nil
	}
	b, err := c.src.take(c.valueSize())
	if err != nil {
		return 0, err
	}
	return number(b), nil
}

// show returns a number as people read it.
func (c *columnReader) show(n int64, has bool) string {
	switch {
	case !has:
		return absent
	case c.kind == time || c.kind == received:
		return gotime.UnixMicro(n).UTC().Format("2006-01-02T15:04:05.000000Z")
	case c.kind == date:
		return event.Day(n).String()
	case c.kind == success:
		return strconv.FormatBool(n == 1)
	}
	return strconv.FormatInt(n, 10)
}

// checkList reads the texts of a row of a list column.
func (c *columnReader) checkList(want []string) error {
	for i := 0; ; i++ {
		level, err := c.defs.next()
		if err != nil {
			return err
		}
		c.left--
		switch {
		case level != 2:
			c.pageNulls++
			if level != 0 || i > 0 {
				return errors.New("a list that is empty rather than null")
			}
			if len(want) > 0 {
				return c.differs(fmt.Sprintf("a list of %d", len(want)), absent)
			}
		case i == len(want):
			got, err := c.head()
			if err != nil {
				return err
			}
			return c.differs(fmt.Sprintf("a list of %d", i), fmt.Sprintf("a list that goes on with %s", got))
		default:
			if err := c.checkValue(want[i]); err != nil {
				return err
			}
		}
		again := false
		if c.left > 0 {
			next, err := c.reps.next()
			if err != nil {
				return err
			}
			if again = next == 1; again && level != 2 {
				return errors.New("a list that goes on after its end")
			}
		}
		if !again {
			if i+1 < len(want) {
				return c.differs(fmt.Sprintf("a list of %d", len(want)), fmt.Sprintf("a list of %d", i+1))
			}
			return nil
		}
	}
}
