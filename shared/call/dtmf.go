package call

import "time"

// KeyingTime is how long LiveKit SIP takes to send digits after an answer: 260 ms of tone and
// 260 ms of silence for each digit, and half a second for a w.
func KeyingTime(dtmf string) (d time.Duration) {
	for _, digit := range dtmf {
		if digit == 'w' {
			d += 500 * time.Millisecond
		} else {
			d += 520 * time.Millisecond
		}
	}
	return d
}
