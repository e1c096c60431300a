package sqs

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"
)

type receiveMessageInput struct {
	QueueUrl                    *string
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
	MessageSystemAttributeNames []string
	AttributeNames              []string // the older name of MessageSystemAttributeNames
	MessageAttributeNames       []string // messages here have none: they are left out
}

// received is a message as a receiver gets it.
type received struct {
	MessageId     string
	ReceiptHandle string
	MD5OfBody     string
	Body          string
	Attributes    map[string]string `json:",omitempty"`
}

type receiveMessageOutput struct {
	Messages []received `json:",omitempty"`
}

func (in receiveMessageInput) check() error {
	within := func(n *int, least, most int) bool { return n == nil || *n >= least && *n <= most }
	switch {
	case !within(in.MaxNumberOfMessages, 1, maxBatch):
		return outside(*in.MaxNumberOfMessages, "MaxNumberOfMessages", "Must be between 1 and 10, if provided.")
	case !within(in.VisibilityTimeout, 0, maxVisibility):
		return outside(*in.VisibilityTimeout, "VisibilityTimeout", "Must be between 0 and 43200, if provided.")
	case !within(in.WaitTimeSeconds, 0, maxWait):
		return outside(*in.WaitTimeSeconds, "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided.")
	}
	for _, name := range append(in.MessageSystemAttributeNames, in.AttributeNames...) {
		if !slices.Contains(systemAttributes(), name) {
			return refuse("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
	}
	return nil
}

func systemAttributes() []string {
	return []string{"All", "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp",
		"DeadLetterQueueSourceArn", "AWSTraceHeader", "MessageDeduplicationId", "MessageGroupId", "SequenceNumber"}
}

func (s *Service) receiveMessage(r request, in receiveMessageInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	name, err := s.nameOf(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	begun := s.opts.Now()
	for {
		changed := s.change(name)
		got, err := s.take(in)
		if err != nil {
			return nil, err
		}
		until := begun.Add(got.wait)
		if len(got.messages) > 0 || !s.opts.Now().Before(until) {
			return in.show(name, s.opts.AccountID, got.messages), nil
		}
		if !got.next.IsZero() && got.next.Before(until) {
			until = got.next
		}
		if err := s.await(r, changed, until.Sub(s.opts.Now())); err != nil {
			return nil, err
		}
	}
}

// Due returns once a queue has something to receive, or when ctx or the service ends. A reader
// in the process needs no long poll of 20 s after the other.
func (s *Service) Due(ctx context.Context, queue string) error {
	for {
		changed, next := s.change(queue), time.Time{}
		err := s.file.View(func(tx *bbolt.Tx) error {
			q, err := find(tx, queue)
			if err != nil {
				return err
			}
			if key, _ := q.open(tx).due.Cursor().First(); key != nil {
				next = dueTime(key)
			}
			return nil
		})
		if err != nil {
			return err
		}
		now, wait := s.opts.Now(), 365*24*time.Hour // of an empty queue
		if !next.IsZero() {
			wait = next.Sub(now)
		}
		if wait <= 0 {
			return nil
		}
		if err := s.await(request{ctx: ctx}, changed, wait); err != nil {
			return err
		}
	}
}

// await waits for a change of the queue, but no longer than d.
func (s *Service) await(r request, changed <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-s.closed.Done():
		return &Error{Type: "ServiceUnavailable", Message: "the emulator is closed", Status: 503}
	}
	return nil
}

// taken is the outcome of one look into a queue.
type taken struct {
	messages []message
	wait     time.Duration // how long the receive waits for the first message
	next     time.Time     // when the next message becomes visible; zero if none is there
}

// take makes the messages that are due invisible and returns them. It moves what was
// received too often to the dead-letter queue and deletes what is no longer kept.
func (s *Service) take(in receiveMessageInput) (taken, error) {
	var got taken
	var moved string
	err := s.onQueue(in.QueueUrl, func(tx *bbolt.Tx, q queue) error {
		got, moved = taken{wait: q.seconds("ReceiveMessageWaitTimeSeconds")}, ""
		if in.WaitTimeSeconds != nil {
			got.wait = time.Duration(*in.WaitTimeSeconds) * time.Second
		}
		most := 1
		if in.MaxNumberOfMessages != nil {
			most = *in.MaxNumberOfMessages
		}
		c, now := q.open(tx), s.opts.Now()
		due, err := c.dueAt(now, most)
		if err != nil {
			return err
		}
		if moved, err = s.bury(tx, c, due.dead); err != nil {
			return err
		}
		for _, m := range due.expired {
			if err := c.delete(m); err != nil {
				return err
			}
		}
		visibility := q.seconds("VisibilityTimeout")
		if in.VisibilityTimeout != nil {
			visibility = time.Duration(*in.VisibilityTimeout) * time.Second
		}
		for _, m := range due.live {
			m.receive(now)
			if err := c.put(m, now.Add(visibility)); err != nil {
				return err
			}
			got.messages = append(got.messages, m)
		}
		if key, _ := c.due.Cursor().First(); key != nil {
			got.next = dueTime(key)
		}
		return nil
	})
	if moved != "" {
		s.wake(moved)
	}
	return got, err
}

func (m *message) receive(now time.Time) {
	m.Receives, m.Receipt, m.Received = m.Receives+1, uuid.NewString(), now
	if m.FirstReceived.IsZero() {
		m.FirstReceived = now
	}
}

// dueMessages are those whose time has come.
type dueMessages struct{ live, dead, expired []message }

// dueAt returns what is due at now: at most that many messages to receive, and what was
// received too often or is no longer kept on the way to them.
func (c contents) dueAt(now time.Time, most int) (dueMessages, error) {
	var found dueMessages
	deadLetter, limit := c.q.deadLetter()
	cursor := c.due.Cursor()
	for key, value := cursor.First(); key != nil && !dueTime(key).After(now) && len(found.live) < most; key, value = cursor.Next() {
		m, _, err := c.get(decodeEntry(value).id)
		switch {
		case err != nil:
			return found, err
		case c.expired(m.Sent, now):
			found.expired = append(found.expired, m)
		case deadLetter != "" && m.Receives >= limit:
			found.dead = append(found.dead, m)
		default:
			found.live = append(found.live, m)
		}
	}
	return found, nil
}

// bury moves messages to the dead-letter queue and returns its name, "" if nothing moved.
func (s *Service) bury(tx *bbolt.Tx, from contents, dead []message) (string, error) {
	if len(dead) == 0 {
		return "", nil
	}
	name, _ := from.q.deadLetter()
	target, err := find(tx, name)
	if err != nil {
		return "", err
	}
	to := target.open(tx)
	for _, m := range dead {
		if err := from.delete(m); err != nil {
			return "", err
		}
		m.Due, m.Receipt, m.Source = nil, "", s.ARN(from.q.Name)
		if err := to.put(m, s.opts.Now()); err != nil {
			return "", err
		}
	}
	return name, nil
}

func (in receiveMessageInput) show(queue, account string, messages []message) receiveMessageOutput {
	names := append(in.MessageSystemAttributeNames, in.AttributeNames...)
	var out receiveMessageOutput
	for _, m := range messages {
		view := received{MessageId: m.ID, ReceiptHandle: handleOf(queue, m), MD5OfBody: digest(m.Body), Body: m.Body, Attributes: map[string]string{}}
		for name, value := range map[string]string{
			"SenderId":                         account,
			"SentTimestamp":                    milliseconds(m.Sent),
			"ApproximateReceiveCount":          strconv.Itoa(m.Receives),
			"ApproximateFirstReceiveTimestamp": milliseconds(m.FirstReceived),
			"DeadLetterQueueSourceArn":         m.Source,
		} {
			if value != "" && (slices.Contains(names, "All") || slices.Contains(names, name)) {
				view.Attributes[name] = value
			}
		}
		out.Messages = append(out.Messages, view)
	}
	return out
}

func milliseconds(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// handleOf is the receipt handle of the last receive of m.
func handleOf(queue string, m message) string {
	return base64.StdEncoding.EncodeToString([]byte(queue + " " + m.ID + " " + m.Receipt))
}

// held finds the message of a receipt handle. It is not held where the message is gone or
// was received again since.
func (c contents) held(handle *string) (m message, held bool, err error) {
	if handle == nil {
		return m, false, missing("ReceiptHandle")
	}
	text, err := base64.StdEncoding.DecodeString(*handle)
	parts := strings.Fields(string(text))
	if err != nil || len(parts) != 3 || parts[0] != c.q.Name {
		return m, false, refuse("ReceiptHandleIsInvalid", "%s", fmt.Sprintf("The input receipt handle \"%s\" is not a valid receipt handle.", *handle))
	}
	m, found, err := c.get(parts[1])
	return m, found && m.Receipt == parts[2], err
}

type deleteMessageInput struct{ QueueUrl, ReceiptHandle *string }

func (s *Service) deleteMessage(_ request, in deleteMessageInput) (any, error) {
	return struct{}{}, s.onQueue(in.QueueUrl, func(tx *bbolt.Tx, q queue) error {
		return q.open(tx).drop(in.ReceiptHandle)
	})
}

// drop deletes the message of a receipt handle. One that is not held any more is left
// alone, and that is a success, as in the service.
func (c contents) drop(handle *string) error {
	m, held, err := c.held(handle)
	if err != nil || !held {
		return err
	}
	return c.delete(m)
}

type deleteMessageBatchInput struct {
	QueueUrl *string
	Entries  []struct {
		Id            string
		ReceiptHandle *string
	}
}

type deleteMessageBatchOutput struct {
	Successful []struct{ Id string }
	Failed     []failed
}

func (s *Service) deleteMessageBatch(_ request, in deleteMessageBatchInput) (any, error) {
	ids := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		ids[i] = e.Id
	}
	if err := checkBatch("DeleteMessageBatchRequestEntry", ids); err != nil {
		return nil, err
	}
	var out deleteMessageBatchOutput
	return &out, s.onQueue(in.QueueUrl, func(tx *bbolt.Tx, q queue) error {
		out = deleteMessageBatchOutput{[]struct{ Id string }{}, []failed{}}
		for _, e := range in.Entries {
			switch err := q.open(tx).drop(e.ReceiptHandle).(type) {
			case nil:
				out.Successful = append(out.Successful, struct{ Id string }{e.Id})
			case *Error:
				out.Failed = append(out.Failed, failure(e.Id, err))
			default:
				return err
			}
		}
		return nil
	})
}

type changeMessageVisibilityInput struct {
	QueueUrl, ReceiptHandle *string
	VisibilityTimeout       *int
}

func (s *Service) changeMessageVisibility(_ request, in changeMessageVisibilityInput) (any, error) {
	switch n := in.VisibilityTimeout; {
	case n == nil:
		return nil, missing("VisibilityTimeout")
	case *n < 0 || *n > maxVisibility:
		return nil, outside(*n, "VisibilityTimeout", "Must be between 0 and 43200, if provided.")
	}
	err := s.onQueue(in.QueueUrl, func(tx *bbolt.Tx, q queue) error {
		c, now := q.open(tx), s.opts.Now()
		m, held, err := c.held(in.ReceiptHandle)
		if err != nil {
			return err
		}
		due := now.Add(time.Duration(*in.VisibilityTimeout) * time.Second)
		const refusal = "Value %s for parameter ReceiptHandle is invalid. Reason: "
		switch {
		case !held:
			return invalid(refusal+"Message does not exist or is not available for visibility timeout change.", *in.ReceiptHandle)
		case !dueTime(m.Due).After(now):
			return refuse("MessageNotInflight", refusal+"Message is not in flight.", *in.ReceiptHandle)
		case due.Sub(m.Received) > maxVisibility*time.Second:
			return outside(*in.VisibilityTimeout, "VisibilityTimeout", "Total VisibilityTimeout for the message is beyond the limit [43200 seconds].")
		}
		return c.put(m, due)
	})
	if err != nil {
		return nil, err
	}
	s.wakeURL(in.QueueUrl)
	return struct{}{}, nil
}
