package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/audit"
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
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Name     string `arg:"" help:"The operator's name: user of HTTP Basic, and what the audit log says."`
}

// act changes operators in one transaction with its entry in the audit log.
func (f appFlags) act(ctx context.Context, log *slog.Logger, hostname, action, subject string, detail any, change func(q *tenantdb.Queries, now time.Time, by string) error) error {
	a, t, stop, err := f.assemble(ctx, log, hostname)
	if err != nil {
		return err
	}
	defer stop()
	now, by := time.Now().UTC().Truncate(time.Microsecond), commandUser()
	return a.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := change(q, now, by.Name); err != nil {
			return err
		}
		return audit.Insert(ctx, q, audit.Entry{At: now, Who: by.Name, Action: action, Subject: subject, Outcome: audit.Done}, int16(by.Role), detail)
	})
}

type tokenFlags struct {
	Label string        `help:"What the token is for."`
	Life  time.Duration `help:"How long it is good, as 720h; 0: until it is revoked." default:"0"`
}

func (f tokenFlags) insert(ctx context.Context, q *tenantdb.Queries, now time.Time, name string, token auth.OperatorToken) error {
	var end *time.Time
	if f.Life > 0 {
		end = new(now.Add(f.Life))
	}
	return auth.InsertOperatorToken(ctx, q, now, name, token, f.Label, end)
}

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
	token := auth.NewOperatorToken()
	detail := map[string]string{"role": c.Role, "token": token.ID}
	err = c.act(ctx, log, c.Hostname, "operator add", c.Name, detail, func(q *tenantdb.Queries, now time.Time, by string) error {
		if err := auth.InsertOperator(ctx, q, now, c.Name, role, by); err != nil {
			return err
		}
		return c.insert(ctx, q, now, c.Name, token)
	})
	if err == nil {
		fmt.Println(token.Secret)
	}
	return err
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
	return c.act(ctx, log, c.Hostname, "operator role", c.Name, map[string]string{"role": c.Role}, func(q *tenantdb.Queries, _ time.Time, _ string) error {
		return auth.SetOperatorRole(ctx, q, c.Name, role)
	})
}

type operatorRemoveCmd struct {
	operatorArgs
}

func (c *operatorRemoveCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.act(ctx, log, c.Hostname, "operator remove", c.Name, nil, func(q *tenantdb.Queries, _ time.Time, _ string) error {
		return auth.DeleteOperator(ctx, q, c.Name)
	})
}

type operatorTokenCmd struct {
	operatorArgs
	tokenFlags
}

func (c *operatorTokenCmd) Run(ctx context.Context, log *slog.Logger) error {
	token := auth.NewOperatorToken()
	detail := map[string]string{"token": token.ID, "label": c.Label}
	err := c.act(ctx, log, c.Hostname, "operator token", c.Name, detail, func(q *tenantdb.Queries, now time.Time, _ string) error {
		return c.insert(ctx, q, now, c.Name, token)
	})
	if err == nil {
		fmt.Println(token.Secret)
	}
	return err
}

type operatorRevokeCmd struct {
	appFlags
	Hostname string `arg:"" help:"Hostname of the tenant."`
	Token    string `arg:"" help:"The token's id."`
}

func (c *operatorRevokeCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.act(ctx, log, c.Hostname, "operator revoke", "", map[string]string{"token": c.Token}, func(q *tenantdb.Queries, _ time.Time, _ string) error {
		return auth.RevokeOperatorToken(ctx, q, c.Token)
	})
}

type operatorListCmd struct {
	appFlags
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
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer out.Flush()
	for _, o := range list {
		fmt.Fprintf(out, "%s\t%s\t%d tokens\tby %s\t%s\n", o.Name, auth.Role(o.Role), o.Tokens, o.CreatedBy, o.CreatedAt.UTC().Format(time.DateOnly))
		tokens, err := q.ListOperatorTokens(ctx, tenantdb.ListOperatorTokensParams{Name: o.Name, MaxRows: mostOperators})
		if err != nil {
			return err
		}
		for _, token := range tokens {
			fmt.Fprintf(out, "  %s\t%s\tuntil %s\tlast used %s\n", token.TokenID, token.Label, moment(token.ExpiresAt, "revoked"), moment(token.LastUsedAt, "never"))
		}
	}
	return nil
}

func moment(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return t.UTC().Format("2006-01-02 15:04")
}
