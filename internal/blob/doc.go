// Package blob owns blobs: their rows, what refers to them and counts them, and their end. Where the bytes are is the
// matter of internal/blob/store.
//
// # An upload
//
// The body goes from the socket into a spool of the store's, and is put under a new name (upload.go). Then it is made
// durable while its row is inserted, with others that are waiting, in one round trip (arrive.go). The answer to the client
// comes after both.
//
// # References
//
// Records refer to blobs in repo/repodb's commits: a blob becomes permanent with its first reference, and its row goes
// with the last one, in the commit's transaction, which also puts the object's name in the trash. Whatever changes
// which blobs there are, or what refers to them, holds the lock of the actor's row. What a crash leaves behind is found
// by the trash (a table), or by the disk itself, which asks whether there is a row (owned.go).
package blob

import (
	"errors"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/blob/store"
)

// Errors of this package; db's pass through.
var (
	// ErrNotFound: the account has no such blob, or it is not to be seen.
	ErrNotFound = errors.New("blob not found")
	// ErrTakendown: the blob is taken down, and stays so.
	ErrTakendown = errors.New("blob has been taken down")
	// ErrAccountQuota: the account would have more than it may.
	ErrAccountQuota = errors.New("account's blob quota is used up")
	// ErrTenantQuota: the tenant would have more than it may.
	ErrTenantQuota = errors.New("tenant's blob quota is used up")
	// ErrNotAwaited: no record waits for it, and only such may be uploaded.
	ErrNotAwaited = errors.New("no record waits for this blob")
	// ErrNoAccount: the account was deleted meanwhile.
	ErrNoAccount = errors.New("account is gone")
	// ErrLost: there is a row, and its bytes are not in the store.
	ErrLost = errors.New("blob is not in its store")
	// ErrClosed: the blobs were closed.
	ErrClosed = errors.New("blobs are closed")
)

// What stores refuse with, see internal/blob/store.
var (
	ErrEmpty        = store.ErrEmpty
	ErrStoreFull    = store.ErrFull
	ErrStoreTimeout = store.ErrTimeout
	ErrStore        = store.ErrFailed
	ErrAway         = store.ErrAway
	ErrLocation     = store.ErrLocation
)

// StoreConfig says how stores are opened.
type StoreConfig = store.Config

// Credentials open an S3 store.
type Credentials = store.Credentials

// CheckLocation says whether a text is a store's location.
func CheckLocation(text string) error { return store.CheckLocation(text) }

// Owner is whose blobs.
type Owner struct {
	Schema db.Schema
	AID    int64
	DID    string
}
