package livekittest

import (
	"context"
	"fmt"
	"slices"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/utils/xtwirp"
	"github.com/twitchtv/twirp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// sipService serves trunks, rules, dials and transfers. Methods that the platform does not
// use panic.
type sipService struct {
	livekit.SIP
	server *Server
}

func (p sipService) CreateSIPOutboundTrunk(_ context.Context, q *livekit.CreateSIPOutboundTrunkRequest) (*livekit.SIPOutboundTrunkInfo, error) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := q.Validate(); err != nil {
		return nil, invalid(err)
	}
	q.Trunk.SipTrunkId = s.id("ST")
	s.outbound = append(s.outbound, q.Trunk)
	return q.Trunk, nil
}

func (p sipService) CreateSIPInboundTrunk(_ context.Context, q *livekit.CreateSIPInboundTrunkRequest) (*livekit.SIPInboundTrunkInfo, error) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := q.Validate(); err != nil {
		return nil, invalid(err)
	}
	if err := conflictingTrunks(append(slices.Clone(s.inbound), q.Trunk)); err != nil {
		return nil, invalid(err)
	}
	q.Trunk.SipTrunkId = s.id("ST")
	s.inbound = append(s.inbound, q.Trunk)
	return q.Trunk, nil
}

func (p sipService) UpdateSIPOutboundTrunk(_ context.Context, q *livekit.UpdateSIPOutboundTrunkRequest) (*livekit.SIPOutboundTrunkInfo, error) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := q.Validate(); err != nil {
		return nil, invalid(err)
	}
	i := slices.IndexFunc(s.outbound, func(t *livekit.SIPOutboundTrunkInfo) bool { return t.SipTrunkId == q.SipTrunkId })
	if i < 0 {
		return nil, missing("trunk")
	}
	after, err := q.Action.(livekit.UpdateSIPOutboundTrunkRequestAction).Apply(s.outbound[i])
	if err != nil {
		return nil, invalid(err)
	}
	s.outbound[i] = after
	return after, nil
}

func (p sipService) UpdateSIPInboundTrunk(_ context.Context, q *livekit.UpdateSIPInboundTrunkRequest) (*livekit.SIPInboundTrunkInfo, error) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := q.Validate(); err != nil {
		return nil, invalid(err)
	}
	i := slices.IndexFunc(s.inbound, func(t *livekit.SIPInboundTrunkInfo) bool { return t.SipTrunkId == q.SipTrunkId })
	if i < 0 {
		return nil, missing("trunk")
	}
	after, err := q.Action.(livekit.UpdateSIPInboundTrunkRequestAction).Apply(s.inbound[i])
	if err != nil {
		return nil, invalid(err)
	}
	all := slices.Clone(s.inbound)
	all[i] = after
	if err := conflictingTrunks(all); err != nil {
		return nil, invalid(err)
	}
	s.inbound = all
	return after, nil
}

func (p sipService) ListSIPOutboundTrunk(_ context.Context, q *livekit.ListSIPOutboundTrunkRequest) (*livekit.ListSIPOutboundTrunkResponse, error) {
	return &livekit.ListSIPOutboundTrunkResponse{Items: q.FilterSlice(p.server.Outbound())}, nil
}

func (p sipService) ListSIPInboundTrunk(_ context.Context, q *livekit.ListSIPInboundTrunkRequest) (*livekit.ListSIPInboundTrunkResponse, error) {
	return &livekit.ListSIPInboundTrunkResponse{Items: q.FilterSlice(p.server.Inbound())}, nil
}

func (p sipService) ListSIPDispatchRule(_ context.Context, q *livekit.ListSIPDispatchRuleRequest) (*livekit.ListSIPDispatchRuleResponse, error) {
	return &livekit.ListSIPDispatchRuleResponse{Items: q.FilterSlice(p.server.Rules())}, nil
}

// DeleteSIPTrunk deletes a trunk of either kind. A missing trunk is no error, as recorded.
func (p sipService) DeleteSIPTrunk(_ context.Context, q *livekit.DeleteSIPTrunkRequest) (*livekit.SIPTrunkInfo, error) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outbound = slices.DeleteFunc(s.outbound, func(t *livekit.SIPOutboundTrunkInfo) bool { return t.SipTrunkId == q.SipTrunkId })
	s.inbound = slices.DeleteFunc(s.inbound, func(t *livekit.SIPInboundTrunkInfo) bool { return t.SipTrunkId == q.SipTrunkId })
	return &livekit.SIPTrunkInfo{SipTrunkId: q.SipTrunkId}, nil
}

func (p sipService) CreateSIPDispatchRule(_ context.Context, q *livekit.CreateSIPDispatchRuleRequest) (*livekit.SIPDispatchRuleInfo, error) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := q.Validate(); err != nil {
		return nil, invalid(err)
	}
	rule := q.DispatchRuleInfo()
	if err := conflictingRules(append(slices.Clone(s.rules), rule)); err != nil {
		return nil, invalid(err)
	}
	rule.SipDispatchRuleId = s.id("SDR")
	s.rules = append(s.rules, rule)
	return rule, nil
}

func (p sipService) UpdateSIPDispatchRule(_ context.Context, q *livekit.UpdateSIPDispatchRuleRequest) (*livekit.SIPDispatchRuleInfo, error) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := q.Validate(); err != nil {
		return nil, invalid(err)
	}
	i := slices.IndexFunc(s.rules, func(r *livekit.SIPDispatchRuleInfo) bool { return r.SipDispatchRuleId == q.SipDispatchRuleId })
	if i < 0 {
		return nil, missing("dispatch rule")
	}
	after, err := q.Action.(livekit.UpdateSIPDispatchRuleRequestAction).Apply(s.rules[i])
	if err != nil {
		return nil, invalid(err)
	}
	all := slices.Clone(s.rules)
	all[i] = after
	if err := conflictingRules(all); err != nil {
		return nil, invalid(err)
	}
	s.rules = all
	return after, nil
}

// DeleteSIPDispatchRule deletes a rule. A missing rule is a 404, as recorded.
func (p sipService) DeleteSIPDispatchRule(_ context.Context, q *livekit.DeleteSIPDispatchRuleRequest) (*livekit.SIPDispatchRuleInfo, error) {
	s := p.server
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.rules, func(r *livekit.SIPDispatchRuleInfo) bool { return r.SipDispatchRuleId == q.SipDispatchRuleId })
	if i < 0 {
		return nil, missing("dispatch rule")
	}
	gone := proto.CloneOf(s.rules[i])
	s.rules = slices.Delete(s.rules, i, i+1)
	return gone, nil
}

func (p sipService) CreateSIPParticipant(_ context.Context, q *livekit.CreateSIPParticipantRequest) (*livekit.SIPParticipantInfo, error) {
	s := p.server
	if err := q.Validate(); err != nil {
		return nil, invalid(err)
	}
	if s.Dial != nil {
		return s.Dial(q)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.outbound, func(t *livekit.SIPOutboundTrunkInfo) bool { return t.SipTrunkId == q.SipTrunkId }) {
		return nil, missing("trunk")
	}
	return &livekit.SIPParticipantInfo{ParticipantId: s.id("PA"), ParticipantIdentity: q.ParticipantIdentity, RoomName: q.RoomName}, nil
}

// Transfer is LiveKit's report of a transfer since LiveKit SIP 1.11. It stands for
// livekit.TransferSIPParticipantResponse or livekit.SIPTransferError, which this module's protocol
// package does not have.
type Transfer struct {
	Status livekit.SIPTransferStatus // set in answers only
	Reason int32                     // livekit.SIPTransferReason
	SIP    *livekit.SIPStatus        // may be nil
}

// The reasons that LiveKit gives (livekit.SIPTransferReason).
const (
	Completed int32 = iota + 1
	CallEnded
	Rejected
	RingingTimeout
	SubscriptionTerminated
	Canceled
)

// Transferred is LiveKit's answer to a transfer that the carrier reported as done.
func Transferred() *emptypb.Empty {
	return Transfer{Status: livekit.SIPTransferStatus_STS_TRANSFER_SUCCESSFUL, Reason: Completed,
		SIP: &livekit.SIPStatus{Code: livekit.SIPStatusCode_SIP_STATUS_OK, Status: "OK"}}.Answer()
}

// Answer is the answer to TransferSIPParticipant. Its fields are unknown to Empty.
func (t Transfer) Answer() *emptypb.Empty {
	raw := protowire.AppendVarint(protowire.AppendTag(identified(), 2, protowire.VarintType), uint64(t.Status))
	answer := &emptypb.Empty{}
	answer.ProtoReflect().SetUnknown(t.appendReason(raw, 3))
	return answer
}

// Error is the error of TransferSIPParticipant.
func (t Transfer) Error(code twirp.ErrorCode, msg string) error {
	details := &anypb.Any{TypeUrl: "type.googleapis.com/livekit.SIPTransferError", Value: t.appendReason(identified(), 2)}
	st := status.FromProto(&spb.Status{Code: int32(codes.Unknown), Message: msg, Details: []*anypb.Any{details}})
	return xtwirp.WithDetailsFromStatus(twirp.NewError(code, msg), st)
}

func identified() []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "STR_000001")
}

// appendReason appends the reason under its number and the SIP status under the next one.
func (t Transfer) appendReason(raw []byte, number protowire.Number) []byte {
	raw = protowire.AppendVarint(protowire.AppendTag(raw, number, protowire.VarintType), uint64(t.Reason))
	if t.SIP == nil {
		return raw
	}
	sip, err := proto.Marshal(t.SIP)
	if err != nil {
		panic(err) // cannot happen: plain fields
	}
	return protowire.AppendBytes(protowire.AppendTag(raw, number+1, protowire.BytesType), sip)
}

// TransferSIPParticipant knows the phones that Join put into rooms. Its refusals are as recorded.
func (p sipService) TransferSIPParticipant(ctx context.Context, q *livekit.TransferSIPParticipantRequest) (*emptypb.Empty, error) {
	s := p.server
	if err := q.Validate(); err != nil {
		return nil, invalid(err)
	}
	var phone *livekit.ParticipantInfo
	s.mu.Lock()
	if room := s.rooms[q.RoomName]; room != nil {
		for _, who := range room.Participants {
			if who.Identity == q.ParticipantIdentity {
				phone = who
			}
		}
	}
	s.mu.Unlock()
	switch {
	case phone == nil:
		return nil, twirp.NotFoundError("participant does not exist")
	case phone.Kind != livekit.ParticipantInfo_SIP:
		return nil, twirp.NewError(twirp.InvalidArgument, "no SIP session associated with participant")
	case s.Transfer != nil:
		return s.Transfer(ctx, q)
	}
	return Transferred(), nil
}

// conflictingTrunks refuses two inbound trunks for one number, whatever their addresses and
// credentials. (LiveKit accepts them if both name the callers that they allow. The platform never
// sets those.)
func conflictingTrunks(trunks []*livekit.SIPInboundTrunkInfo) error {
	taken := map[string]string{}
	for _, t := range trunks {
		for _, n := range t.Numbers {
			if other, ok := taken[n]; ok {
				return fmt.Errorf("Conflicting inbound SIP Trunks: %q and %q, using the same number(s) %q without AllowedNumbers set",
					other, t.SipTrunkId, t.Numbers)
			}
			taken[n] = t.SipTrunkId
		}
	}
	return nil
}

// conflictingRules refuses two rules for the same trunk and called number.
func conflictingRules(rules []*livekit.SIPDispatchRuleInfo) error {
	taken := map[string]bool{}
	for _, r := range rules {
		for _, trunk := range orAny(r.TrunkIds) {
			for _, n := range orAny(r.Numbers) {
				if taken[trunk+" "+n] {
					return fmt.Errorf("Dispatch rule for the same trunk, inbound number, number, and PIN combination already exists in dispatch rule %q %q",
						r.SipDispatchRuleId, r.Name)
				}
				taken[trunk+" "+n] = true
			}
		}
	}
	return nil
}

func orAny(list []string) []string {
	if len(list) == 0 {
		return []string{"<any>"}
	}
	return list
}
