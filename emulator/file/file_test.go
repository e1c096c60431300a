package file_test

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/krosai/telephony/emulator/file"
)

var bucket = []byte("b")

func open(t testing.TB, path string) *file.File {
	t.Helper()
	f, err := file.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // a second time after a test that closes it
	return f
}

func put(key uint32) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		return b.Put(binary.BigEndian.AppendUint32(nil, key), []byte("x"))
	}
}

// state is how many keys are there, and the number of the last transaction.
func state(t *testing.T, f *file.File) (keys, transaction int) {
	t.Helper()
	err := f.View(func(tx *bbolt.Tx) error {
		transaction = tx.ID()
		if b := tx.Bucket(bucket); b != nil {
			keys = b.Stats().KeyN
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys, transaction
}

// held runs writes that all come while another one is being written.
func held(t *testing.T, f *file.File, writes []func(*bbolt.Tx) error) []error {
	t.Helper()
	begun, goOn := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		err := f.Update(func(*bbolt.Tx) error {
			close(begun)
			<-goOn
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-begun
	errs := make([]error, len(writes))
	for i, write := range writes {
		all.Go(func() { errs[i] = f.Update(write) })
	}
	for file.Waiting(f) < len(writes) {
	}
	close(goOn)
	all.Wait()
	return errs
}

// TestSharedWait: writes that come while the disk is busy are one transaction, on disk
// when they are answered.
func TestSharedWait(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	f := open(t, path)
	var writes []func(*bbolt.Tx) error
	for key := range uint32(100) {
		writes = append(writes, put(key))
	}
	_, before := state(t, f)
	for i, err := range held(t, f, writes) {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if _, after := state(t, f); after-before != 2 {
		t.Errorf("%d transactions, want 2", after-before)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if keys, _ := state(t, open(t, path)); keys != 100 {
		t.Errorf("%d keys after opening it again", keys)
	}
}

// TestOneFails: a write that fails leaves nothing, and the others are kept.
func TestOneFails(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", filepath.Join(t.TempDir(), "db")} {
		f, full := open(t, path), errors.New("full")
		failing := func(tx *bbolt.Tx) error { return errors.Join(put(7)(tx), full) }
		if path == "" {
			if err := errors.Join(f.Update(put(1)), f.Update(put(2))); err != nil {
				t.Error(err)
			}
			if err := f.Update(failing); !errors.Is(err, full) {
				t.Error(err)
			}
		} else if errs := held(t, f, []func(*bbolt.Tx) error{put(1), failing, put(2)}); errs[0] != nil || !errors.Is(errs[1], full) || errs[2] != nil {
			t.Error(errs)
		}
		if keys, _ := state(t, f); keys != 2 {
			t.Errorf("%d keys, want 2", keys)
		}
	}
}

// TestPanic: a write that panics takes nobody else's answer with it.
func TestPanic(t *testing.T) {
	t.Parallel()
	f := open(t, filepath.Join(t.TempDir(), "db"))
	panics := func(*bbolt.Tx) error { panic("oops") }
	survived := func(tx *bbolt.Tx) (err error) { return put(1)(tx) }
	var caught sync.WaitGroup
	caught.Go(func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is lost")
			}
		}()
		_ = f.Update(panics)
	})
	caught.Wait()
	if err := f.Update(survived); err != nil {
		t.Error(err)
	}
	if keys, _ := state(t, f); keys != 1 {
		t.Errorf("%d keys, want 1", keys)
	}
}

// BenchmarkUpdate is 64 writers of one file, by the package and with a transaction each.
func BenchmarkUpdate(b *testing.B) {
	alone, err := bbolt.Open(filepath.Join(b.TempDir(), "db"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = alone.Close() })
	for name, update := range map[string]func(func(*bbolt.Tx) error) error{"shared": open(b, filepath.Join(b.TempDir(), "db")).Update, "alone": alone.Update} {
		b.Run(name, func(b *testing.B) {
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for key := uint32(0); pb.Next(); key++ {
					if err := update(put(key)); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
