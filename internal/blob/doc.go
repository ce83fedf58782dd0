// Package blob owns blobs: their bytes on a disk or in S3, their rows, what counts them, and their end.
//
// # An upload
//
// The body goes from the socket into a file of the store's (spool.go), hashed, counted and looked at on the way. When it
// is whole it is put in its place. Then it is made durable (disk.go, journal.go) while its row is inserted, with others that
// are waiting, in one round trip (arrive.go). The answer to the client comes after both.
//
// # Names
//
// An object is called <tenant's schema>/<shard>/<DID>/<CID>.<random>, and no name is ever given twice. A deletion that
// arrives late, from a crashed process or a slow store, can therefore not hit a newer upload of the same bytes, and
// uploads and deletions need no lock between them.
//
// # References
//
// Records refer to blobs in repo/repodb's commits: a blob becomes permanent with its first reference, and its row goes
// with the last one, in the commit's transaction, which also puts the object's name in the trash. Whatever changes
// which blobs there are, or what refers to them, holds the lock of the actor's row. What a crash leaves behind is found
// by the trash (a table) or by the marks and the journal of the disk store (disk.go, adopt.go).
package blob

import (
	"errors"

	"github.com/auroralocus/locus/db"
)

// Errors of this package; db's pass through.
var (
	// ErrNotFound: the account has no such blob, or it is not to be seen.
	ErrNotFound = errors.New("blob not found")
	// ErrTakendown: the blob is taken down, and stays so.
	ErrTakendown = errors.New("blob has been taken down")
	// ErrEmpty: an upload without bytes.
	ErrEmpty = errors.New("blob is empty")
	// ErrAccountQuota: the account would have more than it may.
	ErrAccountQuota = errors.New("account's blob quota is used up")
	// ErrTenantQuota: the tenant would have more than it may.
	ErrTenantQuota = errors.New("tenant's blob quota is used up")
	// ErrNotAwaited: no record waits for it, and only such may be uploaded.
	ErrNotAwaited = errors.New("no record waits for this blob")
	// ErrNoAccount: the account was deleted meanwhile.
	ErrNoAccount = errors.New("account is gone")
	// ErrStoreFull: the disk has no room.
	ErrStoreFull = errors.New("blob store is full")
	// ErrStoreTimeout: the store did not answer in time.
	ErrStoreTimeout = errors.New("blob store did not answer in time")
	// ErrStore: the store failed.
	ErrStore = errors.New("blob store failed")
	// ErrAway: the store is not the one that the database knows: another folder, or its disk is not mounted. 503.
	ErrAway = errors.New("blob store is not the one that the database knows")
	// ErrLost: there is a row, and its bytes are not in the store. 500.
	ErrLost = errors.New("blob is not in its store")
	// ErrLocation: a store's location that cannot be used.
	ErrLocation = errors.New("blob store location")
	// ErrClosed: the store was closed. 503.
	ErrClosed = errors.New("blob store is closed")
)

// errMissing: there is no such object.
var errMissing = errors.New("no such object")

// Owner is whose blobs.
type Owner struct {
	Schema db.Schema
	AID    int64
	DID    string
}
