//go:build !linux

package soak_test

import "os/exec"

// dieWithParent does nothing where the system offers no such tie.
func dieWithParent(*exec.Cmd) {}
