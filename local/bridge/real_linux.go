package bridge

import "syscall"

// diesWithParent has a child killed when its parent dies, even of a SIGKILL: it would keep its ports.
func diesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
