package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/job"
)

// progressEvery is how often a log gets a line of progress, and a terminal a new one in its place.
const (
	progressEvery         = 2 * time.Second
	progressEveryTerminal = 200 * time.Millisecond
)

// progress shows on out how far long work is: one line that changes on a terminal, else a line from time to time.
type progress struct {
	out      io.Writer
	terminal bool
	now      func() time.Time

	mu    sync.Mutex
	began time.Time
	last  time.Time
	width int // of what stands on the terminal's line
}

// newProgress shows progress on standard error: what a command prints is for scripts.
func newProgress() *progress {
	info, err := os.Stderr.Stat()
	return &progress{out: os.Stderr, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, now: time.Now}
}

// job is for [job.Runner.Do].
func (p *progress) job(j job.Job) { p.show(j.Step, j.Done, j.Total) }

func (p *progress) show(step string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	every := progressEvery
	if p.terminal {
		every = progressEveryTerminal
	}
	if p.began.IsZero() {
		p.began, p.last = now, now // what is over in a moment shows nothing
		return
	}
	if now.Sub(p.last) < every {
		return
	}
	p.last = now
	text := step
	switch {
	case total > 0:
		text = fmt.Sprintf("%s: %d of %d (%d %%), %s", step, done, total, min(100, done*100/total), now.Sub(p.began).Round(time.Second))
	case done > 0:
		text = fmt.Sprintf("%s: %d, %s", step, done, now.Sub(p.began).Round(time.Second))
	}
	if !p.terminal {
		fmt.Fprintln(p.out, text)
		return
	}
	fmt.Fprintf(p.out, "\r%-*s", p.width, text)
	p.width = len(text)
}

// end leaves the terminal's line.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal && p.width > 0 {
		fmt.Fprintln(p.out)
		p.width = 0
	}
}
