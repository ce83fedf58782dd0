package trace

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Postgres writes statements down: their names, never their arguments. It is pgx's tracer; statements of what is not
// traced cost a look at the context.
type Postgres struct{}

type statementKey struct{}

// begins begins a span and remembers it for its end.
func begins(ctx context.Context, name string) (context.Context, Span) {
	ctx, span := Start(ctx, name, Call)
	if span.span == nil {
		return ctx, span
	}
	span.Text("db.system.name", "postgresql")
	return context.WithValue(ctx, statementKey{}, span), span
}

func done(ctx context.Context, err error, rows int64) {
	span, ok := ctx.Value(statementKey{}).(Span)
	if !ok {
		return
	}
	if rows > 0 {
		span.Number("db.response.returned_rows", rows)
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		code := codeOf(err)
		span.Text("db.response.status_code", code)
		span.Failed(code)
	}
	span.End()
}

// codeOf is what the server, or the program, calls an error; its text may hold a row.
func codeOf(err error) string {
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg):
		return pg.Code
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "connection"
}

// TraceQueryStart implements pgx.QueryTracer.
func (Postgres) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !On(ctx) {
		return ctx
	}
	name := statement(data.SQL)
	ctx, span := begins(ctx, "postgres "+name)
	span.Text("db.operation.name", name)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (Postgres) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	done(ctx, data.Err, data.CommandTag.RowsAffected())
}

// TraceBatchStart implements pgx.BatchTracer.
func (Postgres) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	ctx, span := begins(ctx, "postgres batch")
	if span.span != nil {
		names := make([]string, 0, len(data.Batch.QueuedQueries))
		for _, q := range data.Batch.QueuedQueries {
			names = append(names, statement(q.SQL))
		}
		span.Text("db.operation.name", strings.Join(names, " "))
		span.Number("db.operation.batch.size", int64(len(names)))
	}
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer. A batch is one round trip, so its statements have no times of their own.
func (Postgres) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (Postgres) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	done(ctx, data.Err, 0)
}

// TraceCopyFromStart implements pgx.CopyFromTracer.
func (Postgres) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromStartData) context.Context {
	ctx, span := begins(ctx, "postgres copy")
	span.Text("db.operation.name", "copy")
	return ctx
}

// TraceCopyFromEnd implements pgx.CopyFromTracer.
func (Postgres) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceCopyFromEndData) {
	done(ctx, data.Err, data.CommandTag.RowsAffected())
}

// statement is what a text is called: generated ones begin with their names, of others the first word says enough.
func statement(sql string) string {
	if _, named, ok := strings.Cut(sql[:min(len(sql), 200)], "-- name: "); ok {
		name, _, _ := strings.Cut(named, " ")
		return name
	}
	word, _, _ := strings.Cut(strings.TrimSpace(sql), " ")
	word = strings.ToLower(strings.TrimRight(word, ";"))
	if word == "" || len(word) > 12 || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" {
		return "statement"
	}
	return word
}
