package bridge

import "syscall"

// diesWithParent makes the kernel kill the child when its parent dies, even by SIGKILL. Otherwise
// the child would keep its ports.
func diesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
