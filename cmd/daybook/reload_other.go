//go:build !unix

package main

import "os"

// signalReload does nothing: there is no such signal, and a restart reads the configuration again.
func signalReload(chan<- os.Signal) {}
