package auth

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
)

// DeploymentRole is what somebody may do who runs the deployment, or a part of it. The numbers are stored.
type DeploymentRole int16

// The roles of the operator API.
const (
	DeploymentOwner   DeploymentRole = 1 // everything
	DeploymentSupport DeploymentRole = 2 // reads everything, suspends and resumes tenants
	DeploymentBilling DeploymentRole = 3 // reads what tenants use
	DeploymentTenant  DeploymentRole = 4 // one tenant: reads it, and changes what is the tenant's own affair
)

// DeploymentRoles are all of them.
var DeploymentRoles = []DeploymentRole{DeploymentOwner, DeploymentSupport, DeploymentBilling, DeploymentTenant}

func (r DeploymentRole) String() string {
	switch r {
	case DeploymentOwner:
		return "owner"
	case DeploymentSupport:
		return "support"
	case DeploymentBilling:
		return "billing"
	case DeploymentTenant:
		return "tenant"
	}
	return "none"
}

// ParseDeploymentRole reads a role's name. Errors: [ErrDeploymentToken].
func ParseDeploymentRole(name string) (DeploymentRole, error) {
	for _, r := range DeploymentRoles {
		if name == r.String() {
			return r, nil
		}
	}
	return 0, fmt.Errorf("%w: %.30q is no role: owner, support, billing or tenant", ErrDeploymentToken, name)
}

var (
	// ErrDeploymentToken: no token that there may be. Its text says why.
	ErrDeploymentToken = errors.New("unusable token")
	// ErrDeploymentTokenNotFound: no token with that id.
	ErrDeploymentTokenNotFound = errors.New("no such token")
)

// DeploymentOperator is who calls the operator API, by one token.
type DeploymentOperator struct {
	TokenID  string
	Label    string
	Role     DeploymentRole
	TenantID int64 // of role tenant
}

// Name is how logs name it.
func (o DeploymentOperator) Name() string { return "token:" + o.TokenID + " " + o.Label }

// DeploymentToken is a token as it is listed.
type DeploymentToken struct {
	DeploymentOperator
	CreatedBy  string
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil: until it is revoked
	LastUsedAt *time.Time // nil: never; exact to a minute
}

const deploymentPrefix = "locusdep_"

// NewDeploymentToken draws a token with 256 random bits; [InsertDeploymentToken] makes it one.
func NewDeploymentToken() OperatorToken {
	var b [38]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the process instead
	return OperatorToken{
		ID:     strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[32:])),
		Secret: deploymentPrefix + base64.RawURLEncoding.EncodeToString(b[:32]),
	}
}

// maxTokenLabel bounds what a token is called.
const maxTokenLabel = 100

// InsertDeploymentToken stores a token's hash. what.TokenID is not looked at. Errors: [ErrDeploymentToken].
func InsertDeploymentToken(ctx context.Context, q *controldb.Queries, token OperatorToken, what DeploymentToken) error {
	switch {
	case strings.TrimSpace(what.Label) == "" || len(what.Label) > maxTokenLabel || strings.ContainsFunc(what.Label, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%w: a label has 1 to %d bytes, without control characters", ErrDeploymentToken, maxTokenLabel)
	case what.ExpiresAt != nil && !what.ExpiresAt.After(what.CreatedAt):
		return fmt.Errorf("%w: its end must lie ahead", ErrDeploymentToken)
	case (what.Role == DeploymentTenant) != (what.TenantID != 0):
		return fmt.Errorf("%w: role tenant needs a tenant, and no other role has one", ErrDeploymentToken)
	}
	row := controldb.InsertOperatorTokenParams{
		TokenID: token.ID, TokenHash: hashOperatorToken(token.Secret), Label: what.Label, Role: int16(what.Role),
		CreatedBy: what.CreatedBy, CreatedAt: what.CreatedAt, ExpiresAt: what.ExpiresAt,
	}
	if what.TenantID != 0 {
		row.TenantID = &what.TenantID
	}
	if err := q.InsertOperatorToken(ctx, row); err != nil {
		return fmt.Errorf("insert token: %w", err)
	}
	return nil
}

// RevokeDeploymentToken ends a token, at once and everywhere. Errors: [ErrDeploymentTokenNotFound].
func RevokeDeploymentToken(ctx context.Context, q *controldb.Queries, id string) error {
	n, err := q.DeleteOperatorToken(ctx, id)
	if err == nil && n == 0 {
		return fmt.Errorf("%w: %.60q", ErrDeploymentTokenNotFound, id)
	}
	if err != nil {
		return fmt.Errorf("revoke token %.60q: %w", id, err)
	}
	return nil
}

// ListDeploymentTokens gives a page behind the id after, and whether there may be more.
func ListDeploymentTokens(ctx context.Context, d *db.DB, after string, limit int) (page []DeploymentToken, more bool, err error) {
	rows, err := d.Control().ListOperatorTokens(ctx, controldb.ListOperatorTokensParams{After: after, MaxRows: int32(limit)})
	if err != nil {
		return nil, false, fmt.Errorf("list tokens: %w", err)
	}
	page = make([]DeploymentToken, len(rows))
	for i, r := range rows {
		page[i] = DeploymentToken{
			DeploymentOperator: DeploymentOperator{TokenID: r.TokenID, Label: r.Label, Role: DeploymentRole(r.Role)},
			CreatedBy:          r.CreatedBy, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, LastUsedAt: r.LastUsedAt,
		}
		if r.TenantID != nil {
			page[i].TenantID = *r.TenantID
		}
	}
	return page, len(rows) == limit, nil
}

// Deployment establishes who calls the operator API, by a bearer token. It asks the database each time: a token that is
// revoked is dead at once, everywhere. Errors: [ErrMissing], [ErrOperator].
func Deployment(ctx context.Context, d *db.DB, authorization string, now time.Time) (DeploymentOperator, error) {
	var none DeploymentOperator
	if authorization == "" {
		return none, ErrMissing
	}
	token, err := bearer(authorization)
	if err != nil || len(token) > maxToken || !strings.HasPrefix(token, deploymentPrefix) {
		return none, ErrOperator
	}
	q := d.Control()
	row, err := q.GetOperatorTokenByHash(ctx, hashOperatorToken(token))
	if db.IsNoRows(err) || err == nil && row.ExpiresAt != nil && !row.ExpiresAt.After(now) {
		return none, ErrOperator
	}
	if err != nil {
		return none, fmt.Errorf("look for token: %w", err)
	}
	if row.LastUsedAt == nil || now.Sub(*row.LastUsedAt) > time.Minute {
		if err := q.UpdateOperatorTokenUsed(ctx, controldb.UpdateOperatorTokenUsedParams{TokenID: row.TokenID, Now: now}); err != nil {
			return none, fmt.Errorf("note use of token: %w", err)
		}
	}
	who := DeploymentOperator{TokenID: row.TokenID, Label: row.Label, Role: DeploymentRole(row.Role)}
	if row.TenantID != nil {
		who.TenantID = *row.TenantID
	}
	return who, nil
}
