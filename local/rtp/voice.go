package rtp

import (
	"math"
	"time"
)

// Silence is the PCMU byte for silence.
const Silence = 0xff

// Voice is PCMU that sounds like a person humming in syllables. The pitch is in Hz: about 110 for a
// man, about 210 for a woman. The length is rounded down to whole frames of 20 ms. The same
// arguments give the same bytes.
func Voice(pitch float64, length time.Duration) []byte {
	b := make([]byte, int(length/frame)*frameLen)
	for i := range b {
		t := float64(i) / sampleRate
		// A syllable lasts 250 ms. Every fifth one is a pause for breath.
		syllable, within := math.Modf(t / 0.25)
		if int(syllable)%5 == 4 {
			b[i] = Silence
			continue
		}
		f := pitch * (1 + 0.08*math.Sin(syllable*2.4))
		sound := math.Sin(2*math.Pi*f*t) + 0.5*math.Sin(4*math.Pi*f*t) + 0.25*math.Sin(6*math.Pi*f*t)
		b[i] = encode(int16(3500 * sound * math.Sin(math.Pi*within)))
	}
	return b
}

// encode is the µ-law code of a linear sample (ITU-T G.711).
func encode(sample int16) byte {
	const bias, clip = 132, 32635
	level, sign := int(sample), byte(0)
	if level < 0 {
		level, sign = -level, 0x80
	}
	level = min(level, clip) + bias
	segment := 7
	for mask := 0x4000; segment > 0 && level&mask == 0; mask >>= 1 {
		segment--
	}
	return ^(sign | byte(segment)<<4 | byte(level>>(segment+3))&0x0f)
}
