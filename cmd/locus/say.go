package main

import (
	"fmt"
	"os"
)

// jsonFlags are what all commands have that say in one line what they did.
type jsonFlags struct {
	JSON bool `help:"Print JSON."`
}

// outcome is what a command did, for scripts.
type outcome map[string]any

// say tells what a command did: one line for people, or what scripts read.
func (f jsonFlags) say(what outcome, line string, args ...any) error {
	if f.JSON {
		return printJSON(os.Stdout, what)
	}
	return printed(line+"\n", args...)
}

// printed prints to standard output. What cannot be written there is lost, and the command has to say so: a disk may be
// full, and what it printed shown once.
func printed(format string, args ...any) error {
	_, err := fmt.Printf(format, args...)
	return err
}
