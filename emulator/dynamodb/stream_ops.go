package dynamodb

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

const (
	streamsPrefix = "DynamoDBStreams_20120810."
	// shardID is the one shard that each stream has. It is never closed.
	shardID      = "shardId-00000000000000000001-00000001"
	iteratorLife = 15 * time.Minute
)

// streamOperations lists the API of DynamoDB Streams that is served.
func streamOperations(name string) (operation, bool) {
	switch name {
	case "ListStreams":
		return operation{"TableName ExclusiveStartStreamArn Limit", serve((*DB).listStreams), false}, true
	case "DescribeStream":
		return operation{"StreamArn ExclusiveStartShardId Limit", serve((*DB).describeStream), false}, true
	case "GetShardIterator":
		return operation{"StreamArn ShardId ShardIteratorType SequenceNumber", serve((*DB).getShardIterator), false}, true
	case "GetRecords":
		return operation{"ShardIterator Limit", serve((*DB).getRecords), false}, true
	}
	return operation{}, false
}

func (db *DB) streamARN(t *table) string { return db.arn(t) + "/stream/" + t.Stream.Label }

// tableOf finds the table of a stream.
func (db *DB) tableOf(arn *string) (*table, error) {
	if arn == nil {
		return nil, invalid("Value null at 'streamArn' failed to satisfy constraint: Member must not be null")
	}
	for _, t := range db.tables {
		if t.Stream != nil && db.streamARN(t) == *arn {
			return t, nil
		}
	}
	return nil, &Error{Type: "ResourceNotFoundException", Message: "Requested resource not found: Stream: " + *arn + " not found"}
}

type listStreamsInput struct {
	TableName, ExclusiveStartStreamArn *string
	Limit                              *int
}

type streamName struct{ StreamArn, TableName, StreamLabel string }

type listStreamsOutput struct {
	Streams                []streamName
	LastEvaluatedStreamArn string `json:",omitempty"`
}

func (db *DB) listStreams(in *listStreamsInput) (*listStreamsOutput, error) {
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	if limit < 1 || limit > 100 {
		return nil, invalid("Value '%d' at 'limit' failed to satisfy constraint: Member must have value between 1 and 100", limit)
	}
	out := &listStreamsOutput{Streams: []streamName{}}
	for _, name := range slices.Sorted(maps.Keys(db.tables)) {
		t := db.tables[name]
		if t.Stream == nil || in.TableName != nil && *in.TableName != name {
			continue
		}
		arn := db.streamARN(t)
		if in.ExclusiveStartStreamArn != nil && arn <= *in.ExclusiveStartStreamArn {
			continue
		}
		if len(out.Streams) == limit {
			out.LastEvaluatedStreamArn = out.Streams[limit-1].StreamArn
			break
		}
		out.Streams = append(out.Streams, streamName{arn, name, t.Stream.Label})
	}
	return out, nil
}

type describeStreamInput struct {
	StreamArn             *string
	ExclusiveStartShardId *string
	Limit                 *int
}

type (
	describeStreamOutput struct{ StreamDescription streamDescription }
	streamDescription    struct {
		StreamArn, StreamLabel, StreamStatus, StreamViewType, TableName string

		CreationRequestDateTime float64
		KeySchema               []keySchemaElement
		Shards                  []shard
	}
	shard struct {
		ShardId             string
		SequenceNumberRange sequenceRange
	}
	sequenceRange struct{ StartingSequenceNumber string }
)

func (db *DB) describeStream(in *describeStreamInput) (*describeStreamOutput, error) {
	t, err := db.tableOf(in.StreamArn)
	if err != nil {
		return nil, err
	}
	d := streamDescription{StreamArn: *in.StreamArn, StreamLabel: t.Stream.Label, StreamStatus: "ENABLED", StreamViewType: t.Stream.ViewType, TableName: t.Name,
		CreationRequestDateTime: float64(t.Created.UnixMilli()) / 1000, KeySchema: t.Keys.elements(), Shards: []shard{}}
	if in.ExclusiveStartShardId == nil {
		d.Shards = append(d.Shards, shard{shardID, sequenceRange{sequenceNumber(1)}})
	}
	return &describeStreamOutput{d}, nil
}

type getShardIteratorInput struct {
	StreamArn, ShardId, SequenceNumber *string
	ShardIteratorType                  string
}

type getShardIteratorOutput struct{ ShardIterator string }

func (db *DB) getShardIterator(in *getShardIteratorInput) (*getShardIteratorOutput, error) {
	t, err := db.tableOf(in.StreamArn)
	if err != nil {
		return nil, err
	}
	if in.ShardId == nil || *in.ShardId != shardID {
		return nil, &Error{Type: "ResourceNotFoundException", Message: "Requested resource not found: Shard does not exist"}
	}
	var next uint64 // the number of the first record to be read
	err = db.view(func(tx *bbolt.Tx) error {
		next, err = t.open(tx).position(in.ShardIteratorType, in.SequenceNumber)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &getShardIteratorOutput{db.iterator(t, next)}, nil
}

// position is the number of the record at which an iterator of a kind begins.
func (s store) position(kind string, sequence *string) (uint64, error) {
	oldest, last := s.stream.Sequence()+1, s.stream.Sequence()
	if key, _ := s.stream.Cursor().First(); key != nil {
		oldest = recordNumber(key)
	}
	switch kind {
	case "TRIM_HORIZON":
		return oldest, nil
	case "LATEST":
		return last + 1, nil
	case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
	default:
		return 0, checkEnum("shardIteratorType", &kind, "TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER")
	}
	if sequence == nil {
		return 0, invalid("Missing parameter value: SequenceNumber is required for shard iterator type %s", kind)
	}
	digits, found := strings.CutPrefix(*sequence, "1")
	at, err := strconv.ParseUint(digits, 10, 64)
	if !found || err != nil || sequenceNumber(at) != *sequence || at > last {
		return 0, invalid("Invalid SequenceNumber: %s", *sequence)
	}
	if kind == "AFTER_SEQUENCE_NUMBER" {
		at++
	}
	if at < oldest {
		return 0, &Error{Type: "TrimmedDataAccessException", Message: "The operation attempted to read past the oldest stream record in a shard"}
	}
	return at, nil
}

// iterator is what the wire calls a shard iterator: the stream, the next record's number,
// and the time at which it was made.
func (db *DB) iterator(t *table, next uint64) string {
	parts := []string{db.streamARN(t), strconv.FormatUint(next, 10), strconv.FormatInt(db.opts.Now().Unix(), 10)}
	return base64.StdEncoding.EncodeToString([]byte(strings.Join(parts, "|")))
}

func (db *DB) readIterator(iterator *string) (t *table, next uint64, err error) {
	wrong := invalid("Invalid ShardIterator.")
	if iterator == nil {
		return nil, 0, wrong
	}
	text, err := base64.StdEncoding.DecodeString(*iterator)
	parts := strings.Split(string(text), "|")
	if err != nil || len(parts) != 3 {
		return nil, 0, wrong
	}
	next, err = strconv.ParseUint(parts[1], 10, 64)
	made, err2 := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || err2 != nil {
		return nil, 0, wrong
	}
	if db.opts.Now().Sub(time.Unix(made, 0)) > iteratorLife {
		return nil, 0, &Error{Type: "ExpiredIteratorException", Message: "Iterator expired. The iterator was created more than 15 minutes ago."}
	}
	t, err = db.tableOf(&parts[0])
	return t, next, err
}

type getRecordsInput struct {
	ShardIterator *string
	Limit         *int
}

type getRecordsOutput struct {
	Records           []json.RawMessage
	NextShardIterator string
}

func (db *DB) getRecords(in *getRecordsInput) (*getRecordsOutput, error) {
	limit := maxRecords
	if in.Limit != nil {
		limit = *in.Limit
	}
	if limit < 1 || limit > maxRecords {
		return nil, invalid("Value '%d' at 'limit' failed to satisfy constraint: Member must have value between 1 and 1000", limit)
	}
	t, next, err := db.readIterator(in.ShardIterator)
	if err != nil {
		return nil, err
	}
	out := &getRecordsOutput{Records: []json.RawMessage{}}
	err = db.view(func(tx *bbolt.Tx) error {
		size, now := 0, db.opts.Now()
		cursor := t.open(tx).stream.Cursor()
		for key, value := cursor.Seek(streamKey(next)); key != nil && len(out.Records) < limit; key, value = cursor.Next() {
			if size += len(value); size > maxRecordBytes && len(out.Records) > 0 {
				break
			}
			next = recordNumber(key) + 1
			if now.Sub(recordTime(value)) < streamLife {
				out.Records = append(out.Records, bytes.Clone(value[8:]))
			}
		}
		return nil
	})
	out.NextShardIterator = db.iterator(t, next)
	return out, err
}
