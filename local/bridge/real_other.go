//go:build !linux

package bridge

import "syscall"

// diesWithParent does nothing: only Linux can kill the child when its parent is killed.
func diesWithParent() *syscall.SysProcAttr { return nil }
