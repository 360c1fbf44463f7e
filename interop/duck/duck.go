//go:build cgo

// Package duck reads files with DuckDB. It needs cgo: where Go was built without, Open says so.
package duck

import (
	"database/sql"
	"errors"
	"fmt"

	_ "github.com/duckdb/duckdb-go/v2" // the driver
	"golang.org/x/sync/errgroup"
)

// ErrUnavailable says that DuckDB is not built in.
var ErrUnavailable = errors.New("DuckDB needs cgo and a C compiler")

// DB is a DuckDB database in memory.
type DB struct{ db *sql.DB }

// Open starts a database.
func Open() (*DB, error) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // settings are those of a connection
	return &DB{db}, nil
}

// Close ends the database.
func (d *DB) Close() error { return d.db.Close() }

// Exec runs a statement.
func (d *DB) Exec(statement string) error {
	if _, err := d.db.Exec(statement); err != nil {
		return fmt.Errorf("%w in %s", err, statement)
	}
	return nil
}

// AtOnce runs statements at the same time, each on a connection of its own: settings must be global and tables no temporary ones.
func (d *DB) AtOnce(statements ...string) error {
	d.db.SetMaxOpenConns(len(statements))
	defer d.db.SetMaxOpenConns(1)
	var g errgroup.Group
	for _, statement := range statements {
		g.Go(func() error { return d.Exec(statement) })
	}
	return g.Wait()
}

// Query returns the names of the columns and the rows, every value as the text that the query made of it, nil for null. The query casts what
// is not a text.
func (d *DB) Query(query string) (names []string, rows [][]*string, err error) {
	result, err := d.db.Query(query)
	if err != nil {
		return nil, nil, fmt.Errorf("%w in %s", err, query)
	}
	defer result.Close()
	if names, err = result.Columns(); err != nil {
		return nil, nil, err
	}
	for result.Next() {
		row := make([]*string, len(names))
		cells := make([]any, len(names))
		for i := range row {
			cells[i] = &row[i]
		}
		if err := result.Scan(cells...); err != nil {
			return nil, nil, err
		}
		rows = append(rows, row)
	}
	return names, rows, result.Err()
}
