//go:build !linux

package fair

// ShortTurns does nothing here: only Linux lets a program ask for it.
func ShortTurns() {}
