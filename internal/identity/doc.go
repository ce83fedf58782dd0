// Package identity deals with DIDs and handles: their rules, their resolution over the network, DID documents, and the
// operations that make and change a did:plc.
//
// It knows no tenant and no database. Private keys are reached only through [Signer]. The PLC directory is a
// [Directory]: the remote one is here, the one of development servers in identity/plcdir.
package identity

import "errors"

// Errors of this package, wrapped with what was being resolved.
var (
	// ErrDIDSyntax: not a DID, or not of a form atproto allows.
	ErrDIDSyntax = errors.New("invalid DID")
	// ErrDIDMethod: neither did:plc nor did:web.
	ErrDIDMethod = errors.New("unsupported DID method")
	// ErrDIDNotFound: the directory or host says there is no such DID.
	ErrDIDNotFound = errors.New("DID not found")
	// ErrDIDTombstoned: the DID was deactivated for good.
	ErrDIDTombstoned = errors.New("DID is tombstoned")
	// ErrDIDUnavailable: the directory or host could not be asked.
	ErrDIDUnavailable = errors.New("DID could not be resolved")
	// ErrDocument: the DID document is malformed or belongs to another DID.
	ErrDocument = errors.New("invalid DID document")
	// ErrNoKey: the document has no such verification method.
	ErrNoKey = errors.New("DID document has no such key")
	// ErrNoService: the document has no such service.
	ErrNoService = errors.New("DID document has no such service")
	// ErrHandleNotFound: the handle leads to no DID.
	ErrHandleNotFound = errors.New("handle does not resolve")
	// ErrHandleMismatch: handle and DID do not name each other.
	ErrHandleMismatch = errors.New("handle and DID do not point at each other")

	// ErrOperation: a PLC operation is malformed, or not acceptable. The text after it may be shown to the client.
	ErrOperation = errors.New("invalid PLC operation")
	// ErrOperationConflict: the operation does not follow the newest one.
	ErrOperationConflict = errors.New("PLC operation does not follow the current one")
	// ErrOperationRate: too many operations for this DID.
	ErrOperationRate = errors.New("too many PLC operations for this DID")
)
