package certs

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"time"
)

const lexiconProgram = "lexicon"

// lexicon changes a zone by the program of that name, which speaks the interfaces of some eighty providers (Debian's
// package lexicon, PyPI's dns-lexicon). provider is what the provider is called there. What the provider wants to know of us
// the program reads from its own environment, LEXICON_….
func lexicon(provider string) program {
	return func(c change, zone, name, text string) []string {
		what := "create"
		if c == remove {
			what = "delete"
		}
		// It would cut a zone down to the registered domain. With "=" no value is taken for an option.
		return []string{lexiconProgram, "--delegated=" + zone, provider, what, zone, "TXT", "--name=" + name + ".", "--content=" + text, "--output=QUIET"}
	}
}

var lexiconName = regexp.MustCompile(`^[a-z0-9]{1,40}$`)

// checkLexicon says what is wrong before a certificate is asked for.
func checkLexicon(provider string) error {
	if !lexiconName.MatchString(provider) {
		return errors.New("--acme-dns-provider is the name that lexicon has for the provider, such as cloudflare, route53 or hetzner: 'lexicon --help' lists them")
	}
	said, err := runProgram(context.Background(), 30*time.Second, lexiconProgram, provider, "--help")
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("--acme-dns lexicon needs the program lexicon: apt install lexicon, or pipx install dns-lexicon")
	case errors.As(err, &exit) && exit.ExitCode() == 2: // no such command, in Python's argparse
		return fmt.Errorf("--acme-dns-provider: lexicon knows no provider %q: 'lexicon --help' lists them", provider)
	case err != nil:
		return fmt.Errorf("--acme-dns lexicon: %w: %s", err, said)
	}
	return nil
}
