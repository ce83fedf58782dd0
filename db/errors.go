package db

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// ErrUnknownOutcome means that the connection died after the statements were sent and before the answer came, or
	// that the server stopped waiting for its standby: they may have been committed or not. Read back before any retry,
	// and acknowledge what is found behind [Tenant.Confirm] only.
	ErrUnknownOutcome = errors.New("database outcome unknown")
	// ErrFull means that the server has no room on its disk: nothing was written. It is an ErrUnavailable.
	ErrFull = fmt.Errorf("%w: no room on its disk", ErrUnavailable)
	// ErrSlow means that the server ended a statement because it took too long, or somebody did: nothing was written.
	// It is an ErrUnavailable.
	ErrSlow = fmt.Errorf("%w: the statement took too long", ErrUnavailable)
	// ErrGivenUp means that the process ends and waits for the database no longer. It is an ErrUnavailable.
	ErrGivenUp = fmt.Errorf("%w: the process ends", ErrUnavailable)
	// ErrCopyAlone refuses COPY outside of a transaction where each transaction has to be told something first.
	ErrCopyAlone = errors.New("db: COPY needs a transaction behind PgBouncer, with tenants' roles, and on a Citus worker")
	// ErrNoRows is the answer of a :one query that found nothing.
	ErrNoRows = pgx.ErrNoRows
)

// IsNoRows tells whether a :one query found nothing.
func IsNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }

// shardNumber is what Citus puts behind the names of a table's constraints, where it keeps the rows.
var shardNumber = regexp.MustCompile(`_[0-9]{5,}$`)

// IsUnique tells whether a row with the same key was there already, and by which constraint.
func IsUnique(err error) (constraint string, ok bool) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		return shardNumber.ReplaceAllString(pg.ConstraintName, ""), true
	}
	return "", false
}

// IsUndefined tells whether a statement named a table or schema that is not there (yet).
func IsUndefined(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000")
}

// IsUnavailable tells whether the database could not be asked, or could not answer: down, starting, out of connections,
// full, too slow. ErrUnknownOutcome is not among these: what was asked may have happened.
func IsUnavailable(err error) bool {
	return errors.Is(err, ErrUnavailable)
}

// IsTimeout tells whether the server ended the statement for taking too long.
func IsTimeout(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == codeCanceled
}

// SQLSTATEs that several places know.
const (
	codeCanceled = "57014" // by the statement timeout, or by hand
	codeFull     = "53100"
	codeReadOnly = "25006" // a standby
)

// isDown tells by SQLSTATE that the server cannot serve now, but may later.
func isDown(code string) bool {
	switch code {
	case "57P01", "57P02", "57P03", // shutting down, crashed, starting
		"53000", "53200", "53300", "53400", // out of memory, too many connections
		codeReadOnly,                                // not the primary, or not any more
		"08000", "08001", "08003", "08004", "08006": // PgBouncer reports its own trouble so
		return true
	}
	return false
}

// IsRetryable tells that Postgres rolled a batch back because of others and that the same one may well succeed now.
func IsRetryable(err error) bool { return isRetryable(err) }

// isRetryable tells that Postgres rolled back and that the same transaction may well succeed now.
func isRetryable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01") || isStalePlan(err)
}

// isStalePlan tells that a prepared statement does not fit any more, because a migration changed its tables. pgx has
// dropped it by now, so the next attempt prepares it anew.
func isStalePlan(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) &&
		(pg.Code == "0A000" && strings.Contains(pg.Message, "cached plan") || pg.Code == "26000")
}

// isBroken tells that err is the connection's, not the statement's.
func isBroken(err error) bool {
	if err == nil {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return isDown(pg.Code)
	}
	var connect *pgconn.ConnectError
	var op net.Error
	return errors.As(err, &connect) || errors.As(err, &op) || errors.Is(err, pgconn.ErrConnClosed) || isEOF(err)
}

// classify marks errors that mean "the database is not there". The caller's own end of patience is not one.
func classify(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case codeFull:
			return fmt.Errorf("%w: %w", ErrFull, err)
		case codeCanceled:
			return fmt.Errorf("%w: %w", ErrSlow, err)
		}
	}
	if isBroken(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
