package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/tenant"
)

// devTenants are what serve --dev makes at its first start.
var devTenants = []struct{ hostname, handleDomain, handle string }{
	{"localhost", "test", "alice.test"},
	{"beta.localhost", "beta.test", "alice.beta.test"},
}

// devPort is where serve listens unless it is told another one.
const devPort = 2583

// devPassword is known to everybody, so --dev listens on loopback only.
const devPassword = "alice-dev-password"

// furnish makes the development tenants and accounts that are not there yet.
func (c *serveCmd) furnish(ctx context.Context, a *app) error {
	for _, want := range devTenants {
		_, err := a.tenants.Get(ctx, want.hostname)
		if errors.Is(err, tenant.ErrNotFound) {
			_, err = a.tenants.Create(ctx, tenant.Spec{
				Hostname: want.hostname, HandleDomains: []string{want.handleDomain}, AdminPassword: c.AdminPassword,
				Settings: map[string]string{"signup": "open", "crawlers": "", "blob_upload_limit": "104857600"},
			})
		}
		if err != nil {
			return fmt.Errorf("tenant %s: %w", want.hostname, err)
		}
		if err := a.signUpIfAbsent(ctx, want.hostname, want.handle); err != nil {
			return fmt.Errorf("account %s: %w", want.handle, err)
		}
	}
	return nil
}

func (a *app) signUpIfAbsent(ctx context.Context, hostname, handle string) error {
	t, err := a.tenants.Get(ctx, hostname)
	if err != nil {
		return err
	}
	if _, err := account.ByHandle(ctx, a.db.Tenant(t.Schema).Q(), handle); !errors.Is(err, account.ErrNotFound) {
		return err
	}
	_, _, err = a.acts.CreateAccount(ctx, t, byCommand(), account.Request{Handle: handle, Email: "alice@" + handle, Password: new(devPassword)})
	return err
}

// greet tells what to try.
func (c *serveCmd) greet(out io.Writer, a *app, plc bool) {
	urls := make([]string, len(devTenants))
	for i, t := range devTenants {
		if row, err := a.tenants.Get(context.Background(), t.hostname); err == nil {
			urls[i] = row.PublicURL
		}
	}
	fmt.Fprintf(out, "\nAurora Locus %s is ready: two isolated PDSes.\n\n", version())
	for i, t := range devTenants {
		fmt.Fprintf(out, "  %-28s account %-16s password %s\n", urls[i], t.handle, devPassword)
	}
	if plc {
		fmt.Fprintf(out, "  %-28s the built-in PLC directory\n", "http://"+c.PLCListen)
	}
	fmt.Fprintf(out, `  admin methods: user admin, password %[2]s

Try:
  curl %[1]s/xrpc/com.atproto.server.describeServer
  curl '%[1]s/xrpc/com.atproto.repo.describeRepo?repo=alice.test'
  curl %[1]s/xrpc/com.atproto.server.createSession -H 'Content-Type: application/json' \
       -d '{"identifier":"alice.test","password":"%[3]s"}'

  bin/locus account list localhost        (bin/locus --help has all commands of operators)

Account pages:     %[1]s/account (sign in as alice.test)
API documentation: %[1]s/docs    OpenAPI: %[1]s/openapi.json
Ctrl-C stops everything.

`, urls[0], c.AdminPassword, devPassword)
}
