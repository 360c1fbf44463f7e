package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
)

// The types of Thrift's compact protocol.
const (
	thriftStop   = 0
	thriftTrue   = 1
	thriftFalse  = 2
	thriftI8     = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftStruct = 12
)

var errThrift = errors.New("no Thrift structure that is written by us")

// thriftScan goes over a structure in Thrift's compact protocol without keeping anything of it. What it has passed can be handed to a decoder: no
// length in it is beyond its bytes, and it has no more list elements than elements says at first, which bounds the memory that they become.
type thriftScan struct {
	b        []byte
	pos      int
	elements int
}

const thriftDepth = 12

func (s *thriftScan) byte() (byte, error) {
	if s.pos >= len(s.b) {
		return 0, errThrift
	}
	s.pos++
	return s.b[s.pos-1], nil
}

func (s *thriftScan) uvarint() (uint64, error) {
	v, n := binary.Uvarint(s.b[s.pos:])
	if n <= 0 {
		return 0, errThrift
	}
	s.pos += n
	return v, nil
}

// field passes the header of a field, whose id is above before. The type is thriftStop where the structure ends.
func (s *thriftScan) field(before int) (id int, kind byte, err error) {
	head, err := s.byte()
	if err != nil || head == thriftStop {
		return 0, thriftStop, err
	}
	if head>>4 == 0 { // an id in full, which is for ids that fall, or leap
		return 0, 0, errThrift
	}
	return before + int(head>>4), head & 15, nil
}

// list passes the header of a list.
func (s *thriftScan) list() (size int, kind byte, err error) {
	head, err := s.byte()
	if err != nil {
		return 0, 0, err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = s.uvarint(); err != nil {
			return 0, 0, err
		}
	}
	if n > uint64(len(s.b)-s.pos) {
		return 0, 0, errThrift
	}
	return int(n), head & 15, nil
}

// structure passes a structure.
func (s *thriftScan) structure(depth int) error {
	if depth == 0 {
		return errThrift
	}
	for id := 0; ; {
		var kind byte
		var err error
		if id, kind, err = s.field(id); err != nil || kind == thriftStop {
			return err
		}
		if kind == thriftTrue || kind == thriftFalse {
			continue // the value is in the header
		}
		if err := s.value(kind, depth-1); err != nil {
			return err
		}
	}
}

func (s *thriftScan) value(kind byte, depth int) error {
	n := 0
	switch kind {
	case thriftI8, thriftTrue, thriftFalse: // the latter two in lists
		n = 1
	case thriftDouble:
		n = 8
	case thriftI16, thriftI32, thriftI64:
		_, err := s.uvarint()
		return err
	case thriftBinary:
		size, err := s.uvarint()
		if err != nil || size > uint64(len(s.b)-s.pos) {
			return errThrift
		}
		n = int(size)
	case thriftStruct:
		return s.structure(depth)
	case thriftList:
		size, kind, err := s.list()
		if err != nil {
			return err
		}
		if s.elements -= size; s.elements < 0 || depth == 0 {
			return errThrift
		}
		for range size {
			if err := s.value(kind, depth-1); err != nil {
				return err
			}
		}
		return nil
	default:
		return errThrift
	}
	if n > len(s.b)-s.pos {
		return errThrift
	}
	s.pos += n
	return nil
}

// decodeThrift decodes the structure with which b begins to v, and returns its length. It must have no more than that many list elements.
func decodeThrift(b []byte, v any, elements int) (int, error) {
	s := thriftScan{b: b, elements: elements}
	if err := s.structure(thriftDepth); err != nil {
		return 0, err
	}
	var protocol thrift.CompactProtocol
	if err := thrift.NewDecoder(protocol.NewReaderFromBytes(b[:s.pos:s.pos])).Decode(v); err != nil {
		return 0, fmt.Errorf("%w: %w", errThrift, err)
	}
	return s.pos, nil
}

// isEncodingOf reports whether b is how v is written: then b holds nothing that v does not.
func (h *headerWriter) isEncodingOf(b []byte, v any) (bool, error) {
	want, err := h.encode(v)
	return bytes.Equal(b, want), err
}
