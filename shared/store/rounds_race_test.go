//go:build race

package store_test

// allRounds is smaller under the race detector, which needs only a few rounds to see a race and
// takes five times as long for each. Without the race detector it is 20.
const allRounds = 4
