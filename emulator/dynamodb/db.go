package dynamodb

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/krosai/telephony/emulator/file"
)

// Options adjusts a database. The zero value is usable.
type Options struct {
	// Now tells the time, for table creation dates and idempotency tokens; time.Now if nil.
	Now func() time.Time
	// Region and AccountID appear in table ARNs; "us-east-1" and "000000000000" if empty.
	Region, AccountID string
	// Hook, if set, is called before every operation, once for each table named in the
	// request (once with "" if none is). An *Error it returns is the answer; any other
	// error is answered as InternalServerError (status 500). Nothing is then done.
	Hook func(op, table string) error
}

// DB is one DynamoDB endpoint: an account's tables in one region. Its methods may be
// called by any number of goroutines.
type DB struct {
	file *file.File
	opts Options

	mu     sync.RWMutex // guards tables against CreateTable, UpdateTable, DeleteTable
	tables map[string]*table
}

// Top-level buckets of the file. The items of a table are in the bucket itemsBucket
// of its own bucket, the entries of its indexes beside it.
var (
	tablesBucket = []byte("tables") // table name -> definition
	tokensBucket = []byte("tokens") // ClientRequestToken -> what was asked, when
	dataBucket   = []byte("data")   // table name -> bucket of items and index entries
)

// Open opens or creates the database file at path. Every write answered is on disk. With
// path "" the database is empty at first and gone after Close, and its writes do not wait
// for a disk. Open waits at most a second for another process that holds the file.
func Open(path string, opts Options) (*DB, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Region == "" {
		opts.Region = "us-east-1"
	}
	if opts.AccountID == "" {
		opts.AccountID = "000000000000"
	}
	db := &DB{opts: opts, tables: map[string]*table{}}
	var err error
	if db.file, err = file.Open(path); err != nil {
		return nil, err
	}
	if err := db.file.Update(db.load); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (db *DB) load(tx *bbolt.Tx) error {
	for _, name := range [][]byte{tablesBucket, tokensBucket, dataBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return tx.Bucket(tablesBucket).ForEach(func(name, definition []byte) error {
		t, err := decodeTable(definition)
		if err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
		t.feed = &feed{db: db}
		db.tables[t.Name] = t
		return nil
	})
}

// Close waits for running operations and closes the file.
func (db *DB) Close() error { return db.file.Close() }

// update runs do in a write transaction. do may run more than once, so it must set, not
// add to, what outlives it. It must not have written anything when it returns an *Error;
// after any other error what it wrote is undone.
func (db *DB) update(do func(tx *bbolt.Tx) error) error {
	var refused *Error
	err := db.file.Update(func(tx *bbolt.Tx) error {
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

// view runs do on a consistent snapshot.
func (db *DB) view(do func(tx *bbolt.Tx) error) error {
	return db.file.View(do)
}
