package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/oauth/client"
	"github.com/auroralocus/locus/internal/oauth/permissionset"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo/repodb"
)

// network is what a process asks outside: addresses that strangers choose, by client, and the PLC directory that the
// operator chose, by a client of its own.
type network struct {
	client   *http.Client
	public   *http.Client      // to services that DID documents name
	named    *http.Client      // to services that an operator named
	builtIn  *plcdir.Directory // one of these two
	remote   *identity.PLCClient
	resolver identity.ResolverConfig
	clients  client.Config // of OAuth clients' documents
}

// outsideFlags are what the operator allows of the network.
type outsideFlags struct {
	PrivateHosts string `placeholder:"LIST" help:"Hosts at private addresses that the server may call, in documents and as services: HOST:PORT (http and https), or networks like 10.1.0.0/16 (https only). All else that is not public stays refused; default: none." env:"LOCUS_PRIVATE_HOSTS"`
}

func (f outsideFlags) reach(facts tenant.Deployment, d *db.DB, log *slog.Logger) (n network, err error) {
	private, err := outbound.ParsePrivate(f.PrivateHosts)
	if err != nil {
		return n, fmt.Errorf("--private-hosts or LOCUS_PRIVATE_HOSTS: %w", err)
	}
	n.client = outbound.New(outbound.Policy{AllowLoopback: facts.Development, Private: private})
	n.clients = client.Config{HTTP: n.client, Private: private.Names, Now: time.Now}
	public, named := callsElsewhere(facts.Development, private)
	n.public, n.named = outbound.New(public), outbound.New(named)
	n.resolver = identity.ResolverConfig{Now: time.Now, Log: log, HTTP: n.client}
	if facts.PLCURL == "" {
		n.builtIn = plcdir.New(d, time.Now, false)
		n.resolver.PLC = n.builtIn
	} else {
		if n.remote, err = identity.DialPLC(facts.PLCURL); err != nil {
			return n, err
		}
		n.resolver.PLC = n.remote
	}
	if facts.Development { // its own names lead to where it listens
		n.resolver.DevHost = net.JoinHostPort("127.0.0.1", strconv.Itoa(facts.Port))
	}
	return n, nil
}

// try says at the start what each sign-up would meet later. A directory that is down stops nothing else.
func (n network) try(ctx context.Context, url string, log *slog.Logger) {
	if n.remote == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := n.remote.Ping(ctx); err != nil && ctx.Err() != context.Canceled {
		log.Warn("the PLC directory does not answer as one: nobody can sign up or change a handle until it does", "url", url, "err", err)
	}
}

func (n network) close() {
	for _, c := range []*http.Client{n.client, n.public, n.named} {
		c.CloseIdleConnections()
	}
	if n.remote != nil {
		n.remote.Close()
	}
}

// permissionSets finds the lexicons that scopes include; those of accounts here are read from the store.
func permissionSets(resolver identity.ResolverConfig, documents *identity.Resolver, tenants *tenant.Registry, repos *repodb.Store) func(context.Context, *tenant.Tenant, string) (*scope.PermissionSet, error) {
	finder := permissionset.New(permissionset.Config{
		Documents: documents, HTTP: resolver.HTTP, Now: resolver.Now,
		Local: func(ctx context.Context, pds *url.URL, did, path string) ([]byte, bool, error) {
			match, err := tenants.ByHost(ctx, pds.Host)
			if err != nil || match.Kind != tenant.Canonical {
				return nil, false, nil // somebody else's server
			}
			a, r, err := repos.GetRecord(ctx, match.Schema, did, path)
			if err == nil && (a.Deactivated || a.Takendown || r.Takendown) {
				err = permissionset.ErrNotFound
			}
			return r.Value, true, err
		},
	})
	return func(ctx context.Context, t *tenant.Tenant, nsid string) (*scope.PermissionSet, error) {
		return finder.Find(ctx, identity.Asker{Scope: t.Schema.String()}, nsid)
	}
}
