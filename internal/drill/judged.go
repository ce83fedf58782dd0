package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// judged is what the judge has said so far.
type judged struct {
	in  io.WriteCloser
	cmd *exec.Cmd

	mu         sync.Mutex
	revs       map[string]string // DID → rev of its newest commit or sync
	status     map[string]string // DID → why it is not active
	counts     map[string]int
	complaints []string
	last       int64 // seq
}

// startJudge builds and starts the judge of a host's stream.
func (w *world) startJudge(ctx context.Context, host string) (*judged, error) {
	program := w.path("judge")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir = "internal/drill/judge"
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the judge: %w\n%s", err, out)
	}
	j := &judged{revs: map[string]string{}, status: map[string]string{}, counts: map[string]int{}}
	j.cmd = exec.Command(program, "-front", w.front, "-host", host, "-plc", w.plc)
	j.cmd.Stderr = os.Stderr
	out, err := j.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if j.in, err = j.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := j.cmd.Start(); err != nil {
		return nil, err
	}
	go j.listen(out)
	w.closing = append(w.closing, func() { _ = j.in.Close(); _ = j.cmd.Wait() })
	return j, nil
}

func (j *judged) listen(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var w struct {
			Type, DID, Rev, Status, Complaint string
			Seq                               int64
		}
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			w.Complaint = fmt.Sprintf("%s: %v", lines.Bytes(), err)
		}
		j.mu.Lock()
		switch {
		case w.Complaint != "":
			j.complaints = append(j.complaints, w.Complaint)
		case w.Type == "account":
			j.status[w.DID] = w.Status
		case w.Rev != "":
			j.revs[w.DID] = w.Rev
		}
		j.counts[w.Type]++
		j.last = max(j.last, w.Seq)
		j.mu.Unlock()
	}
}

// rename tells the judge the host's new name.
func (j *judged) rename(host string) error {
	_, err := fmt.Fprintln(j.in, host)
	return err
}

// verdict is an error when there was a complaint.
func (j *judged) verdict() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.complaints) > 0 {
		return fmt.Errorf("the relay complains %d times, first: %s", len(j.complaints), j.complaints[0])
	}
	return nil
}

func (j *judged) rev(did string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.revs[did]
}

func (j *judged) inactive(did string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.status[did]
}

func (j *judged) count(kind string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.counts[kind]
}

// until waits for something that has to happen.
func until(ctx context.Context, what string, is func() (bool, error)) error {
	late := time.NewTimer(2 * time.Minute)
	defer late.Stop()
	for {
		ok, err := is()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			return fmt.Errorf("%s: not within two minutes", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
