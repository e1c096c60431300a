//go:build race

package store_test

// allRounds are fewer under the race detector: it sees in a few what it sees in many, and
// takes five times as long for each. Without it, they are 20.
const allRounds = 4
