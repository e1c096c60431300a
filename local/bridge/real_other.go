//go:build !linux

package bridge

import "syscall"

// diesWithParent is Linux's alone: elsewhere a child outlives a parent that is killed.
func diesWithParent() *syscall.SysProcAttr { return nil }
