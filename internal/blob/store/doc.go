// Package store knows where bytes are: in folders and in buckets of S3. It knows objects by their names, and neither rows
// nor accounts nor who may see what.
//
// A store is one such folder or bucket. Its location is the text that says which: data:, disk:/folder or s3://bucket.
//
// # An upload
//
// The bytes come into a [Spool], hashed and counted on the way. [Store.Put] makes an object of them under a name that is
// never given twice, and [Store.Sync] makes it durable, for small ones on a disk by a journal that uploads share. Until
// [Store.Settle] the object is provisional: what a crash leaves of it is removed, unless the caller has a row for it.
//
// # Names
//
// An object is called <tenant's schema>/<shard>/<DID>/<CID>.<random>, below quarantine/ when its blob is taken down. A
// deletion that arrives late, from a crashed process or a slow store, can therefore not hit a newer upload of the same
// bytes, and uploads and deletions need no lock between them.
//
// # Labels
//
// A store carries a label that the database knows: see label.go. One without it is not used.
package store

import "errors"

// Errors of this package.
var (
	// ErrEmpty: an upload without bytes.
	ErrEmpty = errors.New("blob is empty")
	// ErrFull: the disk has no room.
	ErrFull = errors.New("blob store is full")
	// ErrTimeout: the store did not answer in time.
	ErrTimeout = errors.New("blob store did not answer in time")
	// ErrFailed: the store failed.
	ErrFailed = errors.New("blob store failed")
	// ErrAway: the store is not the one that the database knows: another folder, or its disk is not mounted.
	ErrAway = errors.New("blob store is not the one that the database knows")
	// ErrLocation: a location that cannot be used.
	ErrLocation = errors.New("blob store location")
	// ErrMissing: the store has no such object.
	ErrMissing = errors.New("no such object")
)
