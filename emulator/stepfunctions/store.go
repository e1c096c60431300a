package stepfunctions

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/krosai/telephony/emulator/file"
)

// A store keeps machines, definitions, executions, histories and the owners of
// task tokens: in a bbolt file, or in memory when it has none.
type store struct {
	file *file.File

	mu      sync.RWMutex // guards what follows, used when file is nil
	history map[string][]json.RawMessage
	owners  map[string]string
}

// A write is one transition: everything in it is stored, or nothing.
type write struct {
	arn    string
	record []byte            // the execution
	first  int64             // the id of events[0]
	events []json.RawMessage // as GetExecutionHistory shows them
	tokens []string          // task tokens this execution now owns

	machine, definition *entry
}

// An entry is a key and its value.
type entry struct {
	key   string
	value []byte
}

const (
	executionsBucket  = "executions"
	historyBucket     = "history"
	tokensBucket      = "tokens"
	machinesBucket    = "machines"
	definitionsBucket = "definitions"
)

func openStore(path string) (*store, error) {
	if path == "" {
		return &store{history: map[string][]json.RawMessage{}, owners: map[string]string{}}, nil
	}
	f, err := file.Open(path)
	if err != nil {
		return nil, err
	}
	err = f.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{executionsBucket, historyBucket, tokensBucket, machinesBucket, definitionsBucket} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("prepare %s: %w", path, err)
	}
	return &store{file: f}, nil
}

func (s *store) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// save stores w durably before it returns.
func (s *store) save(w *write) error {
	if s.file == nil {
		return s.remember(w)
	}
	return s.file.Update(w.put)
}

func (w *write) put(tx *bbolt.Tx) error {
	for name, e := range map[string]*entry{machinesBucket: w.machine, definitionsBucket: w.definition} {
		if e == nil {
			continue
		}
		if err := tx.Bucket([]byte(name)).Put([]byte(e.key), e.value); err != nil {
			return err
		}
	}
	if w.arn == "" {
		return nil
	}
	if err := tx.Bucket([]byte(executionsBucket)).Put([]byte(w.arn), w.record); err != nil {
		return err
	}
	for _, token := range w.tokens {
		if err := tx.Bucket([]byte(tokensBucket)).Put([]byte(token), []byte(w.arn)); err != nil {
			return err
		}
	}
	events, err := tx.Bucket([]byte(historyBucket)).CreateBucketIfNotExists([]byte(w.arn))
	if err != nil {
		return err
	}
	for i, event := range w.events {
		if err := events.Put(eventKey(w.first+int64(i)), event); err != nil {
			return err
		}
	}
	return nil
}

func eventKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

func (s *store) remember(w *write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.arn != "" {
		s.history[w.arn] = append(s.history[w.arn], w.events...)
	}
	for _, token := range w.tokens {
		s.owners[token] = w.arn
	}
	return nil
}

// all calls yield with every key and value of a bucket; the value must not be
// kept. Without a file there is nothing from before.
func (s *store) all(bucket string, yield func(key string, value []byte) error) error {
	if s.file == nil {
		return nil
	}
	return s.file.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(k, v []byte) error { return yield(string(k), v) })
	})
}

// owner returns the execution that a task token was made for, "" if no token
// like that was ever made.
func (s *store) owner(token string) (arn string, err error) {
	if s.file == nil {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.owners[token], nil
	}
	err = s.file.View(func(tx *bbolt.Tx) error {
		arn = string(tx.Bucket([]byte(tokensBucket)).Get([]byte(token)))
		return nil
	})
	return arn, err
}

// events returns up to n events of an execution, from the one with id first on,
// upwards or, in reverse, downwards.
func (s *store) events(arn string, first int64, n int, reverse bool) (list []json.RawMessage, err error) {
	step := int64(1)
	if reverse {
		step = -1
	}
	if s.file == nil {
		s.mu.RLock()
		defer s.mu.RUnlock()
		for id := first; id >= 1 && id <= int64(len(s.history[arn])) && len(list) < n; id += step {
			list = append(list, s.history[arn][id-1])
		}
		return list, nil
	}
	err = s.file.View(func(tx *bbolt.Tx) error {
		events := tx.Bucket([]byte(historyBucket)).Bucket([]byte(arn))
		for id := first; events != nil && id >= 1 && len(list) < n; id += step {
			event := events.Get(eventKey(id))
			if event == nil {
				break
			}
			list = append(list, slices.Clone(event))
		}
		return nil
	})
	return list, err
}
