// Command litewitness makes the database that Torchwood's litewitness finds its logs in. It is the part of Torchwood's witnessctl that a test needs; witnessctl itself
// is built with more libraries than that.
//
//	litewitness DATABASE ORIGIN VERIFIER-KEY…
package main

import (
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/tlog"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: litewitness DATABASE ORIGIN VERIFIER-KEY…")
		os.Exit(2)
	}
	if err := add(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func add(path, origin string, keys []string) (err error) {
	db, err := sqlite.OpenConn(path)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := db.Close(); err == nil {
			err = closeErr
		}
	}()
	// The schema is litewitness's.
	if err := sqlitex.ExecuteScript(db, `
		CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL);
		CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL, FOREIGN KEY(origin) REFERENCES log(origin));`, nil); err != nil {
		return err
	}
	empty, err := tlog.TreeHash(0, nil)
	if err != nil {
		return err
	}
	if err := sqlitex.Execute(db, "INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", &sqlitex.ExecOptions{Args: []any{origin, empty.String()}}); err != nil {
		return err
	}
	for _, key := range keys {
		if err := sqlitex.Execute(db, "INSERT INTO key (origin, key) VALUES (?, ?)", &sqlitex.ExecOptions{Args: []any{origin, key}}); err != nil {
			return err
		}
	}
	return nil
}
