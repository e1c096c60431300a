//go:build !race

package agent

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

// TestFiftyJobs checks that fifty concurrent jobs cost little. The race detector is excluded,
// because under it LiveKit's own share takes minutes.
func TestFiftyJobs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s: not with -short")
	}
	s := newStage(t)
	a := s.agent(Options{Names: []string{"many"}})
	const n = 50
	before := cpu(t)
	began := time.Now() // LiveKit works on some twenty dispatches at a time in the first 5 s after a registration
	for i := range n {
		s.dispatch(fmt.Sprint("many-", i), "many", map[string]string{"welcome_message": "hello"})
	}
	for asked := time.Now(); a.Jobs() != n; time.Sleep(10 * time.Millisecond) {
		if time.Since(asked) > 20*time.Second { // LiveKit drops a job if a busy machine's agent is late
			s.dispatchAgain("many", n)
			asked = time.Now()
		}
	}
	t.Logf("joining: %v, %v of CPU for server and agent", time.Since(began), cpu(t)-before)
	for i := range n { // without media, so that only the agent's cost counts
		s.silentCallee(fmt.Sprint("many-", i))
	}
	before, began = cpu(t), time.Now()
	time.Sleep(2 * time.Second)
	share := 100 * float64(cpu(t)-before) / float64(time.Since(began))
	t.Logf("talking: %.0f %% of one core for server, agent and %d callees' signalling", share, n)
	if share > 80 {
		t.Errorf("%d jobs cost %.0f %% of one core", n, share)
	}
	if a.Jobs() != n {
		t.Errorf("%d jobs left", a.Jobs())
	}
	for i := range n {
		if _, err := s.rooms.DeleteRoom(t.Context(), &livekit.DeleteRoomRequest{Room: fmt.Sprint("many-", i)}); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "all left", func() bool { return a.Jobs() == 0 })
}

// dispatchAgain recreates those of the n rooms that are empty.
func (s *stage) dispatchAgain(agent string, n int) {
	s.t.Helper()
	for i := range n {
		room := fmt.Sprint(agent, "-", i)
		in, err := s.rooms.ListParticipants(s.t.Context(), &livekit.ListParticipantsRequest{Room: room})
		if err == nil && len(in.Participants) > 0 {
			continue
		}
		_, _ = s.rooms.DeleteRoom(s.t.Context(), &livekit.DeleteRoomRequest{Room: room}) // it may be gone
		s.dispatch(room, agent, map[string]string{"welcome_message": "hello"})
	}
}

// silentCallee is a telephone participant on the line that subscribes to no track.
func (s *stage) silentCallee(room string) {
	s.t.Helper()
	token, err := auth.NewAccessToken(key, secret).SetIdentity("callee-" + room).SetKind(livekit.ParticipantInfo_SIP).
		SetAttributes(map[string]string{livekit.AttrSIPCallStatus: "active"}).
		SetVideoGrant(&auth.VideoGrant{RoomJoin: true, Room: room}).ToJWT()
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := lksdk.ConnectToRoomWithToken(server.URL(), token, lksdk.NewRoomCallback(), lksdk.WithAutoSubscribe(false), lksdk.WithConnectTimeout(time.Minute))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(r.Disconnect)
}

// cpu is the processor time used by this process.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
