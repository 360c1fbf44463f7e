package soak_test

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel end the process when the test ends, be it by a time-out or by a kill, which run no clean-up.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
