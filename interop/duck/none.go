//go:build !cgo

// Package duck reads files with DuckDB. It needs cgo: where Go was built without, Open says so.
package duck

import "errors"

// ErrUnavailable says that DuckDB is not built in.
var ErrUnavailable = errors.New("DuckDB needs cgo and a C compiler")

// DB is a DuckDB database in memory.
type DB struct{}

// Open returns ErrUnavailable.
func Open() (*DB, error) { return nil, ErrUnavailable }

// Close does nothing.
func (*DB) Close() error { return nil }

// Exec returns ErrUnavailable.
func (*DB) Exec(string) error { return ErrUnavailable }

// AtOnce returns ErrUnavailable.
func (*DB) AtOnce(...string) error { return ErrUnavailable }

// Query returns ErrUnavailable.
func (*DB) Query(string) ([]string, [][]*string, error) { return nil, nil, ErrUnavailable }
