package livekit

import (
	"fmt"
	"strings"

	"github.com/livekit/protocol/livekit"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// transferReport is LiveKit's report of a transfer. LiveKit SIP sends it since 1.11, in its answer
// (TransferSIPParticipantResponse) or with its error (SIPTransferError). Both are read from the
// wire, because LiveKit's server 1.13.5, the last version that builds with published modules only,
// does not build with the protocol package that has them (1.51). Unknown fields are skipped.
type transferReport struct {
	status livekit.SIPTransferStatus // set in answers only
	reason transferReason
	sip    int // the SIP status that LiveKit received, or 0
}

// transferReason is livekit.SIPTransferReason of protocol 1.51.
type transferReason int

const (
	reasonNone              transferReason = iota
	reasonCompleted                        // the target answered
	reasonCallEnded                        // the call ended first: BYE, room deleted, hung up here
	reasonRejected                         // the target or its carrier refused
	reasonRingingTimeout                   // the target did not answer in time
	reasonReportsTerminated                // the carrier ended its reports without an outcome
	reasonCanceled                         // LiveKit was told to stop waiting
)

func (r transferReason) String() string {
	names := []string{"STR_UNSPECIFIED", "STR_COMPLETED", "STR_CALL_ENDED", "STR_REJECTED", "STR_RINGING_TIMEOUT",
		"STR_SUBSCRIPTION_TERMINATED", "STR_CANCELED"}
	if r < 0 || int(r) >= len(names) {
		return fmt.Sprintf("STR_%d", int(r))
	}
	return names[r]
}

// answerReport reads an answer. ok is false if the answer cannot be read.
func answerReport(answer proto.Message) (r transferReport, ok bool) {
	raw, err := proto.Marshal(answer)
	if err != nil {
		return r, false
	}
	ok = r.read(raw, 2, 3, 4)
	return r, ok
}

// errorReport reads the details of an error. ok is false if the error has no details or they cannot
// be read.
func errorReport(err error) (r transferReport, ok bool) {
	st, _ := status.FromError(err) // the SDK turns an error with details into a status
	for _, d := range st.Proto().GetDetails() {
		if strings.HasSuffix(d.GetTypeUrl(), "/livekit.SIPTransferError") {
			ok = r.read(d.GetValue(), noField, 2, 3)
			return r, ok
		}
	}
	return r, false
}

// noField is a field number that no field has (protobuf numbers begin at 1).
const noField protowire.Number = 0

// read takes the three fields with the given numbers from an encoded message. It reports whether
// the message could be read.
func (r *transferReport) read(raw []byte, status, reason, sip protowire.Number) bool {
	for len(raw) > 0 {
		field, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return false
		}
		raw = raw[n:]
		size := protowire.ConsumeFieldValue(field, kind, raw)
		if size < 0 {
			return false
		}
		value := raw[:size]
		raw = raw[size:]
		switch {
		case kind == protowire.VarintType && (field == status || field == reason):
			number, _ := protowire.ConsumeVarint(value)
			if field == status {
				r.status = livekit.SIPTransferStatus(number)
			} else {
				r.reason = transferReason(number)
			}
		case kind == protowire.BytesType && field == sip:
			inner, _ := protowire.ConsumeBytes(value)
			var s livekit.SIPStatus
			if proto.Unmarshal(inner, &s) != nil {
				return false
			}
			r.sip = int(s.GetCode())
		}
	}
	return true
}
