package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/process"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
)

// sampled is how many accounts of a tenant are looked at.
const sampled = 5

// mostTenants bounds the tenants of one visit, and is what an hour is enough for. Of more others are looked at each night.
const mostTenants = 500

// checkup is what the doctor is handed, by 'locus doctor' and by servers at night.
type checkup struct {
	db        *db.DB
	tenants   *tenant.Registry
	facts     tenant.Deployment
	net       network
	documents *identity.Resolver
	keys      *keyring.Keyring // nil: there is none
	keyErr    error            // why
	outbox    *outbox.Outbox   // nil without a key
	blobs     *blob.Blobs      // nil without a key
	post      outbox.Config
	services  proxy.Services // of the deployment
	data      dataFlags
	selectors []string // of DKIM keys; none: the usual ones
	said      error    // what a flag says against the database
	serving   bool
}

// checks are those of the deployment and of its tenants, or of one of them and one of its accounts.
func (x checkup) checks(ctx context.Context, hostname, account string) ([]doctor.Check, error) {
	list, err := x.tenants.List(ctx)
	if err != nil {
		return nil, explainTenant(err)
	}
	checks := doctor.DeploymentChecks(x.deployment(list))
	if hostname != "" {
		t, err := x.tenants.Get(ctx, hostname)
		if err != nil {
			return nil, explainTenant(err)
		}
		list = []*tenant.Tenant{t}
	}
	if n := len(list); x.serving && n > mostTenants {
		// Each night begins behind where the last one ended.
		from := int(time.Now().Unix()/(24*60*60)) * mostTenants % n
		list = slices.Concat(list[from:], list[:from])[:mostTenants]
	}
	for _, t := range list {
		more, err := x.tenantChecks(ctx, t, account)
		if err != nil {
			return nil, err
		}
		checks = append(checks, more...)
	}
	return checks, nil
}

func (x checkup) tenantChecks(ctx context.Context, t *tenant.Tenant, account string) ([]doctor.Check, error) {
	if t.State != tenant.Active || t.Usable() != nil {
		return []doctor.Check{doctor.NotServed(t.Hostname, cmp.Or(t.Usable(), fmt.Errorf("it is suspended, deleted, moved or made at this moment")))}, nil
	}
	out := doctor.Outside{HTTP: x.net.client, DNS: x.net.resolver.DNS, Now: time.Now}
	h := x.host(ctx, t)
	checks := append(doctor.HostChecks(h, out), doctor.SampleCheck(h, x.documents, x.net.resolver.PLC))
	if account == "" {
		return checks, nil
	}
	a, err := doctorAccount(ctx, x.db.Tenant(t.Schema).Q(), account)
	if err != nil {
		return nil, err
	}
	return append(checks, doctor.AccountChecks(a, h, out, x.documents, x.net.resolver.PLC)...), nil
}

// folders are where files are kept on this machine.
func (f dataFlags) folders() (out []string) {
	if _, err := os.Stat(f.DataDir); err == nil {
		out = append(out, f.DataDir)
	}
	if folder, ok := strings.CutPrefix(f.BlobStore, "disk:"); ok {
		out = append(out, folder)
	}
	return out
}

func (x checkup) deployment(list []*tenant.Tenant) doctor.Deployment {
	d := x.machine(list)
	d.Serving = x.serving
	d.Behind = func(ctx context.Context) (int64, error) {
		if err := x.db.CheckControl(ctx); err != nil {
			return 0, err
		}
		latest, err := db.LatestTenantVersion()
		if err != nil {
			return 0, err
		}
		return x.db.Control().CountTenantsBehind(ctx, latest)
	}
	d.HTTP, d.DNS = x.net.client, x.net.resolver.DNS
	d.Nodes, d.Proofs = x.nodes, x.proofs
	d.Said, d.Noted = x.said, x.noted
	d.Lacking = func(ctx context.Context) ([]string, error) {
		return doctor.ReadLacking(ctx, x.db, time.Now().Add(-time.Minute))
	}
	for _, node := range x.db.KnownNodes() {
		if node != db.HomeNode { // that one is the control schema's
			d.Further = append(d.Further, doctor.Server{Name: fmt.Sprintf("node %d", node), Ask: func(ctx context.Context) error {
				_, err := x.db.LookAtNode(ctx, node)
				return err
			}})
		}
	}
	if x.facts.Development { // known passwords, nobody's mail, and no backups
		d.Proofs = nil
		return d
	}
	if x.net.remote != nil {
		d.Directory, d.DirectoryURL = x.net.remote.Clock, x.facts.PLCURL
	}
	d.Mail = x.mail()
	for _, t := range list {
		for _, c := range t.Settings.Crawlers {
			if !slices.Contains(d.Relays, c) && len(d.Relays) < 3 {
				d.Relays = append(d.Relays, c)
			}
		}
	}
	return d
}

// noted is what the database says that the deployment is, in the words in which processes say it.
func (x checkup) noted(ctx context.Context) (string, error) {
	facts, noted, err := tenant.ReadDeployment(ctx, x.db)
	if err != nil || !noted {
		return "", err
	}
	return describe(facts), nil
}

// machine is what is looked at on each machine.
func (x checkup) machine(list []*tenant.Tenant) doctor.Deployment {
	return doctor.Deployment{
		Now: time.Now, Folders: x.data.folders(), Facts: x.db.ServerFacts,
		Keys: func(ctx context.Context) error {
			if x.keyErr != nil {
				return x.keyErr
			}
			return x.tenants.KeyFits(ctx)
		},
		RoundTrip: func(ctx context.Context) (time.Duration, error) {
			began := time.Now()
			err := x.db.Ping(ctx)
			return time.Since(began), err
		},
		Stores: x.stores(list),
	}
}

// stores is the deployment's place for files. It is tried in the folder of one tenant that keeps its files there. A
// command on a machine that has no such folder says nothing of it: the servers do.
func (x checkup) stores(list []*tenant.Tenant) []doctor.Store {
	for _, t := range list {
		if t.Settings.BlobStore != "" || t.State != tenant.Active || t.Usable() != nil || x.blobs == nil {
			continue
		}
		if _, err := os.Stat(x.data.DataDir); err != nil && !x.serving && x.data.BlobStore == "data:" {
			return nil
		}
		return []doctor.Store{{Name: x.data.BlobStore, Try: func(ctx context.Context) error { return x.blobs.Stores.Try(ctx, t.Schema, "", nil) }}}
	}
	return nil
}

// nodes are the processes that serve, with what they say of themselves.
func (x checkup) nodes(ctx context.Context) ([]doctor.Node, error) {
	alive, err := process.Alive(ctx, x.db, time.Now())
	if err != nil {
		return nil, err
	}
	list := make([]doctor.Node, len(alive))
	for i, p := range alive {
		list[i] = doctor.Node{ID: p.ID, Address: p.Address, Since: p.StartedAt}
	}
	return doctor.ReadNodes(ctx, x.db, list, time.Now())
}

func (x checkup) proofs(ctx context.Context) (out doctor.Proofs, err error) {
	p, err := act.ReadProofs(ctx, x.db, time.Now().Add(-doctor.ProvedFor))
	if err != nil {
		return out, err
	}
	at := func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return *t
	}
	out = doctor.Proofs{Tenants: p.Tenants, Never: p.Never, Stale: p.Stale, Failing: p.Failing}
	if d := p.Deployment; d != nil {
		out.Database = at(d.ProvedAt)
		if d.FailedAt != nil {
			out.DatabaseProblem = cmp.Or(d.Problem, "the last trial failed")
		}
	}
	for _, k := range p.Keys {
		if k.Seals {
			out.KeyCopy = at(k.ProvedAt)
		}
	}
	return out, nil
}

// mail is the deployment's mail server.
func (x checkup) mail() *doctor.Post {
	if x.post.Server.IsZero() {
		return &doctor.Post{}
	}
	return x.postBy(x.post.Server, x.post.From, "--smtp-url")
}

func (x checkup) postBy(server mail.Server, from, setBy string) *doctor.Post {
	return &doctor.Post{
		Server: server.String(), From: from, Selectors: x.selectors, SetBy: setBy,
		Dial: func(ctx context.Context) error {
			conn, err := server.Dial(ctx, from[strings.LastIndexByte(from, '@')+1:])
			if err == nil {
				conn.Close()
			}
			return err
		},
	}
}

// tenantMail is a tenant's mail where it is not the deployment's: another server, or another sender.
func (x checkup) tenantMail(ctx context.Context, t *tenant.Tenant) *doctor.Post {
	if x.outbox == nil || x.facts.Development {
		return nil
	}
	server, own, from, err := x.outbox.Way(ctx, t)
	switch {
	case err != nil:
		return &doctor.Post{Server: "the tenant's own", SetBy: "'locus tenant smtp'", Dial: func(context.Context) error { return err }}
	case server.IsZero() || !own && from == x.post.From:
		return nil // the deployment's check tells
	case own:
		return x.postBy(server, from, "'locus tenant smtp'")
	}
	return x.postBy(server, from, "--smtp-url")
}

func (x checkup) host(ctx context.Context, t *tenant.Tenant) doctor.Host {
	h := doctor.Host{
		Hostname: t.Hostname, PublicURL: t.PublicURL, ServiceDID: t.ServiceDID, HandleDomains: t.HandleDomains,
		Crawlers: t.Settings.Crawlers, HasStream: t.HasStream(), Development: x.facts.Development,
		LastSeq: func(ctx context.Context) (int64, error) { return x.db.Tenant(t.Schema).Q().GetLastSeq(ctx) },
		Mail:    x.tenantMail(ctx, t),
		EventsAfter: func(ctx context.Context, seq int64, most int) (int64, error) {
			return x.db.Tenant(t.Schema).Q().CountEventsAfter(ctx, tenantdb.CountEventsAfterParams{AfterSeq: seq, MaxRows: int32(most)})
		},
		Refused: func(ctx context.Context, relay string) (int, error) {
			n, err := x.db.Control().GetCrawlerFailures(ctx, controldb.GetCrawlerFailuresParams{SchemaName: t.Schema.String(), Url: relay})
			if db.IsNoRows(err) {
				return 0, nil
			}
			return int(n), err
		},
		AppView:      x.services.AppViewURL(t),
		SecretsSince: func(ctx context.Context) (time.Time, error) { return act.SecretsSince(ctx, x.db, t.Schema) },
		Sample: func(ctx context.Context) ([]doctor.Account, error) {
			rows, err := x.db.Tenant(t.Schema).Q().ListActorsNewest(ctx, sampled)
			out := make([]doctor.Account, len(rows))
			for i, r := range rows {
				out[i] = doctor.Account{DID: r.DID, Rev: repo.TID(r.HeadRev).String(), SigningKey: r.SigningKey}
				if r.Handle != nil {
					out[i].Handle = *r.Handle
				}
			}
			return out, err
		},
	}
	if u, err := url.Parse(t.PublicURL); err == nil && x.keys != nil {
		h.Probe = proofFor(x.keys, u.Host)
	}
	if own := t.Settings.BlobStore; own != "" && x.blobs != nil {
		h.Stores = []doctor.Store{{Name: own, Try: func(ctx context.Context) error { return x.blobs.Stores.Try(ctx, t.Schema, own, nil) }}}
	}
	return h
}

func doctorAccount(ctx context.Context, q *tenantdb.Queries, name string) (a doctor.Account, err error) {
	var row tenantdb.GetActorStatusRow
	if strings.HasPrefix(name, "did:") {
		row, err = q.GetActorStatus(ctx, name)
	} else {
		var by tenantdb.GetActorStatusByHandleRow
		by, err = q.GetActorStatusByHandle(ctx, strings.ToLower(strings.TrimPrefix(name, "@")))
		row = tenantdb.GetActorStatusRow(by)
	}
	if db.IsNoRows(err) {
		return a, fmt.Errorf("%s: %w", name, errNoSuchAccount)
	}
	if err != nil {
		return a, err
	}
	a = doctor.Account{DID: row.DID, Deactivated: row.DeactivatedAt != nil, TakenDown: row.TakedownRef != nil}
	if row.Handle != nil {
		a.Handle = *row.Handle
	}
	if row.HeadRev > 0 {
		a.Rev = repo.TID(row.HeadRev).String()
	}
	key, err := q.GetSigningKey(ctx, row.AID)
	if err != nil && !db.IsNoRows(err) {
		return a, err
	}
	a.SigningKey = key.Public
	return a, nil
}
