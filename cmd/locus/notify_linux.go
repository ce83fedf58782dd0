package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonic is the line by which systemd knows that what follows comes after its wish to reload.
func monotonic() string {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &at); err != nil {
		return "MONOTONIC_USEC=0"
	}
	return fmt.Sprintf("MONOTONIC_USEC=%d", at.Nano()/1000)
}
