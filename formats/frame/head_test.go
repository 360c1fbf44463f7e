package frame_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"daybook/formats/frame"
)

func TestHead(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<10)
	broken := errors.New("broken")
	for _, c := range []struct {
		name       string
		r          io.Reader
		size, want int
		err        error
	}{
		{"less than there is", bytes.NewReader(data), 100, 100, nil},
		{"more than is asked for first", bytes.NewReader(data), 10_000, 10_000, nil},
		{"all there is", bytes.NewReader(data), len(data), len(data), nil},
		{"more than there is", bytes.NewReader(data), 1 << 20, len(data), io.EOF},
		{"a byte at a time", iotest.OneByteReader(bytes.NewReader(data)), 5000, 5000, nil},
		{"the end with the last bytes", iotest.DataErrReader(bytes.NewReader(data)), len(data), len(data), nil},
		{"nothing", bytes.NewReader(nil), 100, 0, io.EOF},
		{"broken off", io.MultiReader(bytes.NewReader(data[:5000]), &once{err: broken}), 6000, 5000, broken},
		{"cut short", io.MultiReader(bytes.NewReader(data[:50]), &once{err: io.ErrUnexpectedEOF}), 100, 50, io.ErrUnexpectedEOF},
		{"without progress", emptyReader{}, 100, 0, io.ErrNoProgress},
	} {
		got, whole, err := frame.Head(c.r, c.size)
		if !errors.Is(err, c.err) || !bytes.Equal(got, data[:c.want]) {
			t.Errorf("%s: %d bytes, error %v, want %d and %v", c.name, len(got), err, c.want, c.err)
		}
		all, err := io.ReadAll(whole)
		if c.err == nil {
			c.want = len(data)
		}
		if c.err == io.EOF {
			c.err = nil
		}
		if !errors.Is(err, c.err) || !bytes.Equal(all, data[:c.want]) {
			t.Errorf("%s: the whole is %d bytes, error %v, want %d and %v", c.name, len(all), err, c.want, c.err)
		}
	}
}

// emptyReader never has anything.
type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

// once tells an error once, and then that it has come to its end.
type once struct{ err error }

func (o *once) Read([]byte) (int, error) {
	err := o.err
	o.err = io.EOF
	return 0, err
}
