package sqs

import (
	"encoding/binary"
	"encoding/json"
	"time"

	"go.etcd.io/bbolt"
)

// Top-level buckets of the file. Each queue has a bucket of its own in messagesBucket and
// in dueBucket.
var (
	queuesBucket   = []byte("queues")   // queue name -> definition
	messagesBucket = []byte("messages") // message id -> message
	dueBucket      = []byte("due")      // time of becoming visible, number -> entry
)

func prepare(tx *bbolt.Tx) error {
	for _, name := range [][]byte{queuesBucket, messagesBucket, dueBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	return nil
}

// find returns the queue of that name.
func find(tx *bbolt.Tx, name string) (queue, error) {
	var q queue
	definition := tx.Bucket(queuesBucket).Get([]byte(name))
	if definition == nil {
		return q, noQueue()
	}
	return q, json.Unmarshal(definition, &q)
}

func (q queue) save(tx *bbolt.Tx) error {
	definition, err := json.Marshal(q)
	if err != nil {
		return err
	}
	return tx.Bucket(queuesBucket).Put([]byte(q.Name), definition)
}

func (q queue) create(tx *bbolt.Tx) error {
	for _, parent := range [][]byte{messagesBucket, dueBucket} {
		if _, err := tx.Bucket(parent).CreateBucket([]byte(q.Name)); err != nil {
			return err
		}
	}
	return q.save(tx)
}

// empty deletes all messages.
func (q queue) empty(tx *bbolt.Tx) error {
	for _, parent := range [][]byte{messagesBucket, dueBucket} {
		if err := tx.Bucket(parent).DeleteBucket([]byte(q.Name)); err != nil {
			return err
		}
	}
	return q.create(tx)
}

// message is a message as it is stored.
type message struct {
	ID, Body      string
	Sent          time.Time
	FirstReceived time.Time
	Received      time.Time // the last time
	Receives      int
	Receipt       string // of the last receive; "" before the first
	Source        string // ARN of the queue from which it was moved to a dead-letter queue
	Due           []byte // its key in dueBucket
}

// contents are a queue's messages within one transaction.
type contents struct {
	q             queue
	messages, due *bbolt.Bucket
}

func (q queue) open(tx *bbolt.Tx) contents {
	name := []byte(q.Name)
	return contents{q, tx.Bucket(messagesBucket).Bucket(name), tx.Bucket(dueBucket).Bucket(name)}
}

// get returns the message with an id, or false.
func (c contents) get(id string) (message, bool, error) {
	var m message
	stored := c.messages.Get([]byte(id))
	if stored == nil {
		return m, false, nil
	}
	return m, true, json.Unmarshal(stored, &m)
}

// put stores a message that becomes visible at due.
func (c contents) put(m message, due time.Time) error {
	if m.Due != nil {
		if err := c.due.Delete(m.Due); err != nil {
			return err
		}
	}
	number, err := c.due.NextSequence()
	if err != nil {
		return err
	}
	m.Due = binary.BigEndian.AppendUint64(dueKey(due), number)
	stored, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := c.messages.Put([]byte(m.ID), stored); err != nil {
		return err
	}
	return c.due.Put(m.Due, entry{received: m.Receipt != "", sent: m.Sent, id: m.ID}.encode())
}

func (c contents) delete(m message) error {
	if err := c.due.Delete(m.Due); err != nil {
		return err
	}
	return c.messages.Delete([]byte(m.ID))
}

// dueKey begins the keys of dueBucket at a time; they sort by it.
func dueKey(at time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano())) }

func dueTime(key []byte) time.Time { return time.Unix(0, int64(binary.BigEndian.Uint64(key))) }

// entry is what dueBucket says of a message, so that counting reads no bodies.
type entry struct {
	received bool
	sent     time.Time
	id       string
}

func (e entry) encode() []byte {
	encoded := []byte{0}
	if e.received {
		encoded[0] = 1
	}
	return append(binary.BigEndian.AppendUint64(encoded, uint64(e.sent.UnixNano())), e.id...)
}

func decodeEntry(encoded []byte) entry {
	return entry{encoded[0] == 1, time.Unix(0, int64(binary.BigEndian.Uint64(encoded[1:9]))), string(encoded[9:])}
}

// expired says whether a message sent at that time is no longer kept.
func (c contents) expired(sent, now time.Time) bool {
	return now.Sub(sent) >= c.q.seconds("MessageRetentionPeriod")
}

// count returns how many messages can be received, are in flight, and are delayed.
func (c contents) count(now time.Time) (visible, inFlight, delayed int) {
	cursor := c.due.Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
		switch e := decodeEntry(value); {
		case c.expired(e.sent, now):
		case !dueTime(key).After(now):
			visible++
		case e.received:
			inFlight++
		default:
			delayed++
		}
	}
	return visible, inFlight, delayed
}
