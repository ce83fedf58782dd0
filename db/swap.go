package db

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

// ErrInUse means that what has to stand still for a moment did not.
var ErrInUse = errors.New("the tenant is in use")

// swapPatience is how long a swap waits for each table, while whoever comes later waits for the swap.
const swapPatience = "5s"

// SwapTenantSchema puts a schema that was filled in the place of a tenant's: fresh gets the name of living, and living the
// name was. before and after run in the same transaction: before on what was living so far and stands still now, after on
// what is living from then on, before anybody sees it.
//
// The tenant is served meanwhile. Transactions that are under way end first, those that come wait for a moment, and then
// find the new tables under the old names: Postgres makes the plans of prepared statements anew when a schema is renamed.
// Errors: [ErrInUse], which has changed nothing.
func (d *DB) SwapTenantSchema(ctx context.Context, living, fresh, was Schema, before, after func(tx *LoadTx) error) error {
	if living.IsZero() || fresh.IsZero() || was.IsZero() {
		return ErrNoSchema
	}
	if living.Node() != fresh.Node() {
		return fmt.Errorf("swap %s and %s: they are on different servers", living, fresh)
	}
	at, err := d.serverOf(living)
	if err != nil {
		return err
	}
	swap := func() error {
		return d.Tenant(living).LoadTx(ctx, func(tx *LoadTx) error { return at.swap(ctx, tx, living, fresh, was, before, after) })
	}
	if at.worker == "" {
		err = swap()
	} else { // the views are made by another connection, which sees nothing before it is committed
		err = d.unsharedWhile(ctx, at, living, swap)
	}
	if err != nil {
		return fmt.Errorf("put %s in the place of %s: %w", fresh, living, err)
	}
	return nil
}

func (s *server) swap(ctx context.Context, tx *LoadTx, living, fresh, was Schema, before, after func(tx *LoadTx) error) error {
	if s.worker != "" { // what names the tables of the rows waits for no lock on a table of this server
		var still bool
		if err := tx.tx.QueryRow(ctx, "SELECT locus_server.still($1) FROM "+living.name+".stream_head", living.name).Scan(&still); err != nil {
			return classify(err)
		}
	}
	if err := standStill(ctx, tx.tx, living); err != nil {
		return err
	}
	if err := before(tx); err != nil {
		return err
	}
	var shared bool
	err := tx.tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", schema.ShareName(living.name)).Scan(&shared)
	if err != nil {
		return err
	}
	for _, pair := range [][2]string{{living.name, was.name}, {fresh.name, living.name}} {
		if _, err := tx.tx.Exec(ctx, "ALTER SCHEMA "+pair[0]+" RENAME TO "+pair[1]); err != nil {
			return err
		}
	}
	if shared && s.worker == "" { // the views read the tables, whatever these are called
		if err := makeShare(ctx, tx.tx, s, living); err != nil {
			return err
		}
	}
	return after(tx)
}

// standStill waits for what is under way in a schema and holds up what comes, by locks in the order in which commits take
// theirs: the heads first, the stream last.
func standStill(ctx context.Context, tx pgx.Tx, s Schema) error {
	all, err := tables(ctx, tx, s)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+swapPatience+"'"); err != nil {
		return err
	}
	first, last := []string{}, []string{}
	for _, t := range all {
		name := pgx.Identifier{s.name, t.Name}.Sanitize()
		switch t.Name {
		case "actor":
			first = append([]string{name}, first...)
		case "stream_head":
			last = append(last, name)
		default:
			first = append(first, name)
		}
	}
	if _, err := tx.Exec(ctx, "LOCK TABLE "+strings.Join(append(first, last...), ", ")+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		return fmt.Errorf("%w: an export or another long piece of work reads it; try again: %w", ErrInUse, err)
	}
	return nil
}
