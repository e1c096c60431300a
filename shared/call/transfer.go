package call

import "time"

// TransferStatus is the state of a transfer.
type TransferStatus string

// The states of a transfer. Only a pending one changes.
const (
	TransferPending   TransferStatus = "pending"   // the request to the carrier is under way
	TransferCompleted TransferStatus = "completed" // the phone talks to the new number; the call here is over
	TransferFailed    TransferStatus = "failed"    // the phone was not transferred; the call goes on
	TransferUnknown   TransferStatus = "unknown"   // the outcome cannot be determined
)

// Transfer is the last attempt to connect the phone of a call to another number. The zero Transfer
// means that none was made.
type Transfer struct {
	ID        string // tr_ and a ULID
	To        string // E.164
	Country   string // of To, ISO 3166-1 alpha-2; not stored
	Status    TransferStatus
	SIPStatus int       // the carrier's answer, 0 if it gave none
	At        time.Time // when Status was set
}

// MaxTransfers is how often the phone of one call can be transferred.
const MaxTransfers = 5

// TransferLimit is how long a transfer can be pending. Lambda ends the function that asked the
// carrier after 29 s (template.yaml), so an outcome that is not written by then is never written. A
// longer limit would delay the sweep, which cannot decide the end of a call until its pending
// transfer is over.
const TransferLimit = 30 * time.Second

// Transferring reports whether a transfer is under way. Until its outcome is written, the phone's
// leaving the room does not show how the call ended.
func (c Call) Transferring(now time.Time) bool {
	return c.Transfer.Status == TransferPending && now.Before(c.Transfer.At.Add(TransferLimit))
}

// transferDoubt is how long after a transfer of unknown outcome a phone that leaves may still have
// been transferred by it.
const transferDoubt = time.Minute

// mayBeTransferred reports whether a phone that left at a moment may have been transferred although
// the outcome is not known. If LiveKit reported no reason, at is the time of a check, up to a
// minute after the phone left.
func (c Call) mayBeTransferred(l Leave, at time.Time) bool {
	until := c.Transfer.At.Add(transferDoubt)
	switch c.Transfer.Status {
	case TransferUnknown:
	case TransferPending:
		until = until.Add(TransferLimit)
	default:
		return false
	}
	if l.Reason == "" {
		until = until.Add(time.Minute)
	}
	return at.Before(until)
}
