package handlers

import (
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"
)

// noOAuth is the rule of methods that only a session of the account's own password or app password may call.
func noOAuth[I any](xrpc.AccountCaller, *I) error { return nil }

// anyOAuth is the rule of methods that every session may call, whatever an OAuth token covers.
func anyOAuth[I any](xrpc.AccountCaller, *I) error { return nil }

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

func mayCreateRecord(c xrpc.AccountCaller, in *repoCreateRecordInput) error {
	return ownRepo(c, in.Body.Repo)
}
func mayPutRecord(c xrpc.AccountCaller, in *repoPutRecordInput) error {
	return ownRepo(c, in.Body.Repo)
}
func mayDeleteRecord(c xrpc.AccountCaller, in *repoDeleteRecordInput) error {
	return ownRepo(c, in.Body.Repo)
}
func mayApplyWrites(c xrpc.AccountCaller, in *repoApplyWritesInput) error {
	return ownRepo(c, in.Body.Repo)
}
