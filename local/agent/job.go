package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/krosai/telephony/local/rtp"
)

const (
	frame     = 20 * time.Millisecond
	frameLen  = 160 // bytes of PCMU
	pauseLen  = 50  // frames between two lines: one second
	minSpeech = 40  // frames the shortest line takes
	maxSpeech = 200
)

// joinTimeout is how long a connection to a room may take. The SDK's 5 s are too short for a
// machine that is busy with something else.
const joinTimeout = 30 * time.Second

// instructions are what the demo agent uses of a call's metadata; all of it is optional. What else is there
// (system_prompt, voice, metadata) is for agents that think. It comes with the job, or, of a call that has come in, with
// the room, a moment after the job.
type instructions struct {
	CallID         string `json:"call_id"`
	WelcomeMessage string `json:"welcome_message"`
	TranscriptURL  string `json:"transcript_url"`
	CallToken      string `json:"call_token"`
}

// session is one job: the agent in one room.
type session struct {
	agent      *Agent
	room       *lksdk.Room
	track      *lksdk.LocalTrack
	trackSID   string
	transcript *transcript
	changed    chan struct{} // somebody came, left or changed attributes
	gone       chan struct{} // the room is over for us
	leave      sync.Once
	came       atomic.Bool // the callee has been seen
	texts      sync.WaitGroup
	silence    []byte
	spoken     int // bytes of the voice used so far
	segments   int
}

// work does a job: joins, publishes, waits for the callee to be on the line, talks, and stays until the callee has
// left or the room is over.
func (a *Agent) work(ctx context.Context, assignment *livekit.JobAssignment) error {
	job := assignment.GetJob()
	told := a.read(job.GetMetadata())
	key := told.CallID
	if key == "" {
		key = job.GetRoom().GetSid()
	}
	s := &session{agent: a, transcript: a.newTranscript(key), changed: make(chan struct{}, 1), gone: make(chan struct{}), silence: make([]byte, frameLen)}
	for i := range s.silence {
		s.silence[i] = rtp.Silence
	}
	if err := s.join(ctx, assignment); err != nil {
		return err
	}
	s.transcript.sendTo(told.TranscriptURL, told.CallToken)
	s.roomSays(s.room.Metadata())
	defer s.transcript.finish()
	defer s.texts.Wait()
	defer s.room.Disconnect()

	if s.untilActive(ctx) {
		s.converse(ctx, s.lines(told))
	}
	return nil
}

// read reads metadata; what is not ours says nothing.
func (a *Agent) read(metadata string) (told instructions) {
	if metadata == "" {
		return told
	}
	if err := json.Unmarshal([]byte(metadata), &told); err != nil {
		a.log.Warn("metadata is not JSON", "error", err)
	}
	return told
}

// roomSays takes the metadata of the room.
func (s *session) roomSays(metadata string) {
	told := s.agent.read(metadata)
	s.transcript.sendTo(told.TranscriptURL, told.CallToken)
}

// join enters the room and publishes the agent's voice at once: LiveKit SIP answers an inbound call only when an
// agent has published.
func (s *session) join(ctx context.Context, assignment *livekit.JobAssignment) error {
	url := s.agent.opts.URL
	if assignment.GetUrl() != "" {
		url = assignment.GetUrl()
	}
	changed := func() {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	callback := lksdk.NewRoomCallback()
	callback.OnParticipantConnected = func(p *lksdk.RemoteParticipant) {
		if p.Kind() == lksdk.ParticipantSIP {
			s.came.Store(true)
		}
		changed()
	}
	callback.OnParticipantDisconnected = func(*lksdk.RemoteParticipant) { changed() }
	callback.OnAttributesChanged = func(map[string]string, lksdk.Participant) { changed() }
	callback.OnRoomMetadataChanged = s.roomSays
	callback.OnDisconnected = func() { s.leave.Do(func() { close(s.gone) }) }

	// The script needs no hearing: without subscriptions a job costs one ticker and what it sends.
	s.room = lksdk.NewRoom(callback)
	if err := s.room.JoinWithContextAndToken(ctx, url, assignment.GetToken(), lksdk.WithAutoSubscribe(false), lksdk.WithConnectTimeout(joinTimeout)); err != nil {
		return fmt.Errorf("join room: %w", err)
	}
	var err error
	s.track, err = lksdk.NewLocalTrack(webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypePCMU, ClockRate: 8000, Channels: 1,
	})
	var published *lksdk.LocalTrackPublication
	if err == nil {
		published, err = s.room.LocalParticipant.PublishTrack(s.track, &lksdk.TrackPublicationOptions{
			Name: "agent", Source: livekit.TrackSource_MICROPHONE,
		})
	}
	if err != nil {
		s.room.Disconnect()
		return fmt.Errorf("publish voice: %w", err)
	}
	s.trackSID = published.SID()
	return nil
}

// callee is the status of the telephone participant, and whether there is one. The status "hangup" means gone: the
// participant itself may linger for seconds.
func (s *session) callee() (status string, present bool) {
	for _, p := range s.room.GetRemoteParticipants() {
		if p.Kind() == lksdk.ParticipantSIP {
			status = p.Attributes()[livekit.AttrSIPCallStatus]
			return status, status != "hangup"
		}
	}
	return "", false
}

// untilActive waits until the callee is on the line; false when the call is over before.
func (s *session) untilActive(ctx context.Context) bool {
	for {
		came := s.came.Load()
		status, present := s.callee()
		if status == "active" {
			return true
		}
		if came && !present {
			return false
		}
		if present {
			s.came.Store(true)
		}
		select {
		case <-s.changed:
		case <-s.gone:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// lines are the whole conversation: the welcome message, then the script.
func (s *session) lines(told instructions) []Line {
	welcome := told.WelcomeMessage
	if welcome == "" {
		welcome = "Hello, this is the demo agent."
	}
	return append([]Line{{"agent", welcome}}, s.agent.opts.Script...)
}

// converse sends a frame each 20 ms, voice or silence, as long as the callee is there, and goes through the lines.
func (s *session) converse(ctx context.Context, lines []Line) {
	tick := time.NewTicker(frame)
	defer tick.Stop()
	speaking, left := false, 0 // frames until the present line or pause is over
	pausing := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.gone:
			return
		case <-s.changed:
			if _, present := s.callee(); !present {
				return
			}
			continue
		case <-tick.C:
		}
		if left == 0 && pausing && len(lines) > 0 {
			speaking, left = s.begin(lines[0]), speechLen(lines[0].Text)
			lines, pausing = lines[1:], false
		} else if left == 0 {
			speaking, left, pausing = false, pauseLen, true
		}
		left--
		if err := s.send(speaking); err != nil {
			s.agent.log.Warn("voice not sent", "error", err)
			return
		}
	}
}

// speechLen is how many frames a text takes to say, at about 16 characters a second.
func speechLen(text string) int { return min(max(3*len(text), minSpeech), maxSpeech) }

// begin records a line; what the agent says goes to the room as text too, on LiveKit's transcription topic. It
// reports whether the line is to be heard.
func (s *session) begin(line Line) (speaks bool) {
	s.transcript.add(line)
	if line.Role != "agent" {
		return false
	}
	s.segments++
	packets := textStream(line.Text, "lk.transcription", map[string]string{
		"lk.transcription_final":  "true",
		"lk.segment_id":           fmt.Sprintf("SG_%d", s.segments),
		"lk.transcribed_track_id": s.trackSID,
	})
	s.texts.Go(func() { // waits for the data channel, which the voice must not
		for _, p := range packets {
			if err := s.room.LocalParticipant.PublishDataPacket(p, lksdk.WithDataPublishReliable(true)); err != nil {
				s.agent.log.Warn("text not sent", "error", err)
				return
			}
		}
	})
	return true
}

func (s *session) send(speaking bool) error {
	data := s.silence
	if speaking {
		data = s.agent.voice[s.spoken : s.spoken+frameLen]
		s.spoken = (s.spoken + frameLen) % len(s.agent.voice)
	}
	return s.track.WriteSample(media.Sample{Data: data, Duration: frame}, nil)
}
