package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/auroralocus/locus/internal/fair"

	"golang.org/x/crypto/argon2"

	"github.com/auroralocus/locus/internal/tenant"
)

// Limits of passwords, in characters: what may be set, and what a sign-in looks at. The fewest are the tenant's setting,
// never below [tenant.MinPassword].
const (
	MaxNewPassword   = 256
	maxLoginPassword = 512
)

// Cost is the argon2id cost of new hashes.
type Cost struct {
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
}

// DefaultCost is OWASP's recommendation (19 MiB, two passes, one lane): 15 to 30 ms of one core.
var DefaultCost = Cost{MemoryKiB: 19 << 10, Passes: 2, Lanes: 1}

// maxCost bounds what a stored hash may ask for.
var maxCost = Cost{MemoryKiB: 1 << 20, Passes: 20, Lanes: 16}

const (
	saltSize = 16
	hashSize = 32
	// minFailure is how long a refused sign-in takes at least, so that its time says nothing about the reason.
	minFailure = 350 * time.Millisecond
)

// PasswordConfig has a default for everything.
type PasswordConfig struct {
	Cost     Cost // of new hashes; default DefaultCost. Cheaper stored hashes are replaced at the next sign-in
	Parallel int  // hashes at once; default one core less than there are, at least 1
	Waiting  int  // callers of one tenant that may wait for their turn; default 256. More get ErrBusy at once
}

// Passwords hashes and checks passwords, few at a time: sign-ins may use the machine's spare cores but never all of
// them. Tenants, and at a tenant addresses, take turns. It is safe for concurrent use.
type Passwords struct {
	cost  Cost
	turns *fair.Places
	decoy string // a hash of nothing anybody knows: an unknown account costs the same
	now   func() time.Time
	done  atomic.Int64 // hashes so far
}

// Hashes is how many passwords were hashed or compared so far.
func (p *Passwords) Hashes() int64 { return p.done.Load() }

// NewPasswords makes the one part of a process that hashes passwords.
func NewPasswords(cfg PasswordConfig, now func() time.Time) *Passwords {
	if cfg.Cost == (Cost{}) {
		cfg.Cost = DefaultCost
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = max(1, fair.Processors-1)
	}
	if cfg.Waiting <= 0 {
		cfg.Waiting = 256
	}
	decoy := phc{Cost: cfg.Cost, salt: random(saltSize), hash: random(hashSize)}
	return &Passwords{cost: cfg.Cost, turns: fair.NewTurns(cfg.Parallel, fair.Waiting{Time: turnWait, First: cfg.Waiting, Whole: turnsOfOne}), decoy: decoy.String(), now: now}
}

// How long a caller waits for its turn at most, and how many from one address of a tenant may.
const (
	turnWait   = 20 * time.Second
	turnsOfOne = 32
)

// Hash makes the PHC string to store for a new password; from is who asks for it. Errors: [ErrBusy], the context's.
func (p *Passwords) Hash(ctx context.Context, from fair.Path, password string) (string, error) {
	h := phc{Cost: p.cost, salt: random(saltSize)}
	err := p.turn(ctx, from, func() { h.hash = h.of(password, hashSize) })
	if err != nil {
		return "", err
	}
	return h.String(), nil
}

// verify checks a password against a stored hash; cheap says that the hash cost less than new ones do.
func (p *Passwords) verify(ctx context.Context, from fair.Path, stored, password string) (ok, cheap bool, err error) {
	h, err := parsePHC(stored)
	if err != nil {
		return false, false, err
	}
	err = p.turn(ctx, from, func() {
		ok = subtle.ConstantTimeCompare(h.of(password, uint32(len(h.hash))), h.hash) == 1
	})
	return ok, h.MemoryKiB < p.cost.MemoryKiB || h.Passes < p.cost.Passes, err
}

// turn runs f when one of the few places is free.
func (p *Passwords) turn(ctx context.Context, from fair.Path, f func()) error {
	place, err := p.turns.Take(ctx, from...)
	if errors.Is(err, fair.ErrNoPlace) {
		return ErrBusy
	}
	if err != nil {
		return fmt.Errorf("wait for a password check: %w", err)
	}
	defer place.Release()
	p.done.Add(1)
	f()
	return nil
}

// phc is a stored hash: $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
type phc struct {
	Cost
	salt, hash []byte
}

func (h phc) of(password string, size uint32) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.Passes, h.MemoryKiB, h.Lanes, size)
}

func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.MemoryKiB, h.Passes, h.Lanes,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.hash))
}

func parsePHC(stored string) (h phc, err error) {
	bad := fmt.Errorf("stored password hash is damaged")
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, bad
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.MemoryKiB, &h.Passes, &h.Lanes); n != 3 || err != nil {
		return phc{}, bad
	}
	if h.Passes < 1 || h.Lanes < 1 || h.MemoryKiB > maxCost.MemoryKiB || h.Passes > maxCost.Passes || h.Lanes > maxCost.Lanes {
		return phc{}, bad
	}
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return phc{}, bad
	}
	if h.hash, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(h.hash) < 16 || len(h.hash) > 64 {
		return phc{}, bad
	}
	return h, nil
}

// CheckNewPassword says whether a password may be set, by anybody, for an account of the tenant. Errors:
// [ErrPasswordLength] in a [PasswordError].
func CheckNewPassword(s *tenant.Settings, password string) error {
	if n := utf8.RuneCountInString(password); n < s.PasswordMinLength || n > MaxNewPassword {
		return &PasswordError{Min: s.PasswordMinLength}
	}
	return nil
}

// PasswordError is [ErrPasswordLength] with the tenant's rule. Its text is for the client.
type PasswordError struct{ Min int }

func (e *PasswordError) Error() string {
	return fmt.Sprintf("Password must have %d to %d characters", e.Min, MaxNewPassword)
}
func (e *PasswordError) Unwrap() error { return ErrPasswordLength }

// Said is the text for the client, whatever the error was wrapped with.
func (e *PasswordError) Said() string { return e.Error() }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: the runtime ends the process instead
	return b
}
