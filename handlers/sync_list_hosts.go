package handlers

import (
	"context"

	"github.com/auroralocus/locus/internal/xrpc"
)

// listHosts lists this host, the only one it has: tenants do not know of each other.
// spec: lexicon com.atproto.sync.listHosts
func (m syncMethods) listHosts(ctx context.Context, v xrpc.Visitor, in *syncListHostsInput) (*syncListHostsOutput, error) {
	out := new(syncListHostsOutput)
	out.Body.Hosts = []syncListHostsHost{}
	if in.Cursor != "" {
		return out, nil
	}
	seq, accounts, err := m.hosts.look(ctx, v.Tenant)
	if err != nil {
		return nil, err
	}
	out.Body.Hosts = append(out.Body.Hosts, syncListHostsHost{Hostname: hostOf(v.Tenant), Seq: &seq, AccountCount: &accounts, Status: "active"})
	return out, nil
}
