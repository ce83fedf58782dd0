package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/doctor"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
)

// checkup is what the doctor is handed, by 'locus doctor' and by servers at night.
type checkup struct {
	db        *db.DB
	tenants   *tenant.Registry
	facts     tenant.Deployment
	net       network
	documents *identity.Resolver
	folders   []string // for files, on this machine
	keyErr    error    // why there is no master key
}

// checks are those of the deployment and of its tenants, or of one of them and one of its accounts.
func (x checkup) checks(ctx context.Context, hostname, account string) ([]doctor.Check, error) {
	checks := doctor.DeploymentChecks(x.deployment())
	list, err := x.tenants.List(ctx)
	if hostname != "" && err == nil {
		var t *tenant.Tenant
		t, err = x.tenants.Get(ctx, hostname)
		list = []*tenant.Tenant{t}
	}
	if err != nil {
		return nil, explainTenant(err)
	}
	out := doctor.Outside{HTTP: x.net.client, DNS: x.net.resolver.DNS, Now: time.Now}
	for _, t := range list {
		if t.State != tenant.Active || t.Usable() != nil {
			checks = append(checks, doctor.NotServed(t.Hostname, cmp.Or(t.Usable(), fmt.Errorf("it is suspended, deleted, moved or made at this moment"))))
			continue
		}
		h := x.host(t)
		checks = append(checks, doctor.HostChecks(h, out)...)
		if account != "" {
			a, err := doctorAccount(ctx, x.db.Tenant(t.Schema).Q(), account)
			if err != nil {
				return nil, err
			}
			checks = append(checks, doctor.AccountChecks(a, h, out, x.documents, x.net.resolver.PLC)...)
		}
	}
	return checks, nil
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

func (x checkup) deployment() doctor.Deployment {
	return doctor.Deployment{
		Now: time.Now, Folders: x.folders, Facts: x.db.ServerFacts,
		Behind: func(ctx context.Context) (int64, error) {
			if err := x.db.CheckControl(ctx); err != nil {
				return 0, err
			}
			latest, err := db.LatestTenantVersion()
			if err != nil {
				return 0, err
			}
			return x.db.Control().CountTenantsBehind(ctx, latest)
		},
		Keys: func(ctx context.Context) error {
			if x.keyErr != nil {
				return x.keyErr
			}
			return x.tenants.KeyFits(ctx)
		},
	}
}

func (x checkup) host(t *tenant.Tenant) doctor.Host {
	return doctor.Host{
		Hostname: t.Hostname, PublicURL: t.PublicURL, ServiceDID: t.ServiceDID, HandleDomains: t.HandleDomains,
		Crawlers: t.Settings.Crawlers, HasStream: t.HasStream(), Development: x.facts.Development,
		LastSeq: func(ctx context.Context) (int64, error) { return x.db.Tenant(t.Schema).Q().GetLastSeq(ctx) },
	}
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
