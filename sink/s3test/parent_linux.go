package s3test

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel end the process when the test binary ends, be it by a time-out or by a kill, which run no clean-up.
func dieWithParent(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
