package control

import "time"

// OpenWith is Open; before is called ahead of each operation on the file system, and its error is taken for that operation's.
func OpenWith(dir string, o *Options, before func(op string) error) (*Control, error) {
	return open(dir, o, before)
}

// LapseAfter is how long a request waits for its approval.
const LapseAfter time.Duration = lapseAfter
