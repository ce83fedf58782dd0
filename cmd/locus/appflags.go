package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/inbound"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/proxy"
	"github.com/auroralocus/locus/internal/tenant"
)

// appFlags are what a command needs that works on the server's own parts, in this process.
type appFlags struct {
	dataFlags
	originFlags
	outsideFlags
	Dev bool `help:"Refuse to work on anything but a development server's database."`
}

// parts opens everything, for all tenants; stop closes it.
func (f appFlags) parts(ctx context.Context, log *slog.Logger) (*app, func(), error) {
	d, stopDB, err := f.existing(ctx, log)
	if err != nil {
		return nil, nil, err
	}
	facts, err := f.facts(ctx, d, f.dataFlags, f.Dev)
	if err == nil {
		err = d.MigrateControl(ctx)
	}
	var keys *keyring.Keyring
	if err == nil {
		keys, err = f.keys(ctx, d, log)
	}
	var net network
	if err == nil {
		net, err = f.reach(facts, d, log)
	}
	if err != nil {
		stopDB()
		return nil, nil, err
	}
	a := assemble(d, keys, facts.Config(f.DevNames), net.resolver, net.clients, proxy.Config{}, outbox.Config{}, f.blobs(), fair.NewBytes(xrpc.DefaultAnswerMemory), inbound.Proxies{}, nil, log)
	stop := func() {
		a.close()
		net.close()
		stopDB()
	}
	return a, stop, nil
}

// assemble is parts, with one tenant.
func (f appFlags) assemble(ctx context.Context, log *slog.Logger, hostname string) (*app, *tenant.Tenant, func(), error) {
	a, stop, err := f.parts(ctx, log)
	if err != nil {
		return nil, nil, nil, err
	}
	t, err := a.tenants.Get(ctx, hostname)
	if err == nil {
		t, err = a.tenants.Ready(ctx, t)
	}
	if err != nil {
		stop()
		return nil, nil, nil, explainTenant(err)
	}
	return a, t, stop, nil
}

// byCommand is the command's user, who holds the database and may do everything.
func byCommand() act.Operator {
	return act.Operator{Operator: commandUser(), Deployment: auth.DeploymentOwner}
}

// commandUser is who stands in the audit log for what a command does.
func commandUser() auth.Operator {
	name := os.Getenv("LOCUS_OPERATOR")
	if name == "" {
		name = "unknown"
		if u, err := user.Current(); err == nil && u.Username != "" {
			name = u.Username
		}
	}
	return auth.Operator{Name: "cli:" + name, Role: auth.RoleOwner}
}

// errNoSuchAccount: an argument names nobody here.
var errNoSuchAccount = errors.New("no such account on this tenant")

func printJSONLine(v any) error {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Println(string(text))
	}
	return err
}
