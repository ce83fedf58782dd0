package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/trace"
)

const (
	// claimTime is how long a process has for what it claimed. It is longer than a session with a mail server can take
	// to hand one message over; a message that comes to its turn later than that is left to the next claim.
	claimTime = 2 * time.Minute
	// claimSize is how many messages share a session.
	claimSize = 10
	// The first and the longest wait after a failure that may pass.
	firstRetry = 5 * time.Second
	lastRetry  = 5 * time.Minute
)

var (
	errClaimLost = errors.New("the claim has ended: another process has the message")
	errNoServer  = errors.New("no mail server is set (--smtp-url, LOCUS_SMTP_URL or 'locus tenant smtp' name one)")
	errExpired   = errors.New("it could not be sent in time")
)

// Deliver sends what the tenant has due. next is when to look again; zero: there is nothing.
func (o *Outbox) Deliver(ctx context.Context, t *tenant.Tenant) (next time.Time, err error) {
	for more := true; more && ctx.Err() == nil; {
		if next, more, err = o.deliverSome(ctx, t); err != nil {
			return time.Time{}, err
		}
	}
	return next, nil
}

// deliverSome is Deliver of one session; more: there may be more that is due.
func (o *Outbox) deliverSome(ctx context.Context, t *tenant.Tenant) (next time.Time, more bool, err error) {
	q := o.db.Tenant(t.Schema).Q()
	now := o.now()
	claimed, err := q.LockDueMail(ctx, tenantdb.LockDueMailParams{Now: now, Until: now.Add(claimTime), MaxRows: claimSize})
	if err != nil {
		return time.Time{}, false, fmt.Errorf("claim mail of %s: %w", t.Hostname, err)
	}
	if len(claimed) > 0 {
		// What was claimed is brought to an end also when the process is asked to stop: each message is bounded.
		return time.Time{}, true, o.session(context.WithoutCancel(ctx), t, claimed)
	}
	next, err = q.GetNextMailDue(ctx)
	if err != nil && !db.IsNoRows(err) {
		return time.Time{}, false, fmt.Errorf("look for mail of %s: %w", t.Hostname, err)
	}
	return next, false, nil
}

// session sends the claimed messages, on one connection as long as it holds.
func (o *Outbox) session(ctx context.Context, t *tenant.Tenant, claimed []tenantdb.LockDueMailRow) error {
	s := &sending{o: o, t: t, q: o.db.Tenant(t.Schema).Q()}
	defer s.hangUp()
	for i := range claimed {
		row := &claimed[i]
		err := s.one(ctx, row)
		o.tried(row.MailID)
		switch {
		case err == nil:
			o.counts.sent.Add(1)
			err = s.sent(ctx, row)
		case errors.Is(err, errClaimLost):
			o.log.Warn("mail was taken over by another process", "tenant", t.Hostname, "mail", row.MailID)
			continue
		case errors.Is(err, mail.ErrRefused), errors.Is(err, mail.ErrKind), errors.Is(err, errExpired):
			o.counts.givenUp.Add(1)
			o.log.Warn("mail given up", "tenant", t.Hostname, "mail", row.MailID, "attempts", row.Attempts, "err", err)
			_, err = s.q.UpdateMailGivenUp(ctx, tenantdb.UpdateMailGivenUpParams{MailID: row.MailID, Attempts: row.Attempts, LastError: short(err)})
		default:
			o.counts.retried.Add(1)
			o.log.Warn("mail could not be sent, trying again", "tenant", t.Hostname, "mail", row.MailID, "attempts", row.Attempts, "err", err)
			_, err = s.q.UpdateMailWaiting(ctx, tenantdb.UpdateMailWaitingParams{
				MailID: row.MailID, Attempts: row.Attempts, DueAt: o.now().Add(retryAfter(int(row.Attempts))), LastError: short(err)})
		}
		if err != nil {
			// Nothing is lost: the claim ends by itself.
			return fmt.Errorf("note what became of mail %s of %s: %w", row.MailID, t.Hostname, err)
		}
	}
	return nil
}

// retryAfter doubles with each attempt, with some spread so that a server that comes back is not met by all at once.
func retryAfter(attempts int) time.Duration {
	wait := firstRetry << min(max(attempts-1, 0), 10)
	wait = min(wait, lastRetry)
	return wait + rand.N(wait/4)
}

type sending struct {
	o    *Outbox
	t    *tenant.Tenant
	q    *tenantdb.Queries
	conn *mail.Conn
	dead error // why no session comes about: not tried again for this claim
}

func (s *sending) hangUp() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// one sends one message.
func (s *sending) one(ctx context.Context, row *tenantdb.LockDueMailRow) error {
	if !row.ExpiresAt.After(s.o.now()) {
		return errExpired
	}
	note, err := s.o.open(s.t, row)
	if err != nil {
		return err
	}
	message, err := mail.Render(note, brand(s.t))
	if err != nil {
		return err
	}
	server, err := s.o.serverOf(ctx, s.t)
	if err != nil {
		return err
	}
	handOver := func() error {
		now := s.o.now()
		n, err := s.q.UpdateMailHandingOver(ctx, tenantdb.UpdateMailHandingOverParams{MailID: row.MailID, Attempts: row.Attempts, Now: now, Until: now.Add(claimTime)})
		if err == nil && n == 0 {
			err = errClaimLost
		}
		return err
	}
	if server.IsZero() {
		if !s.o.cfg.ShowText {
			return errNoServer
		}
		if err := handOver(); err != nil {
			return err
		}
		s.o.log.Info("mail", "tenant", s.t.Hostname, "to", row.Recipient, "subject", message.Subject, "text", message.Text)
		return nil
	}
	if s.dead != nil {
		return s.dead
	}
	if s.conn == nil {
		_, span := trace.Start(ctx, "call mail server", trace.Call)
		s.conn, err = server.Dial(ctx, s.t.Hostname)
		failed(span, err)
		if err != nil {
			s.dead = err
			return err
		}
	}
	_, span := trace.Start(ctx, "send mail", trace.Call)
	err = s.conn.Send(s.o.envelope(s.t, row), message, handOver)
	failed(span, err)
	if err != nil {
		s.hangUp() // the next message gets a session that is whole
		return err
	}
	return nil
}

// failed ends a span, whose work err came of.
func failed(span trace.Span, err error) {
	switch {
	case errors.Is(err, mail.ErrRefused):
		span.Failed("refused")
	case err != nil:
		span.Failed("failed")
	}
	span.End()
}

// sent notes that the server has the message. Until that is noted it would be sent again, so it is tried as long as the
// claim holds.
func (s *sending) sent(ctx context.Context, row *tenantdb.LockDueMailRow) error {
	ctx, cancel := context.WithTimeout(ctx, claimTime/2)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		_, err := s.q.UpdateMailSent(ctx, tenantdb.UpdateMailSentParams{MailID: row.MailID, Attempts: row.Attempts})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

func (o *Outbox) open(t *tenant.Tenant, row *tenantdb.LockDueMailRow) (mail.Note, error) {
	body, err := o.keys.Open(Binding(t.Schema, row.MailID), row.Sealed)
	if err != nil {
		return mail.Note{}, fmt.Errorf("open mail: %w", err)
	}
	var n mail.Note
	if err := json.Unmarshal(body, &n); err != nil {
		return mail.Note{}, fmt.Errorf("open mail: %w: %w", mail.ErrKind, err)
	}
	return n, nil
}
