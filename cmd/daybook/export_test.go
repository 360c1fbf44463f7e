package main

// Main is the command, for tests that run it as a program.
func Main() { main() }

// Effective is what is told of a configuration, and Run is the command without a process.
var (
	Effective = effective
	Run       = run
)
