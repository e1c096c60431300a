package call

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestEveryDurationIsReadBackWithinFourPercent(t *testing.T) {
	t.Parallel()
	if longest := DurationBucket(math.MaxInt32); longest != DurationBuckets-1 {
		t.Errorf("the last bucket is %d", longest)
	}
	for s := range 5 * 3600 {
		bucket := DurationBucket(s)
		got := middle(bucket)
		if s < exact && got != s {
			t.Errorf("%d s reads as %d s", s, got)
		}
		if off := math.Abs(float64(got)/float64(s) - 1); s > 0 && off > 0.04 {
			t.Fatalf("%d s in bucket %d reads as %d s: %.1f %% off", s, bucket, got, off*100)
		}
		if lowest(bucket) > s || lowest(bucket+1) <= s {
			t.Fatalf("%d s is not in [%d, %d) of bucket %d", s, lowest(bucket), lowest(bucket+1), bucket)
		}
	}
}

// TestPercentiles compares with the exact percentiles of many durations. Their distributions are
// those of talk times: most short and some long, all alike, or with two humps.
func TestPercentiles(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(2026, 11))
	for name, duration := range map[string]func() float64{
		"exponential": func() float64 { return random.ExpFloat64() * 90 },
		"log-normal":  func() float64 { return math.Exp(4 + random.NormFloat64()) },
		"uniform":     func() float64 { return random.Float64() * 14400 },
		"two humps": func() float64 {
			return math.Abs(random.NormFloat64())*3 + float64(random.IntN(2))*(600+random.NormFloat64()*20)
		},
		"short": func() float64 { return random.Float64() * exact },
	} {
		durations, histogram := make([]int, 100_000), Histogram{}
		for i := range durations {
			durations[i] = min(int(math.Round(duration())), 14400)
			histogram[DurationBucket(durations[i])]++
		}
		slices.Sort(durations)
		for _, percent := range []int{1, 50, 90, 95, 99, 100} {
			want, got := durations[len(durations)*percent/100-1], histogram.Percentile(percent)
			if off := math.Abs(float64(got - want)); off > 0.05*float64(want) || want < exact && off > 0 {
				t.Errorf("%s: p%d is %d s, want %d s", name, percent, got, want)
			}
		}
	}
}

func TestPercentilesOfFew(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		durations     []int
		p50, p90, p95 int
	}{
		{nil, 0, 0, 0},
		{[]int{0}, 0, 0, 0},
		{[]int{7}, 7, 7, 7},
		{[]int{0, 20}, 0, 20, 20},
		{[]int{1, 2, 3}, 2, 3, 3},
		{[]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 5, 9, 10},
		{[]int{3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 27}, 3, 3, 3},
	} {
		histogram := Histogram{}
		for _, d := range tt.durations {
			histogram[DurationBucket(d)]++
		}
		if a, b, c := histogram.Percentile(50), histogram.Percentile(90), histogram.Percentile(95); a != tt.p50 || b != tt.p90 || c != tt.p95 {
			t.Errorf("%v: p50 %d, p90 %d, p95 %d", tt.durations, a, b, c)
		}
	}
}
