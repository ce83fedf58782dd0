package certs

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/libdns/libdns"
)

// programTime bounds one run, programSays what of its words goes into an error.
const (
	programTime = 2 * time.Minute
	programSays = 300
)

// program changes a zone by running a command for each record: it says which, for the record's whole name and its text.
type program func(c change, zone, name, text string) []string

// change is what is done to a record.
type change string

const (
	add    change = "add"
	remove change = "remove"
)

// ownProgram is a program of the operator's: for all the providers that have an interface of their own. It is run with four
// arguments: add or remove, the zone, the record's whole name, and its text.
func ownProgram(file string) program {
	return func(c change, zone, name, text string) []string { return []string{file, string(c), zone, name, text} }
}

// AppendRecords implements libdns.RecordAppender.
func (p program) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return p.each(ctx, add, zone, records)
}

// DeleteRecords implements libdns.RecordDeleter.
func (p program) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return p.each(ctx, remove, zone, records)
}

func (p program) each(ctx context.Context, c change, zone string, records []libdns.Record) ([]libdns.Record, error) {
	zone = strings.TrimSuffix(zone, ".")
	for _, r := range records {
		one := r.RR()
		words := p(c, zone, strings.TrimSuffix(libdns.AbsoluteName(one.Name, zone), "."), one.Data)
		if said, err := runProgram(ctx, programTime, words...); err != nil {
			return nil, fmt.Errorf("%s for %s in %s: %w: %s", words[0], one.Name, zone, err, said)
		}
	}
	return records, nil
}

// runProgram runs one without what this process is told in its environment, and answers the end of what it says, where the
// reason of a failure is; whatever else of its environment may be a secret is taken out of that.
func runProgram(ctx context.Context, limit time.Duration, words ...string) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "LOCUS_") || strings.HasPrefix(v, "CREDENTIALS_DIRECTORY=")
	})
	out := new(tail)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	said = string(out.last)
	for _, v := range cmd.Env {
		if name, value, _ := strings.Cut(v, "="); secretName.MatchString(name) && len(value) >= 4 {
			said = strings.ReplaceAll(said, value, "…")
			said = strings.ReplaceAll(said, url.QueryEscape(value), "…")
		}
	}
	said = strings.ToValidUTF8(strings.TrimSpace(said), "")
	if len(said) > programSays {
		said = strings.ToValidUTF8(said[len(said)-programSays:], "")
	}
	return said, err
}

// secretName tells by a variable's name that its value may be somebody's secret.
var secretName = regexp.MustCompile(`(?i)^LEXICON_|TOKEN|SECRET|KEY|PASS|AUTH`)

// tail keeps the end of what is written to it: more than is told, so that a secret is not cut where it begins.
type tail struct{ last []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.last = append(t.last, b...)
	if n := len(t.last) - 64<<10; n > 0 {
		t.last = append(t.last[:0], t.last[n:]...)
	}
	return len(b), nil
}
