//go:build !race

package store_test

// rounds is how often what happens at the same time is tried anew.
const rounds = 20
