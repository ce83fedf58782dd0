package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/handlers"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/due"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/picture"
	"github.com/auroralocus/locus/internal/process"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/proxy/afterwrite"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
	"github.com/auroralocus/locus/internal/web"
	accountpages "github.com/auroralocus/locus/internal/web/account"
	"github.com/auroralocus/locus/internal/web/endpoint"
	"github.com/auroralocus/locus/internal/web/signin"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/repodb"
)

// app is the assembled server, before anything of it runs.
type app struct {
	db        *db.DB
	keys      *keyring.Keyring
	tenants   *tenant.Registry
	sweeper   *account.Sweeper
	repos     *repodb.Store
	streams   *firehose.Tails
	hub       *firehose.Hub
	notes     *firehose.Notes
	documents *identity.Resolver
	outbox    *outbox.Outbox
	blobs     *blob.Blobs
	limits    *limit.Counter
	meter     *usage.Meter
	acts      *act.Acts
	memory    *fair.Bytes // of answers
	passwords *account.Passwords
	jobs      *job.Runner
	backups   *act.Backups // nil where no server is started
	masters   *act.MasterKeys
	self      *process.Self
	book      *due.Book
	server    func() *xrpc.Server // made when it is first asked for
	elsewhere *proxy.Proxy        // nil: nobody is called
	actors    *account.Cache
	post      outbox.Config
	counted   *calmness // lines of the log; nil: nobody counts
	log       *slog.Logger
}

// assemble hands each part exactly what it needs. observe hears of every answer; nil: nobody does.
func assemble(d *db.DB, keys *keyring.Keyring, origin tenant.Config, resolver identity.ResolverConfig, apps client.Config, calls proxy.Config, post outbox.Config, files blob.Config, answers *fair.Bytes, proxies inbound.Proxies, observe func(*xrpc.Answered), log *slog.Logger) *app {
	now := time.Now
	tenants := tenant.NewRegistry(d, keys, origin, now, log)
	actors := account.NewCache(d, 0, now)
	sessions := auth.NewSessions(d, keys, actors, now)
	book := promises(d, tenants, now, log)
	self := process.New(d, now, log)
	notes := firehose.NewNotes(d, self.ID(), func() ([]int64, bool, bool) { return self.Circle(firehose.NotesSince) }, now, log)
	hub := firehose.NewHub()
	hub.Tell(notes)
	hub.OnChange(func(s db.Schema, _ int64) { book.Expect(s, due.Crawls, now(), now().Add(firehose.CrawlEvery)) })
	post.Promise = func(s db.Schema, at time.Time) { book.Mark(s, due.Mail, at) }
	repos := repodb.New(d, keys, now, log, repodb.Config{Hub: hub})
	var acts *act.Acts // there before anybody subscribes
	streams := firehose.NewTails(d, hub, now, log, firehose.Config{
		Notes:    notes,
		StepBack: func(ctx context.Context, lost firehose.Lost) error { return acts.StepBack(ctx, lost) },
	})
	blobs := blob.New(d, keys, now, log, files)
	documents := identity.NewResolver(resolver)
	mails := outbox.New(d, keys, tenants, post, now, log)
	limits := limit.New(d, now, log)
	meter := usage.NewMeter(d, tenants, now, log)
	passwords := account.NewPasswords(account.PasswordConfig{}, now)
	acts = act.New(act.Parts{
		DB: d, Tenants: tenants, Keys: keys, Passwords: passwords, Sessions: sessions, Actors: actors, Directory: resolver.PLC,
		Documents: documents, Repos: repos, Blobs: blobs, Outbox: mails, Hub: hub, Limits: limits, Usage: meter, Now: now, Log: log,
		Clients: client.NewStore(apps), Sets: permissionSets(resolver, documents, tenants, repos),
	})
	var elsewhere *proxy.Proxy // commands call nobody
	var merged map[string]func(context.Context, *proxy.Call) (*proxy.Answer, error)
	if calls.Public != nil {
		calls.Documents, calls.Memory, calls.Now = documents, answers, now
		calls.Signer = func(ctx context.Context, schema db.Schema, aid int64) (proxy.Signer, error) {
			key, err := account.Signer(ctx, d.Tenant(schema).Q(), keys, schema, aid)
			if err != nil {
				return nil, act.Gone(err)
			}
			return key, nil
		}
		elsewhere = proxy.New(calls)
		merged = afterwrite.New(afterwrite.Config{
			Proxy: elsewhere, Repos: repos, Actors: actors, Memory: answers, Origin: origin.URL, Now: now, Log: log,
		}).Methods()
	}
	// Commands serve nobody, and start in half the time without.
	server := sync.OnceValue(func() *xrpc.Server {
		frame := web.New(acts, now, log)
		ownPages := accountpages.New(accountpages.Deps{
			Acts: acts, DB: d, Repos: repos, Blobs: blobs, Documents: documents, Proxy: elsewhere, Limits: limits, Now: now,
		})
		return handlers.New(handlers.Deps{
			Pages: func(g *xrpc.Group) {
				frame.Register(g)
				signin.New(signin.Config{Frame: frame, Acts: acts, Limits: limits, Captcha: apps.HTTP}).Register(g)
				endpoint.Register(g, endpoint.Config{Acts: acts, Secrets: sessions.OAuth, Languages: web.Languages(), Now: now})
				ownPages.Register(frame, g)
			},
			Log: log, Now: now, Version: version(),
			Auth: sessions, ByHost: tenants.ByHost,
			DB: d, Tenants: tenants, Keys: keys, Actors: actors,
			Acts:  acts,
			Repos: repos, Blobs: blobs, Pictures: picture.NewMaker(picture.Config{Dir: filepath.Join(files.Stores.DataDir, "pictures")}), Streams: streams, Documents: documents,
			Lexicons: lexicon.Default(), Services: auth.NewServices(documents, now), Limits: limits, Answers: answers, Proxies: proxies, Proxy: elsewhere, Merged: merged, Observe: observe, Usage: meter,
			Clock: repo.NewClock(now, rand.IntN(1024)), // processes that write to one repository at once differ by it
		})
	})
	jobs := job.New(d, now, log)
	for _, k := range acts.TenantJobs() {
		jobs.Register(k)
	}
	tenants.OnGone(acts.ForgetTenant)
	jobs.Register(acts.MoveJob(nil))
	jobs.Register(acts.DrainJob(jobs))
	masters := act.NewMasterKeys(acts.TenantActs, keys, nil, 0, log)
	jobs.Register(masters.RotateKind(nil))
	return &app{
		masters: masters,
		db:      d, keys: keys, tenants: tenants, sweeper: account.NewSweeper(d, tenants, hub, resolver.PLC, documents, now, log), repos: repos, streams: streams, hub: hub, notes: notes, documents: documents,
		outbox: mails, blobs: blobs, limits: limits, meter: meter, acts: acts, memory: answers, passwords: passwords, jobs: jobs, self: self, book: book, server: server, elsewhere: elsewhere, actors: actors, post: post, log: log,
	}
}

// close waits for writes that are on their way.
func (a *app) close() {
	a.streams.Close()
	a.repos.Close()
	a.blobs.Close()
	a.documents.Close()
	last, cancel := context.WithTimeout(context.Background(), promiseTime)
	defer cancel()
	if err := a.book.Flush(last); err != nil && !db.IsUnavailable(err) {
		a.log.Warn("what is due is found later than usual", "err", err)
	}
	closeNotes(last, a.notes, a.log)
	a.meter.Close()
}
