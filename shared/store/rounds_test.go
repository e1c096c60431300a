//go:build !race

package store_test

// allRounds is the number of rounds in a run without -short.
const allRounds = 20
