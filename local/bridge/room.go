package bridge

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/logger"
	lksip "github.com/livekit/protocol/sip"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/krosai/telephony/local/rtp"
)

// roomLeg is the phone's participant in a room. It publishes one audio track and hears all
// other tracks.
type roomLeg struct {
	room  *lksdk.Room
	sid   string
	track *lksdk.LocalTrack
	// closed is closed when the participant is out: the room is deleted, or the participant is
	// removed or replaced, or has left.
	closed chan struct{}

	// heard is closed when another participant has published audio.
	heard     chan struct{}
	heardOnce sync.Once

	toPhone  *mixer
	toRoom   *frames
	digits   chan byte // from the phone
	fromRoom chan string

	mu     sync.Mutex
	phone  *rtp.Session // nil until connected
	status string       // set by setStatus

	closeOnce sync.Once
	pumps     sync.WaitGroup
	linger    *lingerer
}

// join enters the room as a participant of kind SIP and publishes its track. LiveKit's server may
// give the url and token. Otherwise they are empty and join uses its own.
func (b *Bridge) join(ctx context.Context, url, token string, p lksip.SIPTokenParams) (*roomLeg, error) {
	if url == "" {
		url = b.o.LiveKitURL
	}
	if token == "" {
		var err error
		p.APIKey, p.APISecret = b.o.APIKey, b.o.APISecret
		if token, err = lksip.BuildSIPToken(p); err != nil {
			return nil, err
		}
	}
	l := &roomLeg{
		closed: make(chan struct{}), heard: make(chan struct{}),
		toPhone: newMixer(), toRoom: &frames{}, digits: make(chan byte, 64), fromRoom: make(chan string, 64),
		linger: &lingerer{over: make(chan struct{})},
	}
	room := lksdk.NewRoom(l.callback())
	err := room.JoinWithContextAndToken(ctx, url, token,
		lksdk.WithLogger(logger.GetDiscardLogger()), lksdk.WithDisableRegionDiscovery(),
		lksdk.WithInterceptors([]interceptor.Factory{l.linger}), lksdk.WithIncludeDefaultInterceptors(true))
	if err != nil {
		return nil, err
	}
	l.room, l.sid = room, room.LocalParticipant.SID()
	if err := l.publish(p.ParticipantIdentity); err != nil {
		room.Disconnect()
		return nil, err
	}
	for _, other := range room.GetRemoteParticipants() {
		for _, t := range other.TrackPublications() {
			l.onPublished(t.Kind() == lksdk.TrackKindAudio)
		}
	}
	l.pumps.Go(l.pumpAudio)
	l.pumps.Go(l.pumpDigitsToRoom)
	l.pumps.Go(l.pumpDigitsToPhone)
	return l, nil
}

func (l *roomLeg) callback() *lksdk.RoomCallback {
	cb := lksdk.NewRoomCallback()
	cb.OnDisconnected = l.close
	cb.OnTrackPublished = func(t *lksdk.RemoteTrackPublication, _ *lksdk.RemoteParticipant) {
		l.onPublished(t.Kind() == lksdk.TrackKindAudio)
	}
	cb.OnTrackSubscribed = func(t *webrtc.TrackRemote, _ *lksdk.RemoteTrackPublication, _ *lksdk.RemoteParticipant) {
		if t.Kind() != webrtc.RTPCodecTypeAudio {
			return
		}
		source := l.toPhone.add()
		defer l.toPhone.remove(source)
		for {
			packet, _, err := t.ReadRTP()
			if err != nil {
				return
			}
			source.write(packet.Payload)
		}
	}
	cb.OnDataPacket = func(data lksdk.DataPacket, _ lksdk.DataReceiveParams) {
		if d, ok := data.(*livekit.SipDTMF); ok {
			select {
			case l.fromRoom <- d.Digit:
			case <-l.closed:
			}
		}
	}
	return cb
}

func (l *roomLeg) publish(name string) (err error) {
	l.track, err = lksdk.NewLocalTrack(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000, Channels: 1})
	if err != nil {
		return err
	}
	_, err = l.room.LocalParticipant.PublishTrack(l.track, &lksdk.TrackPublicationOptions{Name: name, Source: livekit.TrackSource_MICROPHONE})
	return err
}

func (l *roomLeg) onPublished(audio bool) {
	if audio {
		l.heardOnce.Do(func() { close(l.heard) })
	}
}

func (l *roomLeg) participantID() string { return l.sid }

// setAttributes changes these attributes of the participant. The others stay.
func (l *roomLeg) setAttributes(attrs map[string]string) {
	l.room.LocalParticipant.SetAttributes(maps.Clone(attrs))
}

// setStatus sets the status unless it is already set, or the phone has hung up.
func (l *roomLeg) setStatus(status string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == status || l.status == statusHangup {
		return
	}
	l.status = status
	l.setAttributes(callStatus(status))
}

// listen receives audio and digits from the phone until the call closes the session. Before connect
// they are dropped.
func (l *roomLeg) listen(phone *rtp.Session) {
	l.pumps.Go(func() {
		err := phone.Read(func(payload []byte) {
			if l.connected() != nil {
				l.toRoom.write(payload)
			}
		}, func(digit byte) {
			if l.connected() == nil {
				return
			}
			select {
			case l.digits <- digit:
			case <-l.closed:
			}
		})
		if err != nil {
			l.close()
		}
	})
}

// connect connects phone and room for audio and digits.
func (l *roomLeg) connect(phone *rtp.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phone = phone
}

func (l *roomLeg) connected() *rtp.Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.phone
}

// pumpAudio moves one frame in each direction every 20 ms. The phone always gets audio, silence if
// there is nothing else. The room gets up to five seconds of silence, so that its track counts as
// published, and otherwise only the phone's audio.
func (l *roomLeg) pumpAudio() {
	const silentFrames = 250
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	var frame [frameSize]byte
	for sent := 0; ; {
		select {
		case <-l.closed:
			return
		case <-tick.C:
		}
		if phone := l.connected(); phone != nil {
			l.toPhone.read(frame[:])
			_ = phone.WriteAudio(frame[:]) // a closed session ends with the call
		}
		if !l.toRoom.read(frame[:]) {
			if sent >= silentFrames {
				continue
			}
			sent++
			silence(frame[:])
		}
		_ = l.track.WriteSample(media.Sample{Data: append([]byte(nil), frame[:]...), Duration: frameTime}, nil)
	}
}

func (l *roomLeg) pumpDigitsToRoom() {
	for {
		select {
		case d := <-l.digits:
			_ = l.room.LocalParticipant.PublishDataPacket(
				&livekit.SipDTMF{Code: digitCode(d), Digit: string(d)}, lksdk.WithDataPublishReliable(true))
		case <-l.closed:
			return
		}
	}
}

func (l *roomLeg) pumpDigitsToPhone() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-l.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		select {
		case digits := <-l.fromRoom:
			if phone := l.connected(); phone != nil {
				_ = phone.WriteDTMF(ctx, digits) // fails for an invalid digit
			}
		case <-l.closed:
			return
		}
	}
}

func (l *roomLeg) close() { l.closeOnce.Do(func() { close(l.closed) }) }

// leave makes the participant leave with the reason that the other participants see.
func (l *roomLeg) leave(reason livekit.DisconnectReason) {
	select {
	case <-l.closed:
	default:
		l.room.DisconnectWithReason(reason)
	}
	l.close()
}

// wait returns when the goroutines have ended after the participant has left.
func (l *roomLeg) wait() {
	l.pumps.Wait()
	select {
	case <-l.linger.over:
	case <-time.After(time.Second): // the connection was never made
	}
}

// lingerer keeps a closing connection open for 300 ms. The SDK sends its leave message and closes
// the connection immediately. LiveKit's server sometimes sees only the closing and keeps the
// participant for another 20 s.
type lingerer struct {
	interceptor.NoOp
	once sync.Once
	over chan struct{} // closed after the delay
}

// NewInterceptor is called for each of the room's two peer connections. The first one to close
// is delayed.
func (l *lingerer) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }

func (l *lingerer) Close() error {
	l.once.Do(func() {
		time.Sleep(300 * time.Millisecond)
		close(l.over)
	})
	return nil
}
