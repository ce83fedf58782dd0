package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/tenant"
)

// tokenOperations are /v1/tokens.
type tokenOperations struct {
	acts    *act.Acts
	db      *db.DB
	tenants *tenant.Registry
}

func (o tokenOperations) register(g *group) {
	anybody(g, get("/v1/me", "whoAmI", "Show the token that calls."), o.me)
	owner(g, get("/v1/tokens", "listTokens", "List the tokens of this API. Their secrets are stored nowhere."), o.list)
	owner(g, post("/v1/tokens", "createToken", "Make a token. Its secret is in this answer and never again.").answering(http.StatusCreated), o.create)
	owner(g, remove("/v1/tokens/{token}", "revokeToken", "End a token, at once and everywhere."), o.revoke)
}

// Token is a credential of this API.
type Token struct {
	ID         string     `json:"id" doc:"Its id, which logs have."`
	Label      string     `json:"label" doc:"What it is for."`
	Role       string     `json:"role" enum:"owner,support,billing,tenant" doc:"What it may do."`
	TenantID   int64      `json:"tenantId,omitempty" doc:"Number of the tenant that a token of role tenant is for."`
	CreatedBy  string     `json:"createdBy,omitempty" doc:"Who made it."`
	CreatedAt  *time.Time `json:"createdAt,omitempty" doc:"When."`
	ExpiresAt  *time.Time `json:"expiresAt,omitempty" doc:"When it ends by itself."`
	LastUsedAt *time.Time `json:"lastUsedAt,omitempty" doc:"When it was used last, to a minute."`
}

func tokenOf(t auth.DeploymentToken) Token {
	created := t.CreatedAt.UTC()
	return Token{t.TokenID, t.Label, t.Role.String(), t.TenantID, t.CreatedBy, &created, t.ExpiresAt, t.LastUsedAt}
}

type tokenOutput struct{ Body Token }

func (o tokenOperations) me(_ context.Context, c Caller, _ *struct{}) (*tokenOutput, error) {
	return &tokenOutput{Token{ID: c.TokenID, Label: c.Label, Role: c.Role.String(), TenantID: c.TenantID}}, nil
}

type listTokensInput struct {
	Cursor string `query:"cursor" maxLength:"60" doc:"The cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many at most."`
}

type listTokensOutput struct {
	Body struct {
		Tokens []Token `json:"tokens" doc:"The page."`
		Cursor string  `json:"cursor,omitempty" doc:"There may be more: give this for the next page."`
	}
}

func (o tokenOperations) list(ctx context.Context, _ OwnerCaller, in *listTokensInput) (*listTokensOutput, error) {
	page, more, err := auth.ListDeploymentTokens(ctx, o.db, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := new(listTokensOutput)
	out.Body.Tokens = make([]Token, len(page))
	for i, t := range page {
		out.Body.Tokens[i] = tokenOf(t)
	}
	if more {
		out.Body.Cursor = page[len(page)-1].TokenID
	}
	return out, nil
}

type createTokenInput struct {
	Body struct {
		Label  string `json:"label" minLength:"1" maxLength:"100" doc:"What it is for." example:"billing run"`
		Role   string `json:"role" enum:"owner,support,billing,tenant" doc:"What it may do."`
		Tenant string `json:"tenant,omitempty" maxLength:"253" doc:"Hostname of the tenant that a token of role tenant is for."`
		Days   int    `json:"expiresInDays,omitempty" minimum:"1" maximum:"3650" doc:"When it ends by itself; left out: when it is revoked."`
	}
}

// NewToken is a token with its secret.
type NewToken struct {
	Token
	Secret string `json:"secret" doc:"What calls bring: Authorization: Bearer secret. It is shown this once."`
}

type newTokenOutput struct{ Body NewToken }

func (o tokenOperations) create(ctx context.Context, c OwnerCaller, in *createTokenInput) (*newTokenOutput, error) {
	role, err := auth.ParseDeploymentRole(in.Body.Role)
	if err != nil {
		return nil, err
	}
	n := act.NewDeploymentToken{Label: in.Body.Label, Role: role, Life: time.Duration(in.Body.Days) * 24 * time.Hour}
	if in.Body.Tenant != "" {
		if n.Tenant, err = o.tenants.Get(ctx, in.Body.Tenant); err != nil {
			return nil, err
		}
	}
	secret, what, err := o.acts.AddDeploymentToken(ctx, c.by(), n)
	if err != nil {
		return nil, err
	}
	return &newTokenOutput{NewToken{tokenOf(what), secret}}, nil
}

type tokenPath struct {
	Token string `path:"token" maxLength:"60" doc:"The token's id."`
}

func (o tokenOperations) revoke(ctx context.Context, c OwnerCaller, in *tokenPath) (*noOutput, error) {
	return nil, o.acts.RevokeDeploymentToken(ctx, c.by(), in.Token)
}
