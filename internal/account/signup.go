package account

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bluesky-social/indigo/atproto/atcrypto"
	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/repo"
)

// StaleAfter is how old an unfinished sign-up must be before another may take its handle and address, and before it is
// cleared away. Everything between Begin and Finish must be over by then, the PLC directory's answer included.
const StaleAfter = 5 * time.Minute

// Request is what somebody asks for at sign-up.
type Request struct {
	Handle      string
	Email       string
	Password    *string // nil: an account without one
	InviteCode  string
	RecoveryKey string // did:key; "" for none
	// DID of its own, whose control the caller has proven: the account moves here. "": a new one is made.
	DID string
}

// Signup is a sign-up with a new did:plc on its way. Its steps, in the order in which the method calls them:
//
//	NewSignup   the tenant's rules; no input or output
//	CheckFree   a look, so that most refusals cost little
//	            (the method hashes the password and sets PasswordHash)
//	Mint        signing key, genesis operation, DID
//	            (the method takes an account key: LockNextAID, as a statement of its own)
//	Begin       transaction 1: rows that nobody sees yet; the empty repository goes into the same transaction
//	            (the method submits Genesis to the PLC directory, outside any transaction)
//	Finish      transaction 2: the account is there; the first refresh token and the events go into the same transaction
//
// Whatever fails after Begin was tried: Undo, and a tombstone for the DID if Genesis was sent. A crash leaves rows that
// [RemoveStale] clears away.
//
// An account with a DID of its own (Moved) takes NewSignup, CheckFree, MintKey and Begin only, and is there after that one
// transaction: deactivated, to be deleted after [MovedLife] unless it is activated, and unknown to the firehose.
type Signup struct {
	Handle     string
	Email      string
	InviteCode string // "" when none was given or none is needed
	CreatedAt  time.Time

	PasswordHash string // PHC; "": no password
	AID          int64

	DID     string
	Key     *keyring.Signer // signs the account's commits
	Genesis *didplc.RegularOp

	Moved    bool // it has a DID of its own
	External bool // its handle is not under a domain of the tenant: the caller looks whether it leads to the DID

	Elsewhere *tenant.Elsewhere // of a handle that is external

	tenant      *tenant.Tenant
	recoveryKey string
}

// MovedLife is how long an account that moves here has until it is activated.
const MovedLife = 3 * 24 * time.Hour

// NewSignup checks a request against the tenant's rules. Errors: [ErrSignupClosed], [ErrInviteRequired], those of
// [CheckEmail], [CheckHandle] and [CheckNewPassword], [ErrRecoveryKey].
func NewSignup(t *tenant.Tenant, req Request, now time.Time) (*Signup, error) {
	s := &Signup{CreatedAt: now.UTC().Truncate(time.Microsecond), tenant: t}
	switch {
	case t.Settings.Signup == tenant.SignupClosed:
		return nil, ErrSignupClosed
	case t.Settings.InviteRequired():
		if s.InviteCode = strings.TrimSpace(req.InviteCode); s.InviteCode == "" {
			return nil, ErrInviteRequired
		}
		if !isText(s.InviteCode) {
			return nil, ErrInviteUnavailable
		}
	}
	var err error
	if s.Email, err = CheckEmail(&t.Settings, req.Email); err != nil {
		return nil, err
	}
	if s.DID = req.DID; s.DID != "" {
		var kind identity.HandleKind
		s.Moved = true
		s.Handle, kind, err = HandlePolicy(t).Check(req.Handle, false)
		s.External = kind == identity.HandleExternal
	} else {
		s.Handle, err = CheckHandle(t, req.Handle)
	}
	if err != nil {
		return nil, err
	}
	if req.Password != nil {
		if err := CheckNewPassword(&t.Settings, *req.Password); err != nil {
			return nil, err
		}
	}
	if s.recoveryKey = req.RecoveryKey; s.recoveryKey != "" {
		if _, err := atcrypto.ParsePublicDIDKey(s.recoveryKey); err != nil {
			return nil, ErrRecoveryKey
		}
	}
	return s, nil
}

// Epochs are those of the account's first access tokens. They begin with the time, so that those of an account
// that was deleted are nothing to one that comes back under the same DID.
func (s *Signup) Epochs() Epochs { return Epochs{Session: s.CreatedAt.Unix()} }

// CheckFree looks whether invite code, handle and address can be had. Begin decides. Errors: [ErrInviteUnavailable],
// [ErrHandleTaken], [ErrEmailTaken].
func (s *Signup) CheckFree(ctx context.Context, q *tenantdb.Queries) error {
	if s.InviteCode != "" {
		if err := checkInvite(ctx, q, s.InviteCode); err != nil {
			return err
		}
	}
	if s.Moved {
		if n, err := q.CountActorsWithDID(ctx, s.DID); err != nil {
			return fmt.Errorf("look for DID: %w", err)
		} else if n > 0 {
			return ErrDIDTaken
		}
	}
	stale := s.CreatedAt.Add(-StaleAfter)
	n, err := q.CountActorsWithHandle(ctx, tenantdb.CountActorsWithHandleParams{Handle: s.Handle, StaleBefore: stale})
	if err != nil {
		return fmt.Errorf("look for handle: %w", err)
	}
	if n > 0 {
		return &TakenError{ErrHandleTaken, s.Handle}
	}
	n, err = q.CountAccountsWithEmail(ctx, tenantdb.CountAccountsWithEmailParams{Email: s.Email, StaleBefore: stale})
	if err != nil {
		return fmt.Errorf("look for email: %w", err)
	}
	if n > 0 {
		return &TakenError{ErrEmailTaken, s.Email}
	}
	return nil
}

// MintKey makes the signing key of an account that moves here. One that was reserved for its DID takes its place in
// Begin.
func (s *Signup) MintKey(keys *keyring.Keyring) error {
	key, err := keys.GenerateSigningKey()
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	s.Key = key
	return nil
}

// Mint makes the account's signing key and the operation that creates its DID. Rotation keys are, most powerful first,
// the user's recovery key, the tenant's, and the one that rotation signs with.
func (s *Signup) Mint(keys *keyring.Keyring, rotation identity.Signer) error {
	if err := s.MintKey(keys); err != nil {
		return err
	}
	var ranked []string
	for _, k := range []string{s.recoveryKey, s.tenant.Settings.RecoveryDIDKey, rotation.PublicDIDKey()} {
		if k != "" && !slices.Contains(ranked, k) {
			ranked = append(ranked, k)
		}
	}
	var err error
	s.DID, s.Genesis, err = identity.NewGenesis(identity.Account{
		RotationKeys: ranked, SigningKey: s.Key.PublicDIDKey(), Handle: s.Handle, Endpoint: s.tenant.PublicURL,
	}, rotation)
	if err != nil {
		return fmt.Errorf("genesis of %s: %w", s.Handle, err)
	}
	return nil
}

// Begin inserts the account, unseen by everybody, and takes the invite code's use. Errors: [ErrHandleTaken],
// [ErrEmailTaken], [ErrInviteUnavailable], [ErrHandleDomain].
func (s *Signup) Begin(ctx context.Context, q *tenantdb.Queries, keys *keyring.Keyring) error {
	switch {
	case !s.External:
		if err := holdNames(ctx, q, s.Handle); err != nil {
			return err
		}
	case !s.Elsewhere.Is(s.Handle):
		return fmt.Errorf("nobody was told that %s is a handle of %s", s.Handle, s.tenant.Hostname)
	}
	err := displaceStale(ctx, q, s.CreatedAt, s.Handle, s.Email)
	if err != nil {
		return err
	}
	if s.Moved {
		err = q.InsertMovedActor(ctx, tenantdb.InsertMovedActorParams{
			AID: s.AID, DID: s.DID, Handle: s.Handle, SessionEpoch: s.Epochs().Session, CreatedAt: s.CreatedAt, DeleteAfter: s.CreatedAt.Add(MovedLife),
		})
	} else {
		err = q.InsertSignupActor(ctx, tenantdb.InsertSignupActorParams{
			AID: s.AID, DID: s.DID, Handle: s.Handle, CreatingSince: s.CreatedAt, SessionEpoch: s.Epochs().Session, CreatedAt: s.CreatedAt,
		})
	}
	if err != nil {
		return s.taken(err, "insert actor")
	}
	if s.Moved {
		if reserved, err := takeReserved(ctx, q, keys, s.tenant, s.DID, s.CreatedAt); err != nil {
			return err
		} else if reserved != nil {
			s.Key = reserved
		}
	}
	err = q.InsertAccount(ctx, tenantdb.InsertAccountParams{
		AID: s.AID, Email: &s.Email, PasswordHash: optional(s.PasswordHash), InviteCode: optional(s.InviteCode), CreatedAt: s.CreatedAt,
	})
	if err != nil {
		return s.taken(err, "insert account")
	}
	sealed, err := keys.SealSigningKey(s.tenant.Schema.String(), s.AID, s.Key)
	if err != nil {
		return fmt.Errorf("seal signing key: %w", err)
	}
	err = q.InsertSigningKey(ctx, tenantdb.InsertSigningKeyParams{AID: s.AID, Sealed: sealed, Public: s.Key.PublicDIDKey(), CreatedAt: s.CreatedAt})
	if err != nil {
		return fmt.Errorf("insert signing key: %w", err)
	}
	if s.InviteCode != "" {
		if err := useInvite(ctx, q, s.CreatedAt, s.InviteCode, s.AID); err != nil {
			return err
		}
	}
	return nil
}

// displaceStale takes handle and address from unfinished sign-ups that are stale. The rest of them is the sweep's, which
// also ends their DIDs.
func displaceStale(ctx context.Context, q *tenantdb.Queries, now time.Time, handle, email string) error {
	stale, err := q.LockStaleSignupsOf(ctx, tenantdb.LockStaleSignupsOfParams{Before: now.Add(-StaleAfter), Handle: handle, Email: email})
	if err != nil {
		return fmt.Errorf("look for stale sign-ups: %w", err)
	}
	for _, aid := range stale {
		if err := q.UpdateSignupDisplaced(ctx, aid); err != nil {
			return fmt.Errorf("displace sign-up %d: %w", aid, err)
		}
	}
	return nil
}

func (s *Signup) taken(err error, doing string) error {
	switch constraint, _ := db.IsUnique(err); constraint {
	case "actor_handle_key":
		return &TakenError{ErrHandleTaken, s.Handle}
	case "actor_did_key":
		return ErrDIDTaken
	case "account_email_key":
		return &TakenError{ErrEmailTaken, s.Email}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Finish makes the account visible. Errors: [ErrSignupLost] when it was cleared away as stale.
func (s *Signup) Finish(ctx context.Context, q *tenantdb.Queries) error {
	n, err := q.UpdateActorCreated(ctx, tenantdb.UpdateActorCreatedParams{AID: s.AID, CreatingSince: s.CreatedAt})
	if err != nil {
		return fmt.Errorf("finish sign-up: %w", err)
	}
	if n == 0 {
		return ErrSignupLost
	}
	return nil
}

// Events are what the firehose tells of the new account, in order, all in transaction 2. commit is the empty
// repository's.
func (s *Signup) Events(commit *repo.Commit, now time.Time) []firehose.Event {
	return []firehose.Event{
		firehose.NewIdentity(s.AID, s.DID, s.Handle, now),
		firehose.NewAccount(s.AID, s.DID, true, "", now),
		firehose.NewCommit(s.AID, commit, now),
		firehose.NewSync(s.AID, s.DID, commit.Head.Rev, commit.Head.CID, commit.Block, now),
	}
}

// Undo takes the sign-up back, in a transaction of its own, after any step from Begin on failed or may have failed. A
// transaction that is still on its way is waited for. finished says that there is nothing to take back because Finish
// did happen: the account is there, and the caller has succeeded after all.
func (s *Signup) Undo(ctx context.Context, q *tenantdb.Queries) (finished bool, err error) {
	_, err = q.LockSignupActor(ctx, tenantdb.LockSignupActorParams{AID: s.AID, CreatingSince: s.CreatedAt})
	if err == nil {
		return false, remove(ctx, q, s.AID)
	}
	if !db.IsNoRows(err) {
		return false, fmt.Errorf("lock sign-up: %w", err)
	}
	a, err := q.GetActorStatus(ctx, s.DID)
	if db.IsNoRows(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for account: %w", err)
	}
	return a.AID == s.AID, nil
}

// Tombstone makes the operation that ends the DID of a sign-up that was undone after Genesis was, or may have been,
// sent: nobody else has a key to it.
func (s *Signup) Tombstone(rotation identity.Signer) (*didplc.TombstoneOp, error) {
	return identity.NewTombstone(s.Genesis, rotation)
}

// Stale is what is left of a sign-up that a crash cut off.
type Stale struct {
	AID int64
	DID string // perhaps known to the PLC directory
}

// RemoveStale removes up to max unfinished sign-ups that are older than [StaleAfter], inside the caller's transaction.
func RemoveStale(ctx context.Context, q *tenantdb.Queries, now time.Time, max int) ([]Stale, error) {
	rows, err := q.LockStaleSignups(ctx, tenantdb.LockStaleSignupsParams{Before: now.Add(-StaleAfter), MaxRows: int32(max)})
	if err != nil {
		return nil, fmt.Errorf("list stale sign-ups: %w", err)
	}
	out := make([]Stale, len(rows))
	for i, row := range rows {
		if err := remove(ctx, q, row.AID); err != nil {
			return nil, err
		}
		out[i] = Stale{row.AID, row.DID}
	}
	return out, nil
}

// remove deletes all that Begin and the empty repository inserted, and gives the invite code's use back.
func remove(ctx context.Context, q *tenantdb.Queries, aid int64) error {
	for _, step := range []func(context.Context, int64) error{
		q.UpdateInviteCodeReturned, q.DeleteInviteCodeUses, q.DeleteActorNodes, q.DeleteAccountItems, q.DeleteAccount, q.DeleteActor,
	} {
		if err := step(ctx, aid); err != nil {
			return fmt.Errorf("remove sign-up %d: %w", aid, err)
		}
	}
	return nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
