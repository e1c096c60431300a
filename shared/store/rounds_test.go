//go:build !race

package store_test

// allRounds are those of a run without -short.
const allRounds = 20
