package main

import (
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/mail"
)

// nightlyFlags say when servers look for what is wrong by themselves, and whom they write to.
type nightlyFlags struct {
	dkimFlags
	OperatorMail string        `placeholder:"ADDR" help:"Address of whoever looks after this deployment. The doctor's nightly visit writes there, by --smtp-url, when something does not work or when what it finds has changed; default: nobody is written to." env:"LOCUS_OPERATOR_MAIL"`
	DoctorEvery  time.Duration `placeholder:"TIME" help:"How often each process looks after its own machine: clock, disk, files, the key, how slow Postgres is; default: ${default}." default:"5m" env:"LOCUS_DOCTOR_EVERY"`
	DoctorHour   string        `placeholder:"HOUR" help:"Hour of the day, in UTC, at which one of the servers looks for what is wrong as 'locus doctor' does, or off; default: ${default}. A development server does not." default:"3" env:"LOCUS_DOCTOR_HOUR"`
}

// dkimFlags say what cannot be found out.
type dkimFlags struct {
	DKIMSelectors string `name:"dkim-selectors" placeholder:"LIST" help:"Names of the DKIM keys that the mail server signs with, separated by commas, for the doctor to look for; default: the usual ones." env:"LOCUS_DKIM_SELECTORS"`
}

func (f dkimFlags) selectors() []string {
	return strings.FieldsFunc(f.DKIMSelectors, func(r rune) bool { return r == ',' || r == ' ' })
}

// check gives the hour; on is false where nobody is to look.
func (f nightlyFlags) check(post mailFlags) (hour int, on bool, err error) {
	if f.OperatorMail != "" {
		if a, err := netmail.ParseAddress(f.OperatorMail); err != nil || a.Address != f.OperatorMail {
			return 0, false, errors.New("--operator-mail or LOCUS_OPERATOR_MAIL: give one mail address, without a name")
		}
		if post.SMTPURL == "" {
			return 0, false, errors.New("--operator-mail needs --smtp-url: the deployment's mail server")
		}
	}
	if f.DoctorEvery < time.Second {
		return 0, false, errors.New("--doctor-every or LOCUS_DOCTOR_EVERY: a second is the least")
	}
	if f.DoctorHour == "off" {
		return 0, false, nil
	}
	hour, err = strconv.Atoi(f.DoctorHour)
	if err != nil || hour < 0 || hour > 23 {
		return 0, false, errors.New("--doctor-hour or LOCUS_DOCTOR_HOUR: give an hour from 0 to 23, or off")
	}
	return hour, true, nil
}

// nightly is the doctor's visit of this process; nil: it makes none.
func (s *serving) nightly(c *serveCmd, x checkup) *doctor.Nightly {
	hour, on, err := c.nightlyFlags.check(c.mailFlags)
	if err != nil || !on || s.facts.Development { // flags were checked at the start
		return nil
	}
	n := &doctor.Nightly{
		DB: s.db, Hour: hour, Address: s.where(), Now: time.Now, Log: s.log,
		Checks: func(ctx context.Context) ([]doctor.Check, error) { return x.checks(ctx, "", "") },
	}
	if c.OperatorMail == "" {
		return n
	}
	n.Tell = func(ctx context.Context, subject, text string) error {
		post, err := c.mailFlags.config(false)
		if err != nil {
			return err
		}
		from := post.From
		if from == "" {
			if from, err = s.sender(ctx); err != nil {
				return err
			}
		}
		return tellOperator(ctx, post.Server, from, c.OperatorMail, subject, text)
	}
	return n
}

// checkup is what the doctor is handed of a server's.
func (s *serving) checkup(c *serveCmd) checkup {
	a := s.app
	return checkup{
		db: s.db, tenants: a.tenants, facts: s.facts, net: s.outside, documents: a.documents, keys: a.keys, outbox: a.outbox, blobs: a.blobs,
		post: a.post, data: c.dataFlags, selectors: c.selectors(), serving: true,
	}
}

// itself is what this process finds about itself and its machine.
func (s *serving) itself(c *serveCmd, x checkup) *doctor.Itself {
	return &doctor.Itself{
		DB: s.db, ID: s.app.self.ID(), Every: c.DoctorEvery, Where: s.where(), Now: time.Now, Log: s.log,
		About: func(ctx context.Context) (doctor.Deployment, error) {
			list, err := x.tenants.List(ctx)
			return x.machine(list), err
		},
		Facts: func() doctor.NodeFacts { return s.nodeFacts(c) },
	}
}

func (s *serving) nodeFacts(c *serveCmd) doctor.NodeFacts {
	out := doctor.NodeFacts{Version: version(), Pools: map[int32]int{}, Store: c.BlobStore, Started: describe(s.facts)}
	for _, p := range s.db.StatsByNode() {
		out.Pools[p.Node] += p.Most
	}
	return out
}

// sender is who writes where --mail-from does not say it: the deployment's first tenant.
func (s *serving) sender(ctx context.Context) (string, error) {
	list, err := s.app.tenants.List(ctx)
	if err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", errors.New("there is no tenant yet whose name could stand in the sender's address: --mail-from gives one")
	}
	return "noreply@" + list[0].Hostname, nil
}

// tellOperator sends one message at once.
func tellOperator(ctx context.Context, server mail.Server, from, to, subject, text string) error {
	host := from[strings.LastIndexByte(from, '@')+1:]
	conn, err := server.Dial(ctx, host)
	if err != nil {
		return err
	}
	defer conn.Close()
	now := time.Now()
	envelope := mail.Envelope{FromName: "Locus", From: from, To: to, MessageID: fmt.Sprintf("doctor-%d@%s", now.UnixNano(), host), Date: now}
	return conn.Send(envelope, mail.Message{Subject: subject, Text: text}, func() error { return nil })
}
