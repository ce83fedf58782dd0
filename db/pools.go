package db

import (
	"context"
	"strconv"
	"time"

	"github.com/auroralocus/locus/internal/fair"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Sizes is how many and how large the pools are that a process has of each server. Everything has a default.
type Sizes struct {
	// SubPools is how many pools tenants are spread over by the hash of their name: each connection then holds the plans
	// and tables of a part of the tenants only. Default: 4, on more than 8 cores one for every two, at most 16.
	SubPools int
	// PoolConns is the size of each of them. One tenant may have all of them, and then keptConns more are opened for
	// those whom it would leave none. Default: 2 per core over all, at least 2 each.
	PoolConns int
	// ControlConns is the size of the pool of the control schema. Default: 2 per core, at least 4.
	ControlConns int
	// StreamConns is the size of the pool of ReadTx: exports to slow readers must not hold up statements. No
	// tenant ever has the last one. Default: 2 per core, at least 4, and one more.
	StreamConns int
	// BackgroundConns is the size of the pool of [InBackground]. No tenant ever has the last one. Default: 2, on more
	// than 8 cores one for every four.
	BackgroundConns int
	// Statements is how many prepared statements, of all its tenants together, a connection of a sub-pool keeps.
	// Default: 16384.
	Statements int
}

const (
	// keptConns are opened in a sub-pool beside the others: one for another tenant where one has them all, one for a
	// tenant's own reads where its commits have them all. When nobody needs them they are closed.
	keptConns = 2
	// DefaultStatements is Sizes.Statements where nothing is said.
	DefaultStatements = 16384
	// openTime bounds how long one of them is waited for.
	openTime = 10 * time.Second
	// fewStatements is how many a connection keeps that goes round all tenants, or asks little.
	fewStatements = 256
	// backgroundLife is short: such a connection meets all tenants, and a server forgets no table that it has met.
	backgroundLife = 15 * time.Minute
)

// On is the sizes with what is not said filled in for a machine.
func (p Sizes) On(cores int) Sizes {
	set := func(field *int, to int) {
		if *field <= 0 {
			*field = to
		}
	}
	set(&p.SubPools, min(max(4, cores/2), 16))
	set(&p.PoolConns, max(2, 2*cores/p.SubPools))
	set(&p.ControlConns, max(4, 2*cores))
	set(&p.StreamConns, max(4, 2*cores)+1)
	set(&p.BackgroundConns, max(2, cores/4))
	set(&p.Statements, DefaultStatements)
	return p
}

// poolShape is what makes pools differ; no time is no bound.
type poolShape struct {
	conns, kept     int  // kept: beside conns, for those whom one tenant leaves none
	turns           bool // tenants take turns
	timeout, answer time.Duration
	life            time.Duration // of a connection; 0: as the others'
	statements      int
	generic         bool // a statement is planned once, for all parameters; else Postgres plans the first five of each anew
	login           bool // statements have the login's rights, whoever they are for
}

func (c Config) tenantShape() poolShape {
	return poolShape{conns: c.PoolConns, kept: keptConns, turns: true, generic: true, timeout: c.StatementTimeout, answer: c.AnswerTimeout, statements: c.Statements}
}

func (c Config) controlShape() poolShape {
	return poolShape{conns: c.ControlConns, timeout: c.StatementTimeout, answer: c.AnswerTimeout, statements: fewStatements, login: true}
}

func (c Config) streamShape() poolShape {
	return poolShape{conns: c.StreamConns, turns: true, statements: fewStatements}
}

func (c Config) backgroundShape() poolShape {
	return poolShape{conns: c.BackgroundConns, turns: true, timeout: c.StatementTimeout, answer: c.AnswerTimeout, life: backgroundLife, statements: fewStatements}
}

func (c Config) adminShape() poolShape {
	return poolShape{conns: migrationWorkers * adminConns, statements: fewStatements, login: true}
}

func (d *DB) newPool(ctx context.Context, s *server, base *pgxpool.Config, shape poolShape) (*pool, error) {
	c := base.Copy()
	c.MaxConns = int32(shape.conns)
	if shape.life > 0 {
		c.MaxConnLifetime, c.MaxConnLifetimeJitter = shape.life, shape.life/2
	}
	c.ConnConfig.DialFunc = d.lines.dial
	if s.bouncer != nil {
		c.BeforeConnect = s.bouncer.connecting(shape.statements)
	} else {
		c.ConnConfig.StatementCacheCapacity = shape.statements
		if shape.generic {
			c.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
		}
		c.ConnConfig.RuntimeParams["statement_timeout"] = strconv.FormatInt(shape.timeout.Milliseconds(), 10)
	}
	p, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	wait := acquireTime
	if shape.answer == 0 {
		wait = acquireLongTime
	}
	waiting := fair.Waiting{Time: wait, First: tenantWaiting, Whole: tenantWaiting}
	out := &pool{Pool: p, wait: wait, timeout: shape.timeout, answer: shape.answer, lines: d.lines, health: s.health, writes: d.writes, bouncer: s.bouncer, at: s}
	if out.roles = d.cfg.TenantRoles && !shape.login; out.roles {
		if out.database = c.ConnConfig.Database; out.database == "" {
			out.database = c.ConnConfig.User
		}
	}
	switch {
	case shape.kept > 0:
		c = c.Copy()
		c.MaxConns = int32(shape.kept)
		if p, err = pgxpool.NewWithConfig(ctx, c); err != nil {
			out.Close()
			return nil, err
		}
		out.kept = &keptPool{Pool: p, usual: int32(shape.conns)}
		out.places, out.kinds = fair.NewKept(shape.conns, shape.kept, waiting, out.keeps), true
	case shape.turns:
		out.places = fair.NewTurns(shape.conns, waiting)
	}
	return out, nil
}

// kind is what a connection is wanted for. A tenant's reads never wait for its own commits.
type kind string

const (
	reads  kind = "reads"
	writes kind = "writes"
)

func kindOf(sql string) kind {
	if isRead(sql) {
		return reads
	}
	return writes
}

func kindOfTx(opts pgx.TxOptions) kind {
	if opts.AccessMode == pgx.ReadOnly {
		return reads
	}
	return writes
}

func (b *Batch) kind() kind {
	for _, q := range b.queued {
		if !isRead(q.sql) {
			return writes
		}
	}
	return reads
}

// path is whose turn it is in a pool.
func (p *pool) path(k kind) []string {
	if p.kinds {
		return []string{p.tenant, string(k)}
	}
	return []string{p.tenant}
}

type backgroundKey struct{}

// InBackground marks work that no request waits for: sweeps, counts, checks. Its statements on tenants' schemas have a
// few connections of their own, so that however much there is of it, requests find theirs.
//
// What others wait for must not run in it, such as a group that takes in what requests want written.
func InBackground(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// chosen is the pool, or the one for work in the background.
func (p *pool) chosen(ctx context.Context) *pool {
	if p.background == nil || ctx.Value(backgroundKey{}) == nil {
		return p
	}
	own := *p.background
	own.tenant = p.tenant
	return &own
}
