package parquet

import (
	"encoding/binary"
	"errors"
	"math"
)

var errRuns = errors.New("levels or dictionary numbers that are not encoded as they must be")

// runs reads Parquet's hybrid of runs and bit-packed numbers, one by one.
type runs struct {
	from   *source
	width  uint // bits of a number, 1 to 32
	left   int  // numbers of the run, or of its part that was taken
	groups int  // groups of 8 packed numbers that follow
	value  uint32
	packed []byte // nil in a run of equal numbers
	bit    uint
}

func (r *runs) reset(from *source, width uint) { *r = runs{from: from, width: width} }

func (r *runs) next() (uint32, error) {
	if r.left == 0 {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	r.left--
	if r.packed == nil {
		return r.value, nil
	}
	i, shift := r.bit>>3, r.bit&7
	r.bit += r.width
	if i+8 <= uint(len(r.packed)) {
		return uint32(binary.LittleEndian.Uint64(r.packed[i:])>>shift) & (1<<r.width - 1), nil
	}
	return r.tail(i, shift), nil
}

// tail is next for the last bytes.
func (r *runs) tail(i, shift uint) uint32 {
	var b [8]byte
	copy(b[:], r.packed[i:])
	return uint32(binary.LittleEndian.Uint64(b[:])>>shift) & (1<<r.width - 1)
}

func (r *runs) fill() error {
	if r.groups == 0 {
		head, err := r.head()
		if err != nil {
			return err
		}
		if head&1 == 0 {
			return r.repeat(head >> 1)
		}
		r.groups = int(head >> 1)
		if r.groups == 0 {
			return errRuns
		}
	}
	n := min(r.groups, 512)
	packed, err := r.from.take(n * int(r.width))
	if err != nil {
		return err
	}
	r.packed, r.bit, r.left = packed, 0, 8*n
	r.groups -= n
	return nil
}

func (r *runs) head() (uint64, error) {
	v := uint64(0)
	for shift := 0; shift < 35; shift += 7 {
		b, err := r.from.take(1)
		if err != nil {
			return 0, err
		}
		v |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			return v, nil
		}
	}
	return 0, errRuns
}

func (r *runs) repeat(n uint64) error {
	b, err := r.from.take(int(r.width+7) / 8)
	if err != nil {
		return err
	}
	var full [4]byte
	copy(full[:], b)
	r.value = binary.LittleEndian.Uint32(full[:])
	if n == 0 || n > math.MaxInt32 || uint64(r.value)>>r.width != 0 {
		return errRuns
	}
	r.packed, r.left = nil, int(n)
	return nil
}

// end checks that all numbers were read, but for those that fill up a group of packed ones, which are 0.
func (r *runs) end() error {
	if r.groups > 0 || r.left >= 8 || r.packed == nil && r.left > 0 {
		return errRuns
	}
	for r.left > 0 {
		if v, err := r.next(); err != nil || v != 0 {
			return errRuns
		}
	}
	return nil
}
