//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// signalReload has SIGHUP ask for the configuration to be read again.
func signalReload(c chan<- os.Signal) { signal.Notify(c, syscall.SIGHUP) }
