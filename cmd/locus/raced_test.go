//go:build race

package main

// raced: the race detector looks at these tests.
const raced = true
