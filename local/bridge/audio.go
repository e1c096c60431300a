package bridge

import (
	"math/bits"
	"strings"
	"sync"
	"time"
)

const (
	frameTime = 20 * time.Millisecond
	frameSize = 160 // bytes: 20 ms of PCMU
	maxQueued = 10  // frames; older audio is dropped so that it is not heard late
)

// frames is a queue of PCMU. It is filled in pieces of any size and emptied frame by frame.
type frames struct {
	mu    sync.Mutex
	bytes []byte
}

func (f *frames) write(payload []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bytes = append(f.bytes, payload...)
	if extra := len(f.bytes) - maxQueued*frameSize; extra > 0 {
		f.bytes = append(f.bytes[:0], f.bytes[extra:]...)
	}
}

// read takes one frame. It takes nothing and returns false if no whole frame is queued.
func (f *frames) read(frame []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.bytes) < frameSize {
		return false
	}
	copy(frame, f.bytes[:frameSize])
	f.bytes = append(f.bytes[:0], f.bytes[frameSize:]...)
	return true
}

// mixer mixes several streams into one. The audio of a single speaker passes untouched.
type mixer struct {
	mu      sync.Mutex
	sources map[*frames]bool
}

func newMixer() *mixer { return &mixer{sources: map[*frames]bool{}} }

func (m *mixer) add() *frames {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := &frames{}
	m.sources[f] = true
	return f
}

func (m *mixer) remove(f *frames) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sources, f)
}

// read fills frame with the mix of the queued frames, or with silence if no frame is queued.
func (m *mixer) read(frame []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	speakers := 0
	var next [frameSize]byte
	for f := range m.sources {
		switch {
		case !f.read(next[:]):
			continue
		case speakers == 0:
			copy(frame, next[:])
		default:
			for i, b := range next {
				frame[i] = toULaw(fromULaw(frame[i]) + fromULaw(b))
			}
		}
		speakers++
	}
	if speakers == 0 {
		silence(frame)
	}
}

func silence(frame []byte) {
	for i := range frame {
		frame[i] = 0xff // µ-law zero
	}
}

const uLawBias = 0x84

// fromULaw decodes ITU-T G.711 µ-law to a 16-bit sample.
func fromULaw(b byte) int {
	b = ^b
	v := (int(b&0x0f)<<3+uLawBias)<<(b>>4&7) - uLawBias
	if b&0x80 != 0 {
		return -v
	}
	return v
}

// toULaw encodes a sample and clips it if it is too loud.
func toULaw(v int) byte {
	sign := byte(0)
	if v < 0 {
		v, sign = -v, 0x80
	}
	v = min(v, 32635) + uLawBias
	exponent := bits.Len(uint(v)) - 8
	return ^(sign | byte(exponent<<4) | byte(v>>(exponent+3)&0x0f))
}

// digitCode is the RFC 4733 event code of a keypad digit.
func digitCode(digit byte) uint32 {
	return uint32(max(0, strings.IndexByte("0123456789*#ABCD", digit)))
}
