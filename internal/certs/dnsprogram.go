package certs

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/libdns/libdns"
)

// programTime bounds one run, programSays what of its words goes into an error.
const (
	programTime = 2 * time.Minute
	programSays = 300
)

// program changes a zone by a program of the operator's: for all the providers that have an interface of their own. It is
// run with four arguments: add or remove, the zone, the record's whole name, and its text.
type program string

// AppendRecords implements libdns.RecordAppender.
func (p program) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return p.run(ctx, "add", zone, records)
}

// DeleteRecords implements libdns.RecordDeleter.
func (p program) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return p.run(ctx, "remove", zone, records)
}

func (p program) run(ctx context.Context, what, zone string, records []libdns.Record) ([]libdns.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	for _, r := range records {
		one := r.RR()
		cmd := exec.CommandContext(ctx, string(p), what, strings.TrimSuffix(zone, "."), strings.TrimSuffix(libdns.AbsoluteName(one.Name, zone), "."), one.Data)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		cmd.WaitDelay = time.Second
		if err := cmd.Run(); err != nil {
			text := strings.TrimSpace(said.String())
			if len(text) > programSays {
				text = text[:programSays]
			}
			return nil, fmt.Errorf("%s %s %s: %w: %s", p, what, one.Name, err, text)
		}
	}
	return records, nil
}
