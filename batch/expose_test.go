package batch

import "context"

// NewPace returns what rests as sealing does, given how many events were taken in.
func NewPace(ctx context.Context, taken func() int64) (rest func()) {
	return (&pace{ctx: ctx, taken: taken, seen: taken()}).rest
}
