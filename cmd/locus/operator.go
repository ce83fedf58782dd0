package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
)

type operatorCmd struct {
	Add    operatorAddCmd    `cmd:"" help:"Name an operator, and print its first token."`
	List   operatorListCmd   `cmd:"" help:"List operators and their tokens."`
	Role   operatorRoleCmd   `cmd:"" help:"Change what an operator may do."`
	Remove operatorRemoveCmd `cmd:"" help:"Remove an operator and its tokens."`
	Token  operatorTokenCmd  `cmd:"" help:"Give an operator another token, and print it."`
	Revoke operatorRevokeCmd `cmd:"" help:"End one token, by the id that list shows."`
}

type operatorArgs struct {
	appFlags
	jsonFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Name     string `arg:"" help:"The operator's name: user of HTTP Basic, and what the audit log says."`
}

type tokenFlags struct {
	Label string        `help:"What the token is for."`
	Life  time.Duration `help:"How long it is good, as 720h; 0: until it is revoked." default:"0"`
}

func (f tokenFlags) token() act.NewToken { return act.NewToken{Label: f.Label, Life: f.Life} }

type operatorAddCmd struct {
	operatorArgs
	tokenFlags
	Role string `required:"" enum:"support,moderator,admin,owner" help:"support sees accounts and writes to them; moderator takes down too; admin changes accounts and makes invite codes; owner does everything."`
}

func (c *operatorAddCmd) Run(ctx context.Context, log *slog.Logger) error {
	role, err := auth.ParseRole(c.Role)
	if err != nil {
		return err
	}
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	token, err := a.acts.AddOperator(ctx, t, byCommand(), c.Name, role, c.token())
	if err != nil {
		return err
	}
	return c.say(outcome{"name": c.Name, "token": token.Secret}, "%s", token.Secret) // alone, for scripts that take it
}

type operatorRoleCmd struct {
	operatorArgs
	Role string `arg:"" enum:"support,moderator,admin,owner" help:"support, moderator, admin or owner."`
}

func (c *operatorRoleCmd) Run(ctx context.Context, log *slog.Logger) error {
	role, err := auth.ParseRole(c.Role)
	if err != nil {
		return err
	}
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	if err := a.acts.SetOperatorRole(ctx, t, byCommand(), c.Name, role); err != nil {
		return err
	}
	return c.say(outcome{"name": c.Name, "role": c.Role}, "%s is %s of %s", c.Name, c.Role, t.Hostname)
}

type operatorRemoveCmd struct {
	operatorArgs
}

func (c *operatorRemoveCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	if err := a.acts.RemoveOperator(ctx, t, byCommand(), c.Name); err != nil {
		return err
	}
	return c.say(outcome{"name": c.Name, "removed": true}, "%s is no operator of %s any more", c.Name, t.Hostname)
}

type operatorTokenCmd struct {
	operatorArgs
	tokenFlags
}

func (c *operatorTokenCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	token, err := a.acts.AddOperatorToken(ctx, t, byCommand(), c.Name, c.token())
	if err != nil {
		return err
	}
	return c.say(outcome{"name": c.Name, "token": token.Secret}, "%s", token.Secret) // alone, for scripts that take it
}

type operatorRevokeCmd struct {
	appFlags
	jsonFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Token    string `arg:"" help:"The token's id."`
}

func (c *operatorRevokeCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	if err := a.acts.RevokeOperatorToken(ctx, t, byCommand(), c.Token); err != nil {
		return err
	}
	return c.say(outcome{"token": c.Token, "revoked": true}, "token %s is revoked", c.Token)
}

type operatorListCmd struct {
	appFlags
	jsonFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
}

// mostOperators bounds the list, and the tokens of each.
const mostOperators = 1000

func (c *operatorListCmd) Run(ctx context.Context, log *slog.Logger) error {
	a, t, stop, err := c.assemble(ctx, log, c.Hostname)
	if err != nil {
		return err
	}
	defer stop()
	q := a.db.Tenant(t.Schema).Q()
	list, err := q.ListOperators(ctx, tenantdb.ListOperatorsParams{Now: time.Now(), MaxRows: mostOperators})
	if err != nil {
		return err
	}
	type tokenJSON struct {
		ID         string     `json:"id"`
		Label      string     `json:"label"`
		ExpiresAt  *time.Time `json:"expiresAt,omitempty"`
		LastUsedAt *time.Time `json:"lastUsedAt,omitempty"`
	}
	type operatorJSON struct {
		Name      string      `json:"name"`
		Role      string      `json:"role"`
		CreatedBy string      `json:"createdBy"`
		CreatedAt time.Time   `json:"createdAt"`
		Tokens    []tokenJSON `json:"tokens"`
	}
	all := make([]operatorJSON, len(list))
	for i, o := range list {
		all[i] = operatorJSON{o.Name, auth.Role(o.Role).String(), o.CreatedBy, o.CreatedAt.UTC(), []tokenJSON{}}
		tokens, err := q.ListOperatorTokens(ctx, tenantdb.ListOperatorTokensParams{Name: o.Name, MaxRows: mostOperators})
		if err != nil {
			return err
		}
		for _, token := range tokens {
			all[i].Tokens = append(all[i].Tokens, tokenJSON{token.TokenID, token.Label, token.ExpiresAt, token.LastUsedAt})
		}
	}
	if c.JSON {
		return printJSON(os.Stdout, all)
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, o := range all {
		fmt.Fprintf(out, "%s\t%s\t%d tokens\tby %s\t%s\n", o.Name, o.Role, len(o.Tokens), o.CreatedBy, o.CreatedAt.Format(time.DateOnly))
		for _, token := range o.Tokens {
			fmt.Fprintf(out, "  %s\t%s\tuntil %s\tlast used %s\n", token.ID, token.Label, moment(token.ExpiresAt, "revoked"), moment(token.LastUsedAt, "never"))
		}
	}
	return out.Flush()
}

func moment(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return t.UTC().Format("2006-01-02 15:04")
}
