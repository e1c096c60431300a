package sqs

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"
)

// Limits of the service (Developer Guide, "Amazon SQS message quotas").
const (
	maxMessage    = 256 << 10 // bytes, of a message and of a batch
	maxBatch      = 10
	maxDelay      = 900   // seconds
	maxVisibility = 43200 // seconds
	maxWait       = 20    // seconds
)

// outgoing is a message to be sent.
type outgoing struct {
	MessageBody  *string
	DelaySeconds *int
}

type sendMessageInput struct {
	outgoing

	QueueUrl *string
}

// sent is what the sender of a message is told.
type sent struct {
	Id               string `json:",omitempty"`
	MessageId        string
	MD5OfMessageBody string
}

func (s *Service) sendMessage(_ request, in sendMessageInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	id := uuid.NewString()
	err := s.onQueue(in.QueueUrl, func(tx *bbolt.Tx, q queue) error {
		return s.add(tx, q, id, in.outgoing)
	})
	if err != nil {
		return nil, err
	}
	s.wakeURL(in.QueueUrl)
	return sent{MessageId: id, MD5OfMessageBody: digest(*in.MessageBody)}, nil
}

// check checks a message as far as it does not depend on its queue.
func (o outgoing) check() error {
	switch {
	case o.MessageBody == nil || *o.MessageBody == "":
		return missing("MessageBody")
	case len(*o.MessageBody) > maxMessage:
		return invalid("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", maxMessage)
	case o.DelaySeconds != nil && (*o.DelaySeconds < 0 || *o.DelaySeconds > maxDelay):
		return outside(*o.DelaySeconds, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
	}
	for _, c := range *o.MessageBody {
		if !allowed(c) {
			return refuse("InvalidMessageContents", "Invalid binary character '#x%X' was found in the message body, the set of allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF", c)
		}
	}
	return nil
}

// allowed says whether a message may hold c: the characters of XML 1.0.
func allowed(c rune) bool {
	return c == '\t' || c == '\n' || c == '\r' || c >= 0x20 && c <= 0xfffd || c >= 0x10000 && c <= utf8.MaxRune
}

func (s *Service) add(tx *bbolt.Tx, q queue, id string, o outgoing) error {
	delay := q.seconds("DelaySeconds")
	if o.DelaySeconds != nil {
		delay = time.Duration(*o.DelaySeconds) * time.Second
	}
	now := s.opts.Now()
	return q.open(tx).put(message{ID: id, Body: *o.MessageBody, Sent: now}, now.Add(delay))
}

// digest is the MD5 sum by which SDKs see that a body arrived whole.
func digest(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// wakeURL wakes the queue of a URL that was found to be right.
func (s *Service) wakeURL(url *string) {
	if name, err := s.nameOf(url); err == nil {
		s.wake(name)
	}
}

type sendMessageBatchInput struct {
	QueueUrl *string
	Entries  []struct {
		outgoing

		Id string
	}
}

// failed is what one entry of a batch met.
type failed struct {
	Id          string
	SenderFault bool
	Code        string
	Message     string
}

func failure(id string, err *Error) failed {
	return failed{id, true, queryCode(err.Type), err.Message}
}

type sendMessageBatchOutput struct {
	Successful []sent
	Failed     []failed
}

func (s *Service) sendMessageBatch(_ request, in sendMessageBatchInput) (any, error) {
	ids := make([]string, len(in.Entries))
	size := 0
	for i, e := range in.Entries {
		ids[i] = e.Id
		if e.MessageBody != nil {
			size += len(*e.MessageBody)
		}
	}
	if err := checkBatch("SendMessageBatchRequestEntry", ids); err != nil {
		return nil, err
	}
	if size > maxMessage {
		return nil, refuse("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessage, size)
	}
	var out sendMessageBatchOutput
	err := s.onQueue(in.QueueUrl, func(tx *bbolt.Tx, q queue) error {
		out = sendMessageBatchOutput{[]sent{}, []failed{}}
		for _, e := range in.Entries {
			if err := e.check(); err != nil {
				out.Failed = append(out.Failed, failure(e.Id, err.(*Error)))
				continue
			}
			id := uuid.NewString()
			if err := s.add(tx, q, id, e.outgoing); err != nil {
				return err
			}
			out.Successful = append(out.Successful, sent{e.Id, id, digest(*e.MessageBody)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.wakeURL(in.QueueUrl)
	return out, nil
}

// checkBatch checks the ids of a batch's entries, which are of a kind.
func checkBatch(kind string, ids []string) error {
	switch {
	case len(ids) == 0:
		return refuse("EmptyBatchRequest", "There should be at least one %s in the request.", kind)
	case len(ids) > maxBatch:
		return refuse("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent %d.", len(ids))
	}
	valid := regexp.MustCompile(`^[0-9A-Za-z_-]{1,80}$`)
	seen := map[string]bool{}
	for _, id := range ids {
		switch {
		case !valid.MatchString(id):
			return refuse("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		case seen[id]:
			return refuse("BatchEntryIdsNotDistinct", "%s", fmt.Sprintf("Id %s repeated.", id))
		}
		seen[id] = true
	}
	return nil
}
