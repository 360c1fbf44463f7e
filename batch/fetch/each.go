package fetch

import (
	"context"
	"iter"
)

// task is a file that is being worked on. Its fields are set when done is closed.
type task[T any] struct {
	result T
	err    error // ends all
	done   chan struct{}
}

// each works on files, so many at a time, and takes the results in the files' order until take reports false. begin is called for one file after the other; what it returns is called in a
// goroutine of its own, and none of these outlives the call. An error of one ends all.
func each[T any](ctx context.Context, files iter.Seq2[File, error], workers int, begin func(File) func(context.Context) (T, error), take func(T) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	tasks := make(chan *task[T], 4*workers)
	go func() {
		defer close(tasks)
		free := make(chan struct{}, workers)
		for f, err := range files {
			t := &task[T]{err: err, done: make(chan struct{})}
			if err != nil {
				close(t.done)
				tasks <- t // who takes them goes through all, so that this ends even where all has ended
				return
			}
			work := begin(f)
			select {
			case free <- struct{}{}:
			case <-ctx.Done():
				return
			}
			go func() {
				defer func() { <-free; close(t.done) }()
				t.result, t.err = work(ctx)
			}()
			tasks <- t
		}
	}()
	defer func() {
		cancel()
		for t := range tasks {
			<-t.done
		}
	}()
	for t := range tasks {
		<-t.done
		if t.err != nil {
			return t.err
		}
		if !take(t.result) {
			return nil
		}
	}
	return ctx.Err()
}
