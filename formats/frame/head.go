package frame

import (
	"bytes"
	"io"
)

// firstHead is how much of a head is asked of a reader first: of a stream that ends within, no more is ever needed.
const firstHead = 4 << 10

// Head reads the first size bytes of a stream, or as many as there are, and returns what reads the whole stream, with them. The error is what ended it before:
// io.EOF, or that of reading, which whole ends with as well.
func Head(r io.Reader, size int) (head []byte, whole io.Reader, err error) {
	head = make([]byte, min(size, firstHead))
	n, empty := 0, 0
	for n < size {
		if n == len(head) {
			whole := make([]byte, size)
			copy(whole, head)
			head = whole
		}
		m, err := r.Read(head[n:])
		n += m
		if m == 0 && err == nil {
			if empty++; empty == maxEmptyReads {
				err = io.ErrNoProgress
			}
		} else {
			empty = 0
		}
		if err != nil && n < size {
			return head[:n], io.MultiReader(bytes.NewReader(head[:n]), failing{err}), err
		}
	}
	return head, io.MultiReader(bytes.NewReader(head), r), nil
}

// failing is a reader that has come to its end.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
