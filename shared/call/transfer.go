package call

import "time"

// TransferStatus is what became of a transfer.
type TransferStatus string

// The states of a transfer. Only a pending one changes.
const (
	TransferPending   TransferStatus = "pending"   // the carrier is being asked
	TransferCompleted TransferStatus = "completed" // the phone talks to the new number; the call here is over
	TransferFailed    TransferStatus = "failed"    // the phone was not transferred; the call goes on
	TransferUnknown   TransferStatus = "unknown"   // nobody can say whether it was
)

// Transfer is the last attempt to connect the phone of a call to another
// number. The zero Transfer is "none".
type Transfer struct {
	ID        string // tr_ and a ULID
	To        string // E.164
	Country   string // of To, ISO 3166-1 alpha-2; not kept
	Status    TransferStatus
	SIPStatus int       // the carrier's answer, 0 when it gave none
	At        time.Time // when it came to be what Status says
}

// MaxTransfers is how often the phone of one call can be transferred.
const MaxTransfers = 5

// TransferLimit is how long a transfer can be pending. Lambda ends the function that asked the
// carrier after 29 s (template.yaml), so what it has not written down by then it never will.
// Each further second is one more until the sweep can tell the end of a call whose transfer
// nobody finished.
const TransferLimit = 30 * time.Second

// Transferring reports whether a transfer is under way. Until its outcome is
// written down, a phone that leaves the room says nothing about the call's end.
func (c Call) Transferring(now time.Time) bool {
	return c.Transfer.Status == TransferPending && now.Before(c.Transfer.At.Add(TransferLimit))
}

// transferDoubt is how long after a transfer of unknown outcome a phone that
// leaves may have been transferred by it.
const transferDoubt = time.Minute

// mayBeTransferred reports whether a phone that left at a moment may have been
// transferred, which nobody told. When LiveKit did not say when it left, the
// moment is that of a look, which may come a minute after it.
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
