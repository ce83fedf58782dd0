package act

import (
	"errors"
	"fmt"
	"time"
)

// Refusals of acts. Those of the rooms below pass through as they are: see each act.
var (
	// ErrGone: the account is not here any more, or is taken down, at the moment of the act.
	ErrGone = errors.New("account not found")
	// ErrWait: too many wrong passwords or codes came before. [WaitError] says how long.
	ErrWait = errors.New("too many attempts: wait before the next")
	// ErrPassword: not the main password of the account whose owner asks. The session is good.
	ErrPassword = errors.New("the password is another one")
	// ErrProofOld: what the owner asks for takes a password, a passkey or a code, shown within the last [auth.ProvenLife].
	ErrProofOld = errors.New("show again who you are")
	// ErrEmailSame: the account has this address.
	ErrEmailSame = errors.New("this is the account's address")
	// ErrRotationKey: not a did:key that may change an identity: P-256 or K-256, with a point of that curve.
	ErrRotationKey = errors.New("a rotation key is the did:key of a P-256 or a K-256 key")
	// ErrRotationKeyThere: the identity has this key.
	ErrRotationKeyThere = errors.New("the identity has this rotation key")
	// ErrRotationKeyOurs: without the tenant's key nothing could be changed here any more, not even the handle.
	ErrRotationKeyOurs = errors.New("this server's own rotation key stays")
	// ErrRotationKeys: an identity has as many as it may.
	ErrRotationKeys = fmt.Errorf("an identity has at most %d rotation keys", maxRotationKeys)
	// ErrLastWayIn: without it nobody could sign in to the account.
	ErrLastWayIn = errors.New("an account without a password needs a passkey")
	// ErrTokenRequired: the token that was mailed to the present address is wanted.
	ErrTokenRequired = errors.New("confirmation token required")
	// ErrBesideApp: mailed codes beside an authenticator app are another way in, and take a proof ([Acts.SetEmailFactor]).
	ErrBesideApp = errors.New("an authenticator app is on: mailed codes beside it take password and code")
	// ErrContradiction: a takedown and a deactivation are asked for that do not fit each other.
	ErrContradiction = errors.New("takedown and deactivated contradict each other: one hides, the other shows")
	// ErrTakedownRef: the reference of a takedown is no text, or too long.
	ErrTakedownRef = fmt.Errorf("the reference of a takedown must be text of at most %d bytes", maxTakedownRef)
	// ErrRecordURI: not the at:// URI of one record with a DID. A handle may be another's tomorrow.
	ErrRecordURI = errors.New("subject must be the at:// URI of a record, with a DID")
	// ErrBlobCID: not a CID.
	ErrBlobCID = errors.New("blob must be a CID")
	// ErrHandleElsewhere: a handle of the owner's own domain does not lead to the account.
	ErrHandleElsewhere = errors.New("external handle did not resolve to DID")
	// ErrDocumentHandle: the document of a DID that its owner keeps does not name the handle.
	ErrDocumentHandle = errors.New("the DID document does not name this handle")
	// ErrDocumentKey: the document of a DID that its owner keeps does not name the key.
	ErrDocumentKey = errors.New("the DID document does not name this key")
	// ErrKeyNotReserved: not a signing key that was made here for this account.
	ErrKeyNotReserved = errors.New("signingKey must be a key that reserveSigningKey made here, for this account or for nobody in particular")
	// ErrRecipient: the account that is to be written to is not here.
	ErrRecipient = errors.New("recipient not found")
	// ErrMessage: the message has no text, or its subject is no line, or one of them is too long.
	ErrMessage = errors.New("message")
	// ErrInviteCount: too few or too many codes at once.
	ErrInviteCount = fmt.Errorf("between 1 and %d codes can be made at once", maxInvites)
	// ErrInviteNames: too many codes and accounts named at once.
	ErrInviteNames = fmt.Errorf("at most %d codes and accounts can be named at once", maxInvites)
	// ErrInviteAdmin: the operators' own codes are not an account's.
	ErrInviteAdmin = errors.New("cannot disable admin invite codes")
	// ErrInviteNote: the remark is no text, or too long.
	ErrInviteNote = fmt.Errorf("note must be text of at most %d bytes", maxInviteNote)
	// ErrLimit: a limit beyond what a setting may be.
	ErrLimit = errors.New("a limit of bytes or records must be at most 1125899906842624")
)

// WaitError is [ErrWait] with the time.
type WaitError struct{ Wait time.Duration }

func (e *WaitError) Error() string { return ErrWait.Error() }
func (e *WaitError) Unwrap() error { return ErrWait }

// RetryAfter is how long to wait.
func (e *WaitError) RetryAfter() time.Duration { return e.Wait }
