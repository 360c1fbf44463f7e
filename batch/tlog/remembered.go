package tlog

// Remembered returns the newest checkpoint that a log's memory in dir has, as it stands there: it asks no store, and checks no signature. It is the zero
// Head where there is none.
func Remembered(dir string) (Head, error) { return memory{dir}.readHead(headName) }
