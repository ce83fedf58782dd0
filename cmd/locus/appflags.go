package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/identity/plcdir"
	"github.com/auroralocus/locus/internal/mail/outbox"
	"github.com/auroralocus/locus/internal/tenant"
)

// appFlags are what a command needs that works on the server's own parts, in this process.
type appFlags struct {
	dataFlags
	originFlags
	Dev    bool   `help:"The deployment is a development server. Known without it where the server runs the Postgres in the data folder; elsewhere --public-port says where it listens, if not at 2583."`
	PLCURL string `name:"plc-url" placeholder:"URL" help:"PLC directory. Default: https://plc.directory, or that of the development server." env:"LOCUS_PLC_URL"`
}

// origin says how the tenants are reached, and which development server serves them, if one does.
func (f appFlags) origin() (tenant.Config, devServer, error) {
	origin, server, err := f.originFlags.of(f.dataFlags)
	if err == nil && f.Dev && server == (devServer{}) {
		server.Port = cmp.Or(f.PublicPort, devPort)
		origin = tenant.Config{Scheme: "http", Port: server.Port, Dev: true}
	}
	return origin, server, err
}

// assemble opens everything; stop closes it.
func (f appFlags) assemble(ctx context.Context, log *slog.Logger, hostname string) (*app, *tenant.Tenant, func(), error) {
	origin, server, err := f.origin()
	if err != nil {
		return nil, nil, nil, err
	}
	d, stopDB, err := f.existing(ctx, log)
	if err != nil {
		return nil, nil, nil, err
	}
	keys, err := f.keys(ctx, d, log)
	if err != nil {
		stopDB()
		return nil, nil, nil, err
	}
	development := server != devServer{}
	client := identity.NewHTTPClient(identity.Policy{AllowLoopback: development})
	resolver := identity.ResolverConfig{Now: time.Now, Log: log, HTTP: client}
	switch directory := cmp.Or(f.PLCURL, server.PLCURL); {
	case development && directory == "":
		resolver.PLC = plcdir.New(d, time.Now, false)
	default:
		resolver.PLC = identity.NewPLCClient(cmp.Or(directory, publicPLC), client)
	}
	if development {
		resolver.DevHost = net.JoinHostPort("127.0.0.1", strconv.Itoa(server.Port))
	}
	a := assemble(d, keys, origin, resolver, outbox.Config{}, f.blobs(), log)
	stop := func() {
		a.close()
		client.CloseIdleConnections()
		stopDB()
	}
	t, err := a.tenants.Get(ctx, hostname)
	if err != nil {
		stop()
		return nil, nil, nil, explainTenant(err)
	}
	return a, t, stop, nil
}

// byCommand is the command's user, who holds the database and may do everything.
func byCommand() act.Operator { return act.Operator{Operator: commandUser()} }

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
