package dynamodb

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"
)

// Limits of DynamoDB Streams (API Reference, GetRecords and GetShardIterator).
const (
	streamLife     = 24 * time.Hour
	maxRecords     = 1000
	maxRecordBytes = 1 << 20
)

// streamBucket holds the records of a table's stream beside its items: the number of the
// record -> the second it was written in, then the record as the wire carries it.
var streamBucket = []byte("stream")

// streamDefinition is a table's stream.
type streamDefinition struct {
	ViewType string
	Label    string // tells apart the streams that tables of the same name had
}

type streamSpecification struct {
	StreamEnabled  bool
	StreamViewType string `json:",omitempty"`
}

// define returns the stream that a new table is to have, nil if none.
func (s *streamSpecification) define(now time.Time) (*streamDefinition, error) {
	switch {
	case s == nil || !s.StreamEnabled && s.StreamViewType == "":
		return nil, nil
	case !s.StreamEnabled:
		return nil, invalid("One or more parameter values were invalid: StreamViewType cannot be specified when StreamEnabled is false")
	case s.StreamViewType == "OLD_IMAGE":
		return nil, unsupported("StreamViewType OLD_IMAGE")
	}
	if err := checkEnum("streamSpecification.streamViewType", &s.StreamViewType, "OLD_IMAGE", "NEW_IMAGE", "KEYS_ONLY", "NEW_AND_OLD_IMAGES"); err != nil {
		return nil, err
	}
	return &streamDefinition{s.StreamViewType, now.UTC().Format("2006-01-02T15:04:05.000")}, nil
}

// feed writes the stream of one table. Definitions of the table share it.
type feed struct {
	db *DB

	mu      sync.Mutex
	written chan struct{} // closed when records were written; nil while nobody waits
}

// Written returns a channel that is closed once records are written to the stream of the
// table after this call, so that a reader in this process need not poll. It is nil, which
// blocks for ever, where the table has no stream.
func (db *DB) Written(table string) <-chan struct{} {
	db.mu.RLock()
	defer db.mu.RUnlock()
	t := db.tables[table]
	if t == nil || t.Stream == nil {
		return nil
	}
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	if t.feed.written == nil {
		t.feed.written = make(chan struct{})
	}
	return t.feed.written
}

func (f *feed) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.written != nil {
		close(f.written)
		f.written = nil
	}
}

type (
	streamRecord struct {
		EventID      string          `json:"eventID"`
		EventName    string          `json:"eventName"`
		EventVersion string          `json:"eventVersion"`
		EventSource  string          `json:"eventSource"`
		AwsRegion    string          `json:"awsRegion"`
		Dynamodb     streamChange    `json:"dynamodb"`
		UserIdentity *streamIdentity `json:"userIdentity,omitempty"`
	}
	streamChange struct {
		ApproximateCreationDateTime int64
		Keys                        item
		NewImage                    item `json:",omitempty"`
		OldImage                    item `json:",omitempty"`
		SequenceNumber              string
		SizeBytes                   int
		StreamViewType              string
	}
	streamIdentity struct{ PrincipalId, Type string }
)

// record appends the change of an item to the table's stream, in the transaction of the
// change. A write that changes nothing leaves no record.
func (s store) record(old, updated item) error {
	if s.t.Stream == nil || maps.EqualFunc(old, updated, value.equal) {
		return nil
	}
	number, err := s.stream.NextSequence()
	if err != nil {
		return err
	}
	now := s.t.feed.db.opts.Now()
	id := sha256.Sum256([]byte(s.t.feed.db.streamARN(s.t) + sequenceNumber(number)))
	r := streamRecord{EventID: hex.EncodeToString(id[:16]), EventName: "MODIFY", EventVersion: "1.1", EventSource: "aws:dynamodb", AwsRegion: s.t.feed.db.opts.Region,
		Dynamodb: streamChange{ApproximateCreationDateTime: now.Unix(), Keys: item{}, SequenceNumber: sequenceNumber(number), StreamViewType: s.t.Stream.ViewType}}
	known := updated
	switch {
	case old == nil:
		r.EventName = "INSERT"
	case updated == nil:
		r.EventName, known = "REMOVE", old
		if s.expiring {
			r.UserIdentity = &streamIdentity{"dynamodb.amazonaws.com", "Service"}
		}
	}
	for _, key := range s.t.Keys.attributes() {
		r.Dynamodb.Keys[key.Name] = known[key.Name]
	}
	if s.t.Stream.ViewType != "KEYS_ONLY" {
		r.Dynamodb.NewImage = updated
	}
	if s.t.Stream.ViewType == "NEW_AND_OLD_IMAGES" {
		r.Dynamodb.OldImage = old
	}
	r.Dynamodb.SizeBytes = r.Dynamodb.Keys.size() + r.Dynamodb.NewImage.size() + r.Dynamodb.OldImage.size()
	encoded, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := s.trim(now); err != nil {
		return err
	}
	s.stream.Tx().OnCommit(s.t.feed.wake)
	return s.stream.Put(streamKey(number), append(streamKey(uint64(now.Unix())), encoded...))
}

// trim deletes records that are no longer kept: a few, so that no write is slow.
func (s store) trim(now time.Time) error {
	const few = 4
	cursor := s.stream.Cursor()
	key, value := cursor.First()
	for range few {
		if key == nil || now.Sub(recordTime(value)) < streamLife {
			return nil
		}
		if err := cursor.Delete(); err != nil {
			return err
		}
		key, value = cursor.First()
	}
	return nil
}

func recordTime(value []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(value)), 0)
}

// recordNumber is the number in the key of a record.
func recordNumber(key []byte) uint64 { return binary.BigEndian.Uint64(key) }

func streamKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// sequenceNumber is a record's number as the wire has it: at least 21 digits.
func sequenceNumber(number uint64) string { return fmt.Sprintf("1%020d", number) }
