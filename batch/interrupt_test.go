package batch_test

import (
	"context"
	"strings"
	"sync"

	"daybook/sink"
	"daybook/sink/sinktest"
)

// interrupt does something once, before the first Put of a key that contains on.
type interrupt struct {
	*sinktest.Memory
	on   string
	do   func()
	once sync.Once
}

func (s *interrupt) Put(ctx context.Context, o sink.Object) (sink.Info, error) {
	if strings.Contains(o.Key, s.on) {
		s.once.Do(s.do)
	}
	return s.Memory.Put(ctx, o)
}
