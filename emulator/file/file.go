// Package file keeps what an emulator stores in one bbolt file. Writes that come while the
// disk is busy share the next wait for it.
package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// File is an open file. Its methods may be called by any number of goroutines.
type File struct {
	bolt    *bbolt.DB
	scratch string // directory of a file that Close removes

	writing sync.Mutex // held by the goroutine that writes for all that wait
	queue   sync.Mutex // guards waiting
	waiting []*change
}

// A change is one call of Update.
type change struct {
	do   func(*bbolt.Tx) error
	done bool
	err  error
}

// ErrInUse is the error of Open while another process holds the file.
var ErrInUse = errors.New("another process has the file open")

// Open opens or creates the file at path and waits at most a second for another process
// that holds it; then it is ErrInUse. With path "" the file is empty at
// first and gone after Close, and its writes do not wait for a disk.
func Open(path string) (*File, error) {
	f := &File{}
	settings := bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true}
	if path == "" {
		dir, err := os.MkdirTemp("", "emulator-")
		if err != nil {
			return nil, err
		}
		f.scratch, path = dir, filepath.Join(dir, "db")
		settings.NoSync, settings.NoGrowSync = true, true
	}
	var err error
	f.bolt, err = bbolt.Open(path, 0o600, &settings)
	if errors.Is(err, bbolterrors.ErrTimeout) {
		err = ErrInUse
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), f.remove())
	}
	return f, nil
}

// Close waits for running operations and closes the file.
func (f *File) Close() error {
	return errors.Join(f.bolt.Close(), f.remove())
}

func (f *File) remove() error {
	if f.scratch == "" {
		return nil
	}
	return os.RemoveAll(f.scratch)
}

// View runs do on a consistent snapshot.
func (f *File) View(do func(*bbolt.Tx) error) error { return f.bolt.View(do) }

// Update runs do in a write transaction and returns when what it wrote is on disk. If do
// returns an error, nothing that it wrote is kept. It may run more than once, so it must
// set, not add to, what outlives it.
func (f *File) Update(do func(*bbolt.Tx) error) error {
	if f.scratch != "" {
		return f.bolt.Update(do)
	}
	c := &change{do: do}
	f.queue.Lock()
	f.waiting = append(f.waiting, c)
	f.queue.Unlock()

	f.writing.Lock()
	defer f.writing.Unlock()
	if c.done {
		return c.err
	}
	f.queue.Lock()
	batch := f.waiting
	f.waiting = nil
	f.queue.Unlock()
	f.write(batch)
	return c.err
}

// errInterrupted is the error of changes whose transaction ended by a panic of one of them.
var errInterrupted = errors.New("another write of the same transaction panicked")

// write carries out changes in one transaction. If one of them fails, each has a
// transaction of its own.
func (f *File) write(batch []*change) {
	for _, c := range batch {
		c.done, c.err = true, errInterrupted
	}
	err := f.bolt.Update(func(tx *bbolt.Tx) error {
		for _, c := range batch {
			if err := c.do(tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, c := range batch {
		if c.err = nil; err != nil {
			c.err = f.bolt.Update(c.do)
		}
	}
}
