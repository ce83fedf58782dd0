package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/tenant"
)

// Role is what an operator may do: everything that the roles before it may, and more. The numbers are stored.
type Role int16

// The roles.
const (
	RoleSupport   Role = 1 // sees accounts, writes to them
	RoleModerator Role = 2 // takes down and restores, blocks invites, approves sign-ups: also the moderation service's
	RoleAdmin     Role = 3 // changes and deletes accounts, makes invite codes, rejects sign-ups, reads the audit log
	RoleOwner     Role = 4 // everything: also the shared password's
)

func (r Role) String() string {
	switch r {
	case RoleSupport:
		return "support"
	case RoleModerator:
		return "moderator"
	case RoleAdmin:
		return "admin"
	case RoleOwner:
		return "owner"
	}
	return "none"
}

// ParseRole reads a role's name.
func ParseRole(name string) (Role, error) {
	for r := RoleSupport; r <= RoleOwner; r++ {
		if name == r.String() {
			return r, nil
		}
	}
	return 0, fmt.Errorf("%w: %.30q is no role: support, moderator, admin or owner", ErrOperatorName, name)
}

// SharedOperator is the user name of the shared password, which existing tools use. Its role is owner.
const SharedOperator = "admin"

var (
	// ErrOperatorName: no name, role or label that an operator or a token may have. Its text says why.
	ErrOperatorName = errors.New("unusable operator")
	// ErrOperatorTaken: there is an operator of that name.
	ErrOperatorTaken = errors.New("there is an operator of this name")
	// ErrOperatorNotFound: no operator or token of that name.
	ErrOperatorNotFound = errors.New("no such operator")
)

// Operator is one of the tenant's operators, or its moderation service.
type Operator struct {
	Name string // the operator's, or the service's DID
	Role Role
}

// operatorPrefix tells operators' tokens from session tokens, and leaked ones from noise.
const operatorPrefix = "locusop_"

// IsOperatorToken says whether a bearer header holds an operator's token rather than a session's.
func IsOperatorToken(authorization string) bool {
	token, err := bearer(authorization)
	return err == nil && strings.HasPrefix(token, operatorPrefix)
}

// Operator establishes an operator: by HTTP Basic with user admin and the shared password, which may hold colons, or
// with an operator's name and one of its tokens; or by such a token as bearer. Errors: [ErrMissing],
// [ErrOperator].
func (s *Sessions) Operator(ctx context.Context, t *tenant.Tenant, authorization string) (Operator, error) {
	if authorization == "" {
		return Operator{}, ErrMissing
	}
	scheme, text, _ := strings.Cut(authorization, " ")
	text = strings.TrimSpace(text)
	switch {
	case len(text) > maxToken:
		return Operator{}, ErrOperator
	case strings.EqualFold(scheme, "basic"):
		return s.basicOperator(ctx, t, text)
	case strings.EqualFold(scheme, "bearer") && strings.HasPrefix(text, operatorPrefix):
		return s.tokenOperator(ctx, t, "", text)
	}
	return Operator{}, ErrOperator
}

func (s *Sessions) basicOperator(ctx context.Context, t *tenant.Tenant, text string) (Operator, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return Operator{}, ErrOperator
	}
	name, password, ok := strings.Cut(string(raw), ":")
	if !ok || name == "" {
		return Operator{}, ErrOperator
	}
	if name != SharedOperator {
		return s.tokenOperator(ctx, t, name, password)
	}
	keys, err := s.Secrets(ctx, t)
	if err != nil {
		return Operator{}, err
	}
	// Digests have one length, so the time says nothing about the password's.
	got := sha256.Sum256([]byte(password))
	if keys.admin == nil || subtle.ConstantTimeCompare(got[:], keys.admin) != 1 {
		return Operator{}, ErrOperator
	}
	return Operator{Name: SharedOperator, Role: RoleOwner}, nil
}

// tokenOperator asks the database each time: a token that is revoked is dead at once, everywhere.
func (s *Sessions) tokenOperator(ctx context.Context, t *tenant.Tenant, name, token string) (Operator, error) {
	q, now := s.db.Tenant(t.Schema).Q(), s.now()
	row, err := q.GetOperatorByToken(ctx, hashOperatorToken(token))
	if db.IsNoRows(err) {
		return Operator{}, ErrOperator
	}
	if err != nil {
		return Operator{}, fmt.Errorf("look for operator: %w", err)
	}
	if name != "" && name != row.Name || row.ExpiresAt != nil && !row.ExpiresAt.After(now) {
		return Operator{}, ErrOperator
	}
	if row.LastUsedAt == nil || now.Sub(*row.LastUsedAt) > time.Minute {
		if err := q.UpdateOperatorTokenUsed(ctx, tenantdb.UpdateOperatorTokenUsedParams{TokenHash: hashOperatorToken(token), Now: now}); err != nil {
			return Operator{}, fmt.Errorf("note use of operator token: %w", err)
		}
	}
	return Operator{Name: row.Name, Role: Role(row.Role)}, nil
}

func hashOperatorToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

var operatorName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,63}$`)

// InsertOperator names an operator. Errors: [ErrOperatorName], [ErrOperatorTaken].
func InsertOperator(ctx context.Context, q *tenantdb.Queries, now time.Time, name string, role Role, by string) error {
	if name == SharedOperator || !operatorName.MatchString(name) {
		return fmt.Errorf("%w: a name has up to 64 of a-z, 0-9, . _ @ -, and is not %s", ErrOperatorName, SharedOperator)
	}
	err := q.InsertOperator(ctx, tenantdb.InsertOperatorParams{Name: name, Role: int16(role), CreatedBy: by, CreatedAt: now})
	if _, taken := db.IsUnique(err); taken {
		return fmt.Errorf("%w: %s", ErrOperatorTaken, name)
	}
	if err != nil {
		return fmt.Errorf("insert operator %s: %w", name, err)
	}
	return nil
}

// SetOperatorRole changes what an operator may do, at once. Errors: [ErrOperatorNotFound].
func SetOperatorRole(ctx context.Context, q *tenantdb.Queries, name string, role Role) error {
	n, err := q.UpdateOperatorRole(ctx, tenantdb.UpdateOperatorRoleParams{Name: name, Role: int16(role)})
	return someOperator(n, err, name)
}

// DeleteOperator removes an operator and its tokens. Errors: [ErrOperatorNotFound].
func DeleteOperator(ctx context.Context, q *tenantdb.Queries, name string) error {
	n, err := q.DeleteOperator(ctx, name)
	return someOperator(n, err, name)
}

// OperatorToken is a new token. Secret is shown once and stored nowhere.
type OperatorToken struct {
	ID, Secret string
}

// NewOperatorToken draws a token; [InsertOperatorToken] makes it one.
func NewOperatorToken() OperatorToken {
	var b [38]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the process instead
	return OperatorToken{
		ID:     strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[32:])),
		Secret: operatorPrefix + base64.RawURLEncoding.EncodeToString(b[:32]),
	}
}

// InsertOperatorToken gives an operator a token. expires nil: until it is revoked. Errors: [ErrOperatorNotFound],
// [ErrOperatorName].
func InsertOperatorToken(ctx context.Context, q *tenantdb.Queries, now time.Time, name string, token OperatorToken, label string, expires *time.Time) error {
	if len(label) > 200 || expires != nil && !expires.After(now) {
		return fmt.Errorf("%w: a label has up to 200 bytes, a token's end lies ahead", ErrOperatorName)
	}
	n, err := q.InsertOperatorToken(ctx, tenantdb.InsertOperatorTokenParams{
		TokenHash: hashOperatorToken(token.Secret), TokenID: token.ID, Name: name, Label: label, CreatedAt: now, ExpiresAt: expires,
	})
	return someOperator(n, err, name)
}

// RevokeOperatorToken ends a token by its id. Errors: [ErrOperatorNotFound].
func RevokeOperatorToken(ctx context.Context, q *tenantdb.Queries, id string) error {
	n, err := q.DeleteOperatorToken(ctx, id)
	return someOperator(n, err, "token "+id)
}

func someOperator(n int64, err error, name string) error {
	if err != nil {
		return fmt.Errorf("operator %s: %w", name, err)
	}
	if n == 0 {
		return fmt.Errorf("%w: %.100s", ErrOperatorNotFound, name)
	}
	return nil
}
