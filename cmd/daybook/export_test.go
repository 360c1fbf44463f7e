package main

// Main is the command, for tests that run it as a program.
func Main() { main() }

// Effective is what is told of a configuration.
var Effective = effective
