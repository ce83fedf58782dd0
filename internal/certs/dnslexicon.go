package certs

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"time"

	"github.com/libdns/libdns"
)

// lexicon changes a zone by the program of that name, which speaks the interfaces of some eighty providers (Debian's
// package lexicon, PyPI's dns-lexicon). The text is the provider's name there. What the provider wants to know of us the
// program reads from its own environment, LEXICON_….
type lexicon string

const lexiconProgram = "lexicon"

// AppendRecords implements libdns.RecordAppender.
func (l lexicon) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return l.run(ctx, "create", zone, records)
}

// DeleteRecords implements libdns.RecordDeleter.
func (l lexicon) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return l.run(ctx, "delete", zone, records)
}

func (l lexicon) run(ctx context.Context, what, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return eachRun(ctx, zone, records, func(zone, name, text string) []string {
		// It would cut a zone down to the registered domain. With "=" no value is taken for an option.
		return []string{lexiconProgram, "--delegated=" + zone, string(l), what, zone, "TXT", "--name=" + name + ".", "--content=" + text, "--output=QUIET"}
	})
}

var lexiconName = regexp.MustCompile(`^[a-z0-9]{1,40}$`)

// check says what is wrong before a certificate is asked for.
func (l lexicon) check() error {
	if !lexiconName.MatchString(string(l)) {
		return errors.New("--acme-dns-provider is the name that lexicon has for the provider, such as cloudflare, route53 or hetzner: 'lexicon --help' lists them")
	}
	said, err := runProgram(context.Background(), 30*time.Second, lexiconProgram, string(l), "--help")
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("--acme-dns lexicon needs the program lexicon: apt install lexicon, or pipx install dns-lexicon")
	case errors.As(err, &exit) && exit.ExitCode() == 2: // no such command, in Python's argparse
		return fmt.Errorf("--acme-dns-provider: lexicon knows no provider %q: 'lexicon --help' lists them", string(l))
	case err != nil:
		return fmt.Errorf("--acme-dns lexicon: %w: %s", err, said)
	}
	return nil
}
