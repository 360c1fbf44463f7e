package service

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"daybook/sink"
)

// countedStore counts the operations of a store that write, and those that fail. That something is not there, or is there already, is no failure.
type countedStore struct {
	sink.Store
	writes *writes
	count  func(operation string)
}

func (c countedStore) failed(operation string, err error) error {
	if err != nil && !errors.Is(err, sink.ErrNotExist) && !errors.Is(err, context.Canceled) {
		c.count(operation)
	}
	return err
}

// Preflight is a sink.Store's, and so are Put, Head and Get.
func (c countedStore) Preflight(ctx context.Context) error {
	return c.failed("preflight", c.Store.Preflight(ctx))
}

// Put is a sink.Store's.
func (c countedStore) Put(ctx context.Context, o sink.Object) (sink.Info, error) {
	c.writes.operations.Add(1)
	info, err := c.Store.Put(ctx, o)
	return info, c.failed("put", err)
}

// Head is a sink.Store's.
func (c countedStore) Head(ctx context.Context, key, version string) (sink.Info, error) {
	info, err := c.Store.Head(ctx, key, version)
	return info, c.failed("head", err)
}

// Get is a sink.Store's.
func (c countedStore) Get(ctx context.Context, key, version string) (io.ReadCloser, error) {
	body, err := c.Store.Get(ctx, key, version)
	return body, c.failed("get", err)
}

// List is a sink.Lister's; of a store that can't list, sink.ErrUnknown.
func (c countedStore) List(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		lister, ok := c.Store.(sink.Lister)
		if !ok {
			yield(sink.Entry{}, sink.ErrUnknown)
			return
		}
		for e, err := range lister.List(ctx, prefix) {
			if !yield(e, c.failed("list", err)) {
				return
			}
		}
	}
}

// Offset is a sink.Clock's; false of a store that has no clock.
func (c countedStore) Offset() (time.Duration, bool) {
	if clock, ok := c.Store.(sink.Clock); ok {
		return clock.Offset()
	}
	return 0, false
}

// countedLocker is a countedStore that is a sink.Locker.
type countedLocker struct {
	countedStore
	locker sink.Locker
}

// counted counts the operations of a store, and takes from it no power to lock.
func counted(store sink.Store, w *writes, count func(operation string)) sink.Store {
	c := countedStore{store, w, count}
	if locker, ok := store.(sink.Locker); ok {
		return countedLocker{c, locker}
	}
	return c
}

// Lengthen is a sink.Locker's, and so is Hold.
func (c countedLocker) Lengthen(ctx context.Context, key, version string, want sink.Lock) (sink.Info, error) {
	c.writes.operations.Add(1)
	info, err := c.locker.Lengthen(ctx, key, version, want)
	return info, c.failed("lengthen", err)
}

// Hold is a sink.Locker's.
func (c countedLocker) Hold(ctx context.Context, key, version string, on bool) (sink.Info, error) {
	c.writes.operations.Add(1)
	info, err := c.locker.Hold(ctx, key, version, on)
	return info, c.failed("hold", err)
}
