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
	minSpeech = 40  // frames of the shortest line
	maxSpeech = 200
)

// joinTimeout limits the time to connect to a room. The SDK's 5 s are too short for a busy machine.
const joinTimeout = 30 * time.Second

// instructions are the parts of a call's metadata that the demo agent uses. All are optional. The
// other parts (system_prompt, voice, metadata) are for real agents. An outbound call's metadata
// comes with the job. An inbound call's metadata comes with the room, a moment after the job.
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
	changed    chan struct{} // gets a value when a participant joins, leaves or changes attributes
	gone       chan struct{} // closed when the agent is out of the room
	leave      sync.Once
	came       atomic.Bool // the callee has joined
	texts      sync.WaitGroup
	silence    []byte
	spoken     int // bytes of the voice used so far
	segments   int
}

// work does a job. It joins the room, publishes the voice, waits until the callee is on the line,
// talks, and stays until the callee has left or the room is over.
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

// read parses metadata. Metadata that is not JSON is logged and gives no instructions.
func (a *Agent) read(metadata string) (told instructions) {
	if metadata == "" {
		return told
	}
	if err := json.Unmarshal([]byte(metadata), &told); err != nil {
		a.log.Warn("metadata is not JSON", "error", err)
	}
	return told
}

// roomSays reads the metadata of the room.
func (s *session) roomSays(metadata string) {
	told := s.agent.read(metadata)
	s.transcript.sendTo(told.TranscriptURL, told.CallToken)
}

// join enters the room and publishes the agent's voice at once, because LiveKit SIP answers an
// inbound call only after an agent has published.
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

	// The script needs no audio from the callee. Without subscriptions a job costs only one ticker
	// and the audio that it sends.
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

// callee returns the status of the telephone participant, and whether it is present. With the
// status "hangup" it counts as gone, because the participant itself may stay for seconds.
func (s *session) callee() (status string, present bool) {
	for _, p := range s.room.GetRemoteParticipants() {
		if p.Kind() == lksdk.ParticipantSIP {
			status = p.Attributes()[livekit.AttrSIPCallStatus]
			return status, status != "hangup"
		}
	}
	return "", false
}

// untilActive waits until the callee is on the line. It returns false if the call ends before.
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

// lines is the whole conversation: the welcome message and then the script.
func (s *session) lines(told instructions) []Line {
	welcome := told.WelcomeMessage
	if welcome == "" {
		welcome = "Hello, this is the demo agent."
	}
	return append([]Line{{"agent", welcome}}, s.agent.opts.Script...)
}

// converse sends one frame every 20 ms, voice or silence, and goes through the lines while the
// callee is present.
func (s *session) converse(ctx context.Context, lines []Line) {
	tick := time.NewTicker(frame)
	defer tick.Stop()
	speaking, left := false, 0 // frames until the current line or pause is over
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

// speechLen is the number of frames for a spoken text, at about 16 characters a second.
func speechLen(text string) int { return min(max(3*len(text), minSpeech), maxSpeech) }

// begin records a line. For the agent's lines, begin also sends the text to the room on LiveKit's
// transcription topic. It reports whether the line has audio.
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
	// This goroutine waits for the data channel, so that the voice does not have to.
	s.texts.Go(func() {
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
