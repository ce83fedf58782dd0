package handlers

import (
	"net/http"
	"strings"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/xrpc"
)

// rules are what the rules ask of callers by OAuth, as the access table has it. What stands in capitals is of the call.
var rules = map[string]xrpc.RuleText{
	"noOAuth":             {Scope: "no OAuth", Early: true},
	"anyOAuth":            {Scope: scope.Atproto, Early: true},
	"mayCreateRecord":     {Scope: "repo:COLLECTION?action=create"},
	"mayPutRecord":        {Scope: "repo:COLLECTION?action=create&action=update"},
	"mayDeleteRecord":     {Scope: "repo:COLLECTION?action=delete"},
	"mayApplyWrites":      {Scope: "repo:COLLECTION?action=ACTION, of each write"},
	"mayUploadBlob":       {Scope: "blob:TYPE", Early: true},
	"mayImportRepo":       {Scope: "account:repo?action=manage", Early: true},
	"mayDeactivate":       {Scope: "account:status?action=manage", Early: true},
	"mayManageEmail":      {Scope: "account:email?action=manage", Early: true},
	"mayUpdateHandle":     {Scope: "identity:handle", Early: true},
	"mayManageIdentity":   {Scope: "identity:*", Early: true},
	"mayReadPreferences":  {Scope: "rpc:app.bsky.actor.getPreferences?aud=APPVIEW", Early: true},
	"mayWritePreferences": {Scope: "rpc:app.bsky.actor.putPreferences?aud=APPVIEW", Early: true},
	"mayReport":           {Scope: "rpc:com.atproto.moderation.createReport?aud=SERVICE"},
	"mayCallServices":     {Scope: "rpc:LXM?aud=AUD"},
}

// granted refuses a caller by OAuth that was not granted all of what its call needs. Who has a session token is no such
// caller: what that opens, its class says.
func granted(a auth.Account, needs ...scope.Need) error {
	var missing []string
	for _, n := range needs {
		if !a.Covers(n) {
			missing = append(missing, n.String())
		}
	}
	if missing == nil {
		return nil
	}
	return xrpc.Insufficient(strings.Join(missing, " "))
}

// noOAuth is the rule of methods that only a session of the account's own password or app password may call.
func noOAuth[I any](c xrpc.AccountCaller, _ *I) error {
	if !c.ByOAuth() {
		return nil
	}
	return xrpc.Refuse(http.StatusForbidden, "Forbidden", "Apps that sign in by OAuth cannot do this: do it at %s/account", c.Tenant.PublicURL)
}

// anyOAuth is the rule of methods that every session may call, whatever an OAuth token covers.
func anyOAuth[I any](c xrpc.AccountCaller, _ *I) error { return granted(c.Account, scope.Any()) }

// mayWrite lets an account do something with records of a collection of its own repository.
func mayWrite(c xrpc.AccountCaller, repo xrpc.AtIdentifier, collection xrpc.NSID, actions scope.Actions) error {
	if err := ownRepo(c, repo); err != nil {
		return err
	}
	return granted(c.Account, scope.Repo(string(collection), actions))
}

func mayCreateRecord(c xrpc.AccountCaller, in *repoCreateRecordInput) error {
	return mayWrite(c, in.Body.Repo, in.Body.Collection, scope.Create)
}

// mayPutRecord wants both: which of them it will be is known only inside the transaction, and must not be told to a client
// that may do the other.
func mayPutRecord(c xrpc.AccountCaller, in *repoPutRecordInput) error {
	return mayWrite(c, in.Body.Repo, in.Body.Collection, scope.Create|scope.Update)
}

func mayDeleteRecord(c xrpc.AccountCaller, in *repoDeleteRecordInput) error {
	return mayWrite(c, in.Body.Repo, in.Body.Collection, scope.Delete)
}

func mayApplyWrites(c xrpc.AccountCaller, in *repoApplyWritesInput) error {
	if err := ownRepo(c, in.Body.Repo); err != nil || !c.ByOAuth() {
		return err
	}
	needs := []scope.Need{scope.Any()} // also where nothing is written
	seen := map[scope.Need]bool{}
	for i := range in.Body.Writes {
		var n scope.Need
		switch w := &in.Body.Writes[i]; {
		case w.Create != nil:
			n = scope.Repo(string(w.Create.Collection), scope.Create)
		case w.Update != nil:
			n = scope.Repo(string(w.Update.Collection), scope.Update)
		case w.Delete != nil:
			n = scope.Repo(string(w.Delete.Collection), scope.Delete)
		default:
			continue // the handler refuses it
		}
		if !seen[n] {
			seen[n], needs = true, append(needs, n)
		}
	}
	return granted(c.Account, needs...)
}

// mayUploadBlob goes by what the client says that the file is.
func mayUploadBlob(c xrpc.AccountCaller, _ *repoUploadBlobInput) error {
	return granted(c.Account, scope.Blob(c.Header("Content-Type")))
}

func mayImportRepo(c xrpc.AccountCaller, _ *repoImportRepoInput) error {
	return granted(c.Account, scope.Account("repo", true))
}

func mayDeactivate(c xrpc.AccountCaller, _ *serverDeactivateAccountInput) error {
	return granted(c.Account, scope.Account("status", true))
}

func mayManageEmail[I any](c xrpc.AccountCaller, _ *I) error {
	return granted(c.Account, scope.Account("email", true))
}

func mayUpdateHandle(c xrpc.AccountCaller, _ *identityUpdateHandleInput) error {
	return granted(c.Account, scope.Identity("handle"))
}

func mayManageIdentity[I any](c xrpc.AccountCaller, _ *I) error {
	return granted(c.Account, scope.Identity("*"))
}

// mayCallByOAuth says whether a caller by OAuth was granted calls of methods of a service. Power over others has to be
// granted by its name: a client that asks for what an app password opens does not get it along.
func mayCallByOAuth(a auth.Account, service string, nsids ...string) error {
	needs := make([]scope.Need, len(nsids))
	for i, nsid := range nsids {
		needs[i] = scope.RPC(nsid, service)
		if hasToBeNamed(nsid) && a.OAuth != nil && !a.OAuth.Scopes.Fine().Covers(needs[i]) {
			return xrpc.Insufficient(needs[i].String())
		}
	}
	return granted(a, needs...)
}

// mayCallServices is asked about the audience as it was sent, with the name of the service or without.
func mayCallServices(c xrpc.AccountCaller, in *serverGetServiceAuthInput) error {
	method := string(in.Lxm)
	switch {
	case !c.ByOAuth():
		return nil
	case moderates(c.Tenant, c.DID, in.Aud, method):
		return xrpc.Refuse(http.StatusForbidden, "", "An app may not act as the moderation service of this server")
	case method == "":
		method = "*"
	}
	return mayCallByOAuth(c.Account, in.Aud, method)
}

// ownRepo lets an account write to its own repository only; repo is its DID or handle.
func ownRepo(c xrpc.AccountCaller, repo xrpc.AtIdentifier) error {
	if string(repo) == c.DID || c.Handle != "" && equalHandle(string(repo), c.Handle) {
		return nil
	}
	return xrpc.Refuse(http.StatusUnauthorized, "", "the repository is not the caller's")
}

func equalHandle(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if 'A' <= x && x <= 'Z' {
			x += 'a' - 'A'
		}
		if 'A' <= y && y <= 'Z' {
			y += 'a' - 'A'
		}
		if x != y {
			return false
		}
	}
	return true
}
