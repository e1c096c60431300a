package sqs

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/krosai/telephony/emulator/file"
	"github.com/krosai/telephony/emulator/inprocess"
)

// Options adjusts a service. The zero value is usable.
type Options struct {
	// Now tells the time; time.Now if nil. Long polls wait with timers of package time.
	Now func() time.Time
	// Region and AccountID appear in ARNs and URLs; "us-east-1" and "000000000000" if empty.
	Region, AccountID string
	// Hook, if set, is called before every operation with the name of its queue. An *Error
	// it returns is the answer; any other error is answered as InternalFailure (status
	// 500). Nothing is then done.
	Hook func(op, queue string) error
}

// Service is one SQS endpoint: an account's queues in one region. Its methods may be
// called by any number of goroutines.
type Service struct {
	file   *file.File
	opts   Options
	closed context.Context
	close  context.CancelFunc

	mu      sync.Mutex
	changed map[string]chan struct{} // by queue: closed when messages become due earlier
}

// Open opens or creates the file at path. Every write answered is on disk. With path ""
// the service is empty at first and gone after Close. Open waits at most a second for
// another process that holds the file.
func Open(path string, opts Options) (*Service, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Region == "" {
		opts.Region = "us-east-1"
	}
	if opts.AccountID == "" {
		opts.AccountID = "000000000000"
	}
	s := &Service{opts: opts, changed: map[string]chan struct{}{}}
	s.closed, s.close = context.WithCancel(context.Background())
	var err error
	if s.file, err = file.Open(path); err != nil {
		return nil, err
	}
	if err := s.file.Update(prepare); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends long polls, waits for running operations and closes the file.
func (s *Service) Close() error {
	s.close()
	return s.file.Close()
}

// Client returns an HTTP client whose requests, whatever their address, are answered by s
// without a socket.
func (s *Service) Client() *http.Client { return inprocess.Client(s) }

// ARN is the ARN of the queue of that name.
func (s *Service) ARN(queue string) string {
	return "arn:aws:sqs:" + s.opts.Region + ":" + s.opts.AccountID + ":" + queue
}

// update runs do in a write transaction. do may run more than once. It must not have
// written anything when it returns an *Error; after any other error what it wrote is
// undone.
func (s *Service) update(do func(tx *bbolt.Tx) error) error {
	var refused *Error
	err := s.file.Update(func(tx *bbolt.Tx) error {
		refused = nil
		err := do(tx)
		if errors.As(err, &refused) {
			return nil // lets the other writes of the transaction go on
		}
		return err
	})
	if err == nil && refused != nil {
		return refused
	}
	return err
}

// change returns a channel that is closed when messages of the queue become due earlier
// than before.
func (s *Service) change(queue string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed[queue] == nil {
		s.changed[queue] = make(chan struct{})
	}
	return s.changed[queue]
}

// wake ends what waits for a change of the queue.
func (s *Service) wake(queue string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if waiting := s.changed[queue]; waiting != nil {
		close(waiting)
		delete(s.changed, queue)
	}
}
