package receiver

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"time"

	"daybook/batch/intake"
)

// errSlow says that a body stopped coming.
var errSlow = errors.New("the body stopped coming")

// body reads a request's body as it is sent: counted, limited, and, where that is asked for, hashed. The connection's read deadline moves on with it.
type body struct {
	r       io.Reader
	conn    *http.ResponseController
	timeout time.Duration
	limit   int64

	n     int64
	sum   hash.Hash // nil: not asked for
	armed time.Time // when the deadline was set; zero: there is none
	err   error     // what ended it; io.EOF at its end
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	b.arm()
	// One byte more than the limit tells a body that is too large from one that just fits.
	if room := b.limit + 1 - b.n; int64(len(p)) > room {
		p = p[:room]
	}
	n, err := b.r.Read(p)
	b.n += int64(n)
	switch {
	case b.n > b.limit:
		n--
		b.n--
		err = fmt.Errorf("the body has more than %d bytes: %w", b.limit, intake.ErrTooLarge)
	case err == io.EOF:
		b.rest()
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("%w for %v", errSlow, b.timeout)
	}
	if b.sum != nil {
		b.sum.Write(p[:n]) // a Hash never returns an error
	}
	b.err = err
	return n, err
}

// arm gives the body its time again. A server that can't is left to its own deadlines.
func (b *body) arm() {
	// Deadlines are the network's, and so by its clock. They need not be exact, and are not for free.
	if now := time.Now(); now.Sub(b.armed) > b.timeout/8 {
		_ = b.conn.SetReadDeadline(now.Add(b.timeout))
		b.armed = now
	}
}

// rest takes the deadline back, while it is us who are waited for.
func (b *body) rest() {
	if !b.armed.IsZero() {
		_ = b.conn.SetReadDeadline(time.Time{})
		b.armed = time.Time{}
	}
}

// whole reads on to the end, and reports whether it came there.
func (b *body) whole() bool {
	_, _ = io.Copy(io.Discard, b) // the error is in b
	return b.err == io.EOF
}

// hashed is the SHA-256 of what was read.
func (b *body) hashed() (sum [sha256.Size]byte) {
	b.sum.Sum(sum[:0])
	return sum
}
