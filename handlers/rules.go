package handlers

import "net/http"

// noOAuth is the rule of methods that only a session of the account's own password or app password may call.
func noOAuth[I any](accountCaller, *I) error { return nil }

// anyOAuth is the rule of methods that every session may call, whatever an OAuth token covers.
func anyOAuth[I any](accountCaller, *I) error { return nil }

// ownRepo lets an account write to its own repository only; repo is its DID or handle.
func ownRepo(c accountCaller, repo AtIdentifier) error {
	if string(repo) == c.DID || c.Handle != "" && equalHandle(string(repo), c.Handle) {
		return nil
	}
	return refuse(http.StatusUnauthorized, "", "the repository is not the caller's")
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

func mayCreateRecord(c accountCaller, in *repoCreateRecordInput) error {
	return ownRepo(c, in.Body.Repo)
}
func mayPutRecord(c accountCaller, in *repoPutRecordInput) error { return ownRepo(c, in.Body.Repo) }
func mayDeleteRecord(c accountCaller, in *repoDeleteRecordInput) error {
	return ownRepo(c, in.Body.Repo)
}
func mayApplyWrites(c accountCaller, in *repoApplyWritesInput) error { return ownRepo(c, in.Body.Repo) }
