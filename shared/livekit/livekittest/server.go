// Package livekittest is a LiveKit for tests. It keeps in memory the part of LiveKit's HTTP API
// that the platform uses, with LiveKit's own validation of requests and its rules for conflicts. It
// counts requests and fails on demand, before or after a request took effect. It places no calls.
// The local platform's tests use the real LiveKit server for that.
package livekittest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// The credentials that the server accepts.
const (
	APIKey    = "APItest"
	APISecret = "a-secret-of-at-least-32-characters"
)

// Fault is a way for a request to fail.
type Fault int

// The faults: a 500 or a lost connection, before or after the effect of the request.
const (
	None Fault = iota
	ErrorBefore
	ErrorAfter
	ResetBefore
	ResetAfter
	HangAfter // no answer until the client gives up
)

// Faults are the faults that a table of failures goes through. HangAfter is not among them, because
// it waits for timeouts.
var Faults = []Fault{ErrorBefore, ErrorAfter, ResetBefore, ResetAfter}

// Server is a LiveKit project.
type Server struct {
	URL string
	// Dial answers CreateSIPParticipant; nil answers at once with success.
	Dial func(*livekit.CreateSIPParticipantRequest) (*livekit.SIPParticipantInfo, error)
	// Transfer answers TransferSIPParticipant for a phone that is in the room; nil answers at once
	// with success. ctx ends when the client gives up.
	Transfer func(ctx context.Context, q *livekit.TransferSIPParticipantRequest) (*emptypb.Empty, error)
	// Look, if set, is called before each answer to ListParticipants. With it a test makes
	// something happen at a certain read, however fast or slow the machine is.
	Look func(room string)

	mu       sync.Mutex
	outbound []*livekit.SIPOutboundTrunkInfo
	inbound  []*livekit.SIPInboundTrunkInfo
	rules    []*livekit.SIPDispatchRuleInfo
	rooms    map[string]*Room
	requests []string
	faults   map[int]Fault
	always   map[string]Fault
	ids      int
}

// Room is a room and its participants.
type Room struct {
	ID           string
	Request      *livekit.CreateRoomRequest
	Metadata     string // of the last UpdateRoomMetadata
	Participants []*livekit.ParticipantInfo

	lost bool
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{rooms: map[string]*Room{}, faults: map[int]Fault{}, always: map[string]Fault{}}
	mux := http.NewServeMux()
	mux.Handle("/twirp/livekit.SIP/", livekit.NewSIPServer(sipService{server: s}))
	mux.Handle("/twirp/livekit.RoomService/", livekit.NewRoomServiceServer(roomService{server: s}))
	h := httptest.NewServer(s.serve(mux))
	t.Cleanup(h.Close)
	s.URL = h.URL
	return s
}

// Requests are the names of the methods called so far, in order.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// FailAt makes the n-th request from now on (the next one is 0) fail.
func (s *Server) FailAt(n int, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[len(s.requests)+n] = f
}

// Fail makes every request of a method fail from now on. None ends that.
func (s *Server) Fail(method string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always[method] = f
}

// Count is the number of trunks and rules.
func (s *Server) Count() (outbound, inbound, rules int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.outbound), len(s.inbound), len(s.rules)
}

// Outbound copies the outbound trunks.
func (s *Server) Outbound() []*livekit.SIPOutboundTrunkInfo { return copies(s, &s.outbound) }

// Inbound copies the inbound trunks.
func (s *Server) Inbound() []*livekit.SIPInboundTrunkInfo { return copies(s, &s.inbound) }

// Rules copies the dispatch rules.
func (s *Server) Rules() []*livekit.SIPDispatchRuleInfo { return copies(s, &s.rules) }

func copies[T proto.Message](s *Server, list *[]T) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]T, 0, len(*list))
	for _, m := range *list {
		out = append(out, proto.CloneOf(m))
	}
	return out
}

// Join puts a participant into a room.
func (s *Server) Join(room string, p *livekit.ParticipantInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms[room] == nil {
		s.rooms[room] = &Room{ID: s.id("RM"), Request: &livekit.CreateRoomRequest{Name: room}}
	}
	s.rooms[room].Participants = append(s.rooms[room].Participants, p)
}

// Leave takes a participant out of a room.
func (s *Server) Leave(room, identity string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rooms[room]; r != nil {
		r.Participants = slices.DeleteFunc(slices.Clone(r.Participants), func(p *livekit.ParticipantInfo) bool { return p.Identity == identity })
	}
}

// Room returns a room, or nil if it does not exist.
func (s *Server) Room(name string) *Room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[name]
}

// serve counts a request, checks its token and applies its fault.
func (s *Server) serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := path.Base(r.URL.Path)
		s.mu.Lock()
		f := s.faults[len(s.requests)]
		if f == None {
			f = s.always[method]
		}
		s.requests = append(s.requests, method)
		s.mu.Unlock()

		if err := authorize(r, method); err != nil {
			_ = twirp.WriteError(w, twirp.NewError(twirp.Unauthenticated, err.Error()))
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if f == ErrorBefore || f == ResetBefore {
			fail(w, r, f)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if f == None {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(httptest.NewRecorder(), r)
		fail(w, r, f)
	})
}

func fail(w http.ResponseWriter, r *http.Request, f Fault) {
	switch f {
	case ErrorBefore, ErrorAfter:
		http.Error(w, "out of order", http.StatusInternalServerError)
	case HangAfter:
		<-r.Context().Done()
	default:
		panic(http.ErrAbortHandler) // net/http drops the connection
	}
}

// authorize checks that the token holds the grant that the method needs.
func authorize(r *http.Request, method string) error {
	token, err := auth.ParseAPIToken(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil {
		return err
	}
	_, grants, err := token.Verify(APISecret)
	if err != nil || token.APIKey() != APIKey {
		return fmt.Errorf("unknown key or wrong signature: %w", err)
	}
	var claims jwt.RegisteredClaims // verified above
	_, _, err = jwt.NewParser().ParseUnverified(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), &claims)
	if err != nil || claims.ExpiresAt == nil {
		return errors.New("a token without exp, which LiveKit refuses")
	}
	video, phone := grants.Video, grants.SIP
	var ok bool
	switch method {
	case "CreateRoom", "DeleteRoom":
		ok = video != nil && video.RoomCreate
	case "ListRooms":
		ok = video != nil && video.RoomList
	case "ListParticipants", "UpdateRoomMetadata":
		ok = video != nil && video.RoomAdmin && video.Room != ""
	case "CreateSIPParticipant":
		ok = phone != nil && phone.Call
	case "TransferSIPParticipant":
		ok = phone != nil && phone.Call && video != nil && video.RoomAdmin && video.Room != ""
	default:
		ok = phone != nil && phone.Admin
	}
	if !ok {
		return fmt.Errorf("no grant for %s", method)
	}
	return nil
}

func (s *Server) id(prefix string) string {
	s.ids++
	return fmt.Sprintf("%s_%06d", prefix, s.ids)
}

func invalid(err error) error { return twirp.NewError(twirp.InvalidArgument, err.Error()) }

func missing(what string) error {
	return twirp.NewError(twirp.NotFound, "requested sip "+what+" does not exist")
}

// roomService serves the rooms. Methods that the platform does not use panic.
type roomService struct {
	livekit.RoomService
	server *Server
}

func (r roomService) CreateRoom(_ context.Context, q *livekit.CreateRoomRequest) (*livekit.Room, error) {
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms[q.Name] == nil {
		s.rooms[q.Name] = &Room{ID: s.id("RM"), Request: q}
	}
	s.rooms[q.Name].lost = false
	return &livekit.Room{Name: q.Name, Sid: s.rooms[q.Name].ID}, nil
}

func (r roomService) UpdateRoomMetadata(_ context.Context, q *livekit.UpdateRoomMetadataRequest) (*livekit.Room, error) {
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	room := s.rooms[q.Room]
	if room == nil {
		return nil, twirp.NotFoundError("requested room does not exist")
	}
	room.Metadata = q.Metadata
	return &livekit.Room{Name: q.Room, Sid: room.ID, Metadata: q.Metadata}, nil
}

func (r roomService) ListRooms(context.Context, *livekit.ListRoomsRequest) (*livekit.ListRoomsResponse, error) {
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &livekit.ListRoomsResponse{}
	for name, room := range s.rooms {
		info := &livekit.Room{Name: name, Sid: room.ID, CreationTimeMs: 1795328695783}
		for _, p := range room.Participants { // here every participant publishes
			info.NumPublishers++
			if p.Kind != livekit.ParticipantInfo_AGENT && p.Kind != livekit.ParticipantInfo_EGRESS {
				info.NumParticipants++
			}
		}
		out.Rooms = append(out.Rooms, info)
	}
	return out, nil
}

func (r roomService) DeleteRoom(_ context.Context, q *livekit.DeleteRoomRequest) (*livekit.DeleteRoomResponse, error) {
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms[q.Room] == nil {
		return nil, twirp.NotFoundError("requested room does not exist")
	}
	if s.rooms[q.Room].lost {
		return nil, twirp.NewError(twirp.Unknown, "could not find object")
	}
	delete(s.rooms, q.Room)
	return &livekit.DeleteRoomResponse{}, nil
}

// Lose forgets where a room is, as LiveKit does when a participant enters it while it is deleted:
// the room is listed, and cannot be deleted until it is created again.
func (s *Server) Lose(room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rooms[room].lost = true
}

func (r roomService) ListParticipants(_ context.Context, q *livekit.ListParticipantsRequest) (*livekit.ListParticipantsResponse, error) {
	s := r.server
	if s.Look != nil {
		s.Look(q.Room)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	room := s.rooms[q.Room]
	if room == nil {
		return nil, twirp.NotFoundError("requested room does not exist")
	}
	return &livekit.ListParticipantsResponse{Participants: room.Participants}, nil
}

// AddInbound adds an inbound trunk as another user of the project would.
func (s *Server) AddInbound(t *livekit.SIPInboundTrunkInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.SipTrunkId = s.id("ST")
	s.inbound = append(s.inbound, t)
}
