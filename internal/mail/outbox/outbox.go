// Package outbox keeps mail until it is sent: a queue in each tenant's schema, emptied by any number of processes.
//
// Mail is put into the queue in the transaction of what it is about, so a request neither waits for a mail server nor
// fails because of one, and mail is sent exactly when its reason was committed. docs/mail.md tells what happens to a
// message after each kind of crash.
package outbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
)

// Config is what a deployment says about mail.
type Config struct {
	Server mail.Server // of tenants without one of their own; may be none
	From   string      // sender's address of tenants that set none; "": noreply@ and the hostname
	// ShowText, without a server, writes mail to the log and counts it as sent: development.
	ShowText bool
	// Promise is told when a tenant's mail is to be looked at, by whichever process; nil: nobody is.
	Promise func(db.Schema, time.Time)
}

// Outbox is the queue of all tenants. It is safe for concurrent use.
type Outbox struct {
	db      *db.DB
	keys    *keyring.Keyring
	tenants *tenant.Registry
	cfg     Config
	now     func() time.Time
	log     *slog.Logger

	wake chan int64 // tenant ids

	mu      sync.Mutex
	servers map[int64]server         // by tenant id
	waiting map[string]chan struct{} // by message: closed when its first attempt ended
	running int                      // calls of Run

	counts struct{ sent, retried, givenUp, tenants atomic.Int64 }
}

// Stats say what became of mail that this process tried to send, in attempts since it started, and how many tenants' mail
// it sends now or waits to send.
type Stats struct{ Sent, Retried, GivenUp, Tenants int64 }

// Stats asks the database nothing.
func (o *Outbox) Stats() Stats {
	return Stats{o.counts.sent.Load(), o.counts.retried.Load(), o.counts.givenUp.Load(), o.counts.tenants.Load()}
}

// server is a tenant's own mail server at one revision of the tenant.
type server struct {
	revision int64
	server   mail.Server
}

// New makes an outbox. Mail leaves it while [Outbox.Run] runs, here or in another process.
func New(d *db.DB, keys *keyring.Keyring, tenants *tenant.Registry, cfg Config, now func() time.Time, log *slog.Logger) *Outbox {
	return &Outbox{db: d, keys: keys, tenants: tenants, cfg: cfg, now: now, log: log, wake: make(chan int64, 256), servers: map[int64]server{}, waiting: map[string]chan struct{}{}}
}

var base32ID = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func newID() string {
	var raw [15]byte
	_, _ = rand.Read(raw[:]) // never fails: the runtime ends the process instead
	return base32ID.EncodeToString(raw[:])
}

// Put queues a message, inside the transaction of what it is about. aid is the account's it concerns, whose deletion
// takes it along; 0: nobody's. It is not sent later than life from now: a mailed token's message is worthless after
// the token. Call [Outbox.Wake] after the commit.
func (o *Outbox) Put(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, aid int64, to string, n mail.Note, life time.Duration) error {
	_, err := o.Post(ctx, q, t, aid, to, n, life)
	return err
}

// Post is Put that also gives the message's id, for [Outbox.Await].
func (o *Outbox) Post(ctx context.Context, q *tenantdb.Queries, t *tenant.Tenant, aid int64, to string, n mail.Note, life time.Duration) (id string, err error) {
	id = newID()
	body, err := json.Marshal(n)
	if err != nil {
		return "", fmt.Errorf("queue mail: %w", err)
	}
	sealed, err := o.keys.Seal(Binding(t.Schema, id), body)
	if err != nil {
		return "", fmt.Errorf("queue mail: %w", err)
	}
	now := o.now()
	err = q.InsertMail(ctx, tenantdb.InsertMailParams{
		MailID: id, AID: aid, Recipient: to, Sealed: sealed, CreatedAt: now, ExpiresAt: now.Add(life),
		About: string(n.Kind), Subject: mail.Subject(n, brand(t)),
	})
	if err != nil {
		return "", fmt.Errorf("queue mail: %w", err)
	}
	o.promise(t.Schema, now.Add(soon)) // if this process dies before it can send it
	return id, nil
}

// Wake has this process look at once whether the tenant has mail to send, or another one if this one sends none. It never
// blocks; what it forgets is found a little later.
func (o *Outbox) Wake(t *tenant.Tenant) {
	o.mu.Lock()
	elsewhere := o.running == 0
	o.mu.Unlock()
	if elsewhere {
		o.promise(t.Schema, o.now())
	}
	select {
	case o.wake <- t.ID:
	default:
	}
}

// Await wakes and then waits until this process has made the first attempt at a message, but no longer than most: a
// person who is told to look for mail finds it there. Whether it was sent does not matter to the caller, and where
// another process sends it there is no wait.
func (o *Outbox) Await(ctx context.Context, t *tenant.Tenant, id string, most time.Duration) {
	o.mu.Lock()
	if o.running == 0 {
		o.mu.Unlock()
		o.Wake(t)
		return
	}
	tried := make(chan struct{})
	o.waiting[id] = tried
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		delete(o.waiting, id)
		o.mu.Unlock()
	}()
	o.Wake(t)
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-tried:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Entry is a message in the queue, or what became of it in the last week. Its content nobody is shown, beyond what it is
// about and its subject.
type Entry struct {
	ID        string    `json:"id"`
	To        string    `json:"to"`
	Kind      string    `json:"kind,omitempty"` // "": queued by an older version
	Subject   string    `json:"subject,omitempty"`
	State     string    `json:"state"` // waiting, claimed, being handed over, sent, given up
	Attempts  int       `json:"attempts"`
	Due       time.Time `json:"due"` // waiting: not before
	LastError string    `json:"lastError,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
}

var states = [...]string{"waiting", "claimed", "being handed over", "sent", "given up"}

// List lists a tenant's messages, newest first; failed: only those that were given up.
func List(ctx context.Context, q *tenantdb.Queries, failed bool, limit int) ([]Entry, error) {
	from := int16(0)
	if failed {
		from = int16(len(states) - 1)
	}
	rows, err := q.ListMail(ctx, tenantdb.ListMailParams{FromState: from, MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list mail: %w", err)
	}
	out := make([]Entry, len(rows))
	for i, r := range rows {
		out[i] = entryOf(r)
	}
	return out, nil
}

func entryOf(r tenantdb.ListMailRow) Entry {
	return Entry{
		ID: r.MailID, To: r.Recipient, Kind: r.About, Subject: r.Subject, State: states[r.State], Attempts: int(r.Attempts), Due: r.DueAt, LastError: r.LastError, CreatedAt: r.CreatedAt,
	}
}

// Try sends a message at once, past the queue, by the tenant's server: the operator sees what that says. The errors are
// those of package mail, and one when there is no server.
func (o *Outbox) Try(ctx context.Context, t *tenant.Tenant, to string, n mail.Note) error {
	server, err := o.serverOf(ctx, t)
	if err != nil {
		return err
	}
	if server.IsZero() {
		return errNoServer
	}
	message, err := mail.Render(n, brand(t))
	if err != nil {
		return err
	}
	conn, err := server.Dial(ctx, t.Hostname)
	if err != nil {
		return err
	}
	defer conn.Close()
	row := &tenantdb.LockDueMailRow{MailID: newID(), Recipient: to, CreatedAt: o.now()}
	return conn.Send(o.envelope(t, row), message, func() error { return nil })
}

// tried tells who waits for a message that an attempt has ended.
func (o *Outbox) tried(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c, ok := o.waiting[id]; ok {
		close(c)
		delete(o.waiting, id)
	}
}

// Binding is what a queued message is bound to.
func Binding(schema db.Schema, id string) keyring.Binding {
	return keyring.Binding{Schema: schema.String(), Owner: id, Purpose: "mail"}
}

// serverOf is where the tenant's mail goes; zero: nowhere.
func (o *Outbox) serverOf(ctx context.Context, t *tenant.Tenant) (mail.Server, error) {
	if t.Settings.Isolated {
		return mail.Server{}, nil
	}
	own, err := o.ownServer(ctx, t)
	if err == nil && own.IsZero() {
		return o.cfg.Server, nil
	}
	return own, err
}

// ownServer is the tenant's own mail server; zero: it has none.
func (o *Outbox) ownServer(ctx context.Context, t *tenant.Tenant) (mail.Server, error) {
	o.mu.Lock()
	have, ok := o.servers[t.ID]
	o.mu.Unlock()
	if !ok || have.revision != t.Revision {
		have = server{revision: t.Revision}
		row, err := o.db.Tenant(t.Schema).Q().GetSecret(ctx, tenant.SecretSMTP)
		if err != nil && !db.IsNoRows(err) {
			return mail.Server{}, fmt.Errorf("mail server of %s: %w", t.Hostname, err)
		}
		if err == nil {
			url, err := o.keys.Open(tenant.SMTPBinding(t.Schema), row.Sealed)
			if err != nil {
				return mail.Server{}, fmt.Errorf("mail server of %s: %w", t.Hostname, err)
			}
			if have.server, err = mail.ParseServer(string(url)); err != nil {
				return mail.Server{}, fmt.Errorf("mail server of %s: %w", t.Hostname, err)
			}
		}
		o.mu.Lock()
		o.servers[t.ID] = have
		o.mu.Unlock()
	}
	return have.server, nil
}

// brand is how the tenant looks.
func brand(t *tenant.Tenant) mail.Brand {
	s := &t.Settings
	return mail.Brand{Name: s.DisplayName, Host: t.Hostname, LogoURL: s.LogoURL, Color: s.BrandColor, TextColor: s.BrandTextColor, HelpURL: s.SupportURL}
}

func (o *Outbox) envelope(t *tenant.Tenant, row *tenantdb.LockDueMailRow) mail.Envelope {
	e := mail.Envelope{FromName: t.Settings.DisplayName, From: o.sender(t), To: row.Recipient,
		MessageID: row.MailID + "@" + t.Hostname, Date: row.CreatedAt}
	if e.FromName == "" {
		e.FromName = t.Hostname
	}
	return e
}

// sender is the address that a tenant's mail comes from.
func (o *Outbox) sender(t *tenant.Tenant) string {
	return cmp.Or(t.Settings.MailFrom, o.cfg.From, "noreply@"+t.Hostname)
}

// Way is how a tenant's mail goes: by which server, which is its own or the deployment's and may be none, and from which
// address.
func (o *Outbox) Way(ctx context.Context, t *tenant.Tenant) (server mail.Server, own bool, from string, err error) {
	if server, err = o.ownServer(ctx, t); err != nil {
		return server, false, "", err
	}
	own = !server.IsZero()
	server, err = o.serverOf(ctx, t)
	return server, own, o.sender(t), err
}

// short keeps an error's text fit for a row.
func short(err error) string {
	s := strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", ""), "")
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "")
	}
	return s
}
