package call

import "math"

// step is the ratio between two bounds of the duration histogram: a value read
// back from the middle of its bucket is at most 4 % off.
const step = 1.08

// DurationBucket is the bucket of the duration histogram that a talk time of
// so many seconds falls into: 0 for 0, else the logarithm to base 1.08.
func DurationBucket(seconds int) int {
	if seconds < 1 {
		return 0
	}
	return 1 + int(math.Log(float64(seconds))/math.Log(step))
}
