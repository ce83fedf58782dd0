package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/auroralocus/locus/internal/identity"
)

// Account is an account as it stands in the database.
type Account struct {
	DID         string
	Handle      string // "": none that is valid
	Rev         string // of the newest commit, "": none
	SigningKey  string // did:key, "": not known
	Deactivated bool
	TakenDown   bool
}

// AccountChecks say why an account's posts do not appear.
func AccountChecks(a Account, h Host, o Outside, r *identity.Resolver, plc identity.Directory) []Check {
	v := visitor{h, o}
	checks := []Check{
		{h.Hostname, "account-state", "whether " + a.DID + " is active here", a.state},
		{h.Hostname, "account-handle", "where the handle leads", func(ctx context.Context) []Finding { return a.handle(ctx, h, r) }},
		{h.Hostname, "account-document", "the DID's document against the database", func(ctx context.Context) []Finding { return a.document(ctx, h, r, plc) }},
	}
	if a.Deactivated || a.TakenDown || !h.HasStream {
		return checks // a relay has nothing of it, rightly
	}
	for _, crawler := range h.Crawlers {
		checks = append(checks, Check{h.Hostname, "account-relay", "what " + crawler + " has of the account", func(ctx context.Context) []Finding { return v.repo(ctx, a, crawler) }})
	}
	return checks
}

// SampleCheck holds the documents of a few accounts of a host against the database.
func SampleCheck(h Host, r *identity.Resolver, plc identity.Directory) Check {
	return Check{h.Hostname, "documents", "the DIDs' documents of a few accounts against the database", func(ctx context.Context) (found []Finding) {
		accounts, err := h.Sample(ctx)
		if err != nil {
			return nil // told by the check of handles
		}
		for _, a := range accounts {
			for _, f := range a.document(ctx, h, r, plc) {
				f.Seen = a.DID + ": " + f.Seen
				if f.Name == "did-unreachable" {
					return nil // the directory's own check tells, and it is no account's fault
				}
				found = append(found, f)
			}
		}
		return found
	}}
}

func (a Account) state(context.Context) (found []Finding) {
	if a.TakenDown {
		found = append(found, Finding{Warning, "account-takendown", "the account is taken down, so nobody sees its posts", a.DID + " has a takedown here", "docs/moderation.md says how a takedown is lifted"})
	}
	if a.Deactivated {
		found = append(found, Finding{Warning, "account-deactivated", "the account is deactivated, so nobody sees its posts", a.DID + " is deactivated here", "its owner activates it by signing in"})
	}
	return found
}

func (a Account) handle(ctx context.Context, h Host, r *identity.Resolver) []Finding {
	if a.Handle == "" {
		return one(Error, "handle-none", "the account has no valid handle", a.DID+" is shown as "+identity.HandleInvalid, "its owner sets one at /account, or an operator by com.atproto.admin.updateAccountHandle")
	}
	seen, err := r.LookAtHandle(ctx, identity.Asker{Scope: h.Hostname}, a.Handle)
	if err != nil {
		return one(Error, "handle-lookup", "the handle cannot be looked up", err.Error(), "try again")
	}
	if seen.DNS.DID == a.DID || (seen.DNS.DID == "" && seen.HTTP.DID == a.DID) {
		return nil
	}
	for _, other := range []string{seen.DNS.DID, seen.HTTP.DID} {
		if other != "" {
			return one(Error, "handle-other", "the handle leads to another DID", fmt.Sprintf("%s leads to %s, not %s", a.Handle, other, a.DID), "repair the TXT record of _atproto."+a.Handle+" or the file /.well-known/atproto-did there")
		}
	}
	return one(Error, "handle-nowhere", "the handle leads nowhere", fmt.Sprintf("DNS: %v; https: %v", seen.DNS.Err, seen.HTTP.Err), "make the TXT record _atproto."+a.Handle+" with did="+a.DID+", or let the handle's host lead to this server")
}

func (a Account) document(ctx context.Context, h Host, r *identity.Resolver, plc identity.Directory) (found []Finding) {
	var doc *identity.Document
	var err error
	if identity.CheckPLC(a.DID) == nil {
		doc, err = plc.Resolve(ctx, a.DID)
	} else {
		doc, err = r.Refresh(ctx, identity.Asker{Scope: h.Hostname}, a.DID)
	}
	switch {
	case errors.Is(err, identity.ErrDIDNotFound), errors.Is(err, identity.ErrDIDTombstoned):
		return one(Error, "did-none", "the network does not know the account's DID", err.Error(), "see that 'locus deployment show' names the right PLC directory")
	case err != nil:
		return one(Error, "did-unreachable", "the account's DID cannot be resolved", err.Error(), "see whether this server reaches the PLC directory or the DID's host")
	}
	if doc.PDS() != h.PublicURL {
		found = append(found, Finding{Error, "did-endpoint", "the DID names another server as the account's home", fmt.Sprintf("%q, not %s", doc.PDS(), h.PublicURL), "if the account has moved away, delete it here; else correct the document"})
	}
	if a.Handle != "" && doc.Handle() != a.Handle {
		found = append(found, Finding{Error, "did-handle", "the DID names another handle", fmt.Sprintf("%q, not %s", doc.Handle(), a.Handle), "set the handle again: its owner at /account, or an operator by com.atproto.admin.updateAccountHandle"})
	}
	if key, err := doc.SigningKey(); a.SigningKey != "" && (err != nil || key != a.SigningKey) {
		found = append(found, Finding{Error, "did-key", "the DID names another key than commits are signed with, so relays refuse them", fmt.Sprintf("%q, not %s", key, a.SigningKey), "correct the document with a rotation key"})
	}
	return found
}

func (v visitor) repo(ctx context.Context, a Account, relay string) []Finding {
	query := url.Values{"did": {a.DID}}
	var state struct {
		Active bool   `json:"active"`
		Status string `json:"status"`
		Rev    string `json:"rev"`
	}
	unknown, found := v.ask(ctx, relay, "com.atproto.sync.getRepoStatus", query, &state)
	if unknown {
		return one(Error, "relay-no-account", "the relay does not know the account", relay+" has no status of "+a.DID, "see the findings about this host's stream; then let the account write once")
	}
	if found != nil {
		return found
	}
	if !state.Active {
		return one(Error, "relay-account-inactive", "the relay does not hand the account's posts on", fmt.Sprintf("%s says: %s", relay, state.Status), "if it is active here, deactivate and activate it once; for a takedown write to who runs the relay")
	}
	if state.Rev == "" {
		if unknown, found = v.ask(ctx, relay, "com.atproto.sync.getLatestCommit", query, &state); unknown || found != nil {
			return found // not every relay has it
		}
	}
	if state.Rev < a.Rev { // revs sort as texts
		return one(Error, "relay-account-behind", "the relay does not have the account's newest commit", fmt.Sprintf("%s has %s, ours is %s", relay, state.Rev, a.Rev), "look again in a minute; if it stays so, see the findings about DID and stream")
	}
	return nil
}
