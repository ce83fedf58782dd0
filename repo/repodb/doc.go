// Package repodb keeps repositories in a tenant's schema: it writes, reads,
// exports and checks them.
//
// # A write
//
// The commit is built outside any transaction, from the head and the tree nodes
// this process remembers. What it remembers is a guess: the head row's
// compare-and-set, which also looks at the account's status, finds out, and then
// the write is built again from what is in the database. Nothing that ends
// without a commit (a refusal, a no-op) is believed before the head row agreed.
//
// Finished commits go to the tenant's committer, which folds what is waiting
// into one implicit transaction and one round trip (group.go). An account has at
// most one commit on its way in a process.
//
// # What is stored
//
// The head and its commit block are in the actor row; a record's block in its
// row; tree nodes by position (level, the key they hang after), updated in
// place: docs/storage.md. Heads move by (head_rev = what the commit was built
// on), revs rise strictly, so a head never returns to an earlier value.
package repodb

import (
	"errors"
	"fmt"

	"github.com/auroralocus/locus/db"
)

// Errors of this package. Refusals of the pure part (repo.ErrRecordExists and so on) and db.ErrUnavailable pass
// through.
var (
	// ErrSwapCommit: the repository's newest commit is not the one named.
	ErrSwapCommit = errors.New("commit was at another cid")
	// ErrRepoNotFound: no such repository, or its account is not finished.
	ErrRepoNotFound = errors.New("repository not found")
	// ErrRepoDeactivated: the account is deactivated.
	ErrRepoDeactivated = errors.New("repository is deactivated")
	// ErrRepoTakendown: the account is taken down.
	ErrRepoTakendown = errors.New("repository is taken down")
	// ErrContention: other processes wrote to this repository faster, many times.
	ErrContention = errors.New("repository is being written elsewhere")
	// ErrRecordNotFound: there is no record at this path.
	ErrRecordNotFound = errors.New("record not found")
	// ErrBlocksNotFound: a *MissingBlocks says which.
	ErrBlocksNotFound = errors.New("blocks not found")
	// ErrBlocksTooLarge: the blocks that were asked for are too many bytes for one answer.
	ErrBlocksTooLarge = errors.New("the blocks are too large together: ask for fewer at once")
	// ErrExportsBusy: as many exports of this tenant run as may.
	ErrExportsBusy = errors.New("too many exports at once")
	// ErrCorrupt: stored rows contradict each other. Check says how.
	ErrCorrupt = errors.New("repository is corrupt")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("repository store is closed")
)

// errStale: the head this attempt was built on is no longer the newest.
var errStale = errors.New("stale head")

// name is how log lines and errors call a repository.
func name(s db.Schema, aid int64) string { return fmt.Sprintf("%s/%d", s, aid) }
