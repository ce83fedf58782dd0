package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/outbound"
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
		return checks // relays and apps show nothing of it, rightly
	}
	for _, crawler := range h.Crawlers {
		checks = append(checks, Check{h.Hostname, "account-relay", "what " + crawler + " has of the account", func(ctx context.Context) []Finding { return v.repo(ctx, a, crawler) }})
	}
	if h.AppView != "" {
		checks = append(checks, Check{h.Hostname, "account-app-view", "what " + h.AppView + " shows of the account", func(ctx context.Context) []Finding { return v.shown(ctx, a) }})
	}
	return checks
}

// SampleCheck holds the documents of a few accounts of a host against the database.
func SampleCheck(h Host, r *identity.Resolver, plc identity.Directory) Check {
	return Check{h.Hostname, "documents", "the DIDs' documents of a few accounts against the database", func(ctx context.Context) (found []Finding) {
		accounts, err := h.Sample(ctx)
		if err != nil {
			return notLooked("the accounts cannot be read: %v", err) // the check of handles finds that
		}
		if len(accounts) == 0 {
			return notLooked("no account has written yet")
		}
		for _, a := range accounts {
			for _, f := range a.document(ctx, h, r, plc) {
				f.Seen = a.DID + ": " + f.Seen
				if f.Name == "did-unreachable" {
					return notLooked("%s", f.Seen) // the directory's own check tells, and it is no account's fault
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
		return inactive(relay, state.Status)
	}
	if state.Rev == "" {
		if unknown, found = v.ask(ctx, relay, "com.atproto.sync.getLatestCommit", query, &state); unknown || found != nil {
			if unknown {
				return notLooked("whether it has the newest commit: not every relay says so")
			}
			return found
		}
	}
	if state.Rev < a.Rev { // revs sort as texts
		return one(Error, "relay-account-behind", "the relay does not have the account's newest commit", fmt.Sprintf("%s has %q, ours is %s", relay, state.Rev, a.Rev), "look again in a minute; if it stays so, see the findings about DID and stream")
	}
	return nil
}

// inactive says what to do about an account that is active here and not at a relay.
func inactive(relay, status string) []Finding {
	seen := fmt.Sprintf("%s says: %q", relay, status)
	switch status {
	case "throttled", "host-throttled":
		return one(Error, "relay-account-throttled", "the relay does not hand the account's posts on: it takes fewer accounts of this host than there are", seen, "write to who runs the relay: relays begin with a small number of accounts for a host that is new to them")
	case "desynchronized":
		return one(Error, "relay-account-desynchronized", "the relay has lost the thread of the account's commits", seen, "wait for its next commit; if it stays so, 'locus account rotate-key' makes one that begins anew")
	case "takendown", "suspended":
		return one(Error, "relay-account-takendown", "the relay has taken the account down", seen, "write to who runs the relay")
	}
	return one(Error, "relay-account-inactive", "the relay thinks that the account is not active, and does not hand its posts on", seen, "its owner deactivates and activates it once, which tells the relay again")
}

// shown asks the app view as anybody does who is not signed in. One that answers only those who are is not looked into.
func (v visitor) shown(ctx context.Context, a Account) []Finding {
	at := strings.TrimRight(v.AppView, "/") + "/xrpc/app.bsky.actor.getProfile?" + url.Values{"actor": {a.DID}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return one(Error, "appview-unreachable", "the app view's URL cannot be read", err.Error(), "'locus tenant set "+v.Hostname+" app_view=…' gives another")
	}
	req.Header.Set("User-Agent", "aurora-locus")
	res, err := v.HTTP.Do(req)
	var body []byte
	if err == nil {
		if body, err = outbound.ReadBody(res, maxAnswer); err == nil && (res.StatusCode >= 500 || res.StatusCode == http.StatusNotFound) {
			err = fmt.Errorf("it answers with status %d", res.StatusCode)
		}
	}
	if err != nil {
		return one(Error, "appview-unreachable", "the app view does not answer, so apps show nothing", at+": "+err.Error(), "wait, or see whether this server may reach it; 'locus tenant set "+v.Hostname+" app_view=…' names another")
	}
	var said struct{ Error, Message, Handle string }
	_ = json.Unmarshal(body, &said) // what is no answer says nothing
	seen := fmt.Sprintf("%s says: %s %.200s", v.AppView, said.Error, said.Message)
	switch {
	case said.Error == "InvalidRequest":
		return one(Error, "appview-no-account", "the app view does not know the account", seen, "it reads from relays: see what was found of them, and let the account write once")
	case said.Error == "AccountTakedown", said.Error == "AccountSuspended":
		return one(Error, "appview-takendown", "the app view has taken the account down", seen, "write to who runs the app view")
	case said.Error == "AccountDeactivated":
		return one(Error, "appview-inactive", "the app view thinks that the account is not active", seen, "its owner deactivates and activates it once, which tells relays and app views again")
	case said.Handle == identity.HandleInvalid && a.Handle != "":
		return one(Warning, "appview-handle", "apps show the handle as invalid", v.AppView+" shows "+said.Handle+", not "+a.Handle, "see what was found of the handle; app views look again when it is set again")
	}
	return nil
}
