package call

import "math"

// The buckets of the duration histogram: one for each second below exact, and from there on buckets
// whose bounds grow by step. A duration read back from the middle of its bucket is at most 4 % off.
const (
	exact = 28 // seconds
	step  = 1.08
)

// Histogram counts calls by DurationBucket of their talk time.
type Histogram [DurationBuckets]int

// DurationBuckets is the number of buckets. The last one holds talk times of more than five hours,
// longer than any call may last.
const DurationBuckets = 114

// DurationBucket is the bucket of the duration histogram for a talk time in seconds: 0 to
// DurationBuckets - 1.
func DurationBucket(seconds int) int {
	if seconds < exact {
		return max(seconds, 0)
	}
	return min(exact+int(math.Log(float64(seconds)/exact)/math.Log(step)), DurationBuckets-1)
}

// middle is the duration, in seconds, that is read back for a bucket.
func middle(bucket int) int {
	low, next := lowest(bucket), lowest(bucket+1)
	high := next - 1
	if low >= high {
		return low
	}
	// The mean is equally far from both bounds, in percent.
	return int(math.Round(2 * float64(low) * float64(high) / float64(low+high)))
}

// lowest is the shortest duration in a bucket, in seconds.
func lowest(bucket int) int {
	if bucket <= exact {
		return bucket
	}
	return int(math.Ceil(exact * math.Pow(step, float64(bucket-exact))))
}

// Percentile is the duration, in whole seconds, that percent of the calls did not exceed: the
// smallest such value (nearest rank). It is 0 without calls. It is exact below 28 s, and at most
// 4 % off from there on.
func (h *Histogram) Percentile(percent int) int {
	total, seen := 0, 0
	for _, n := range h {
		total += n
	}
	rank := (total*percent + 99) / 100
	for bucket, n := range h {
		if seen += n; seen >= rank && seen > 0 {
			return middle(bucket)
		}
	}
	return 0
}
