package db

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

// ErrBeside refuses a migration that older programs cannot work beside, while some are connected.
var ErrBeside = errors.New("older programs work on this database, and they cannot beside this version: stop them first")

// appName is how connections of this program name themselves to Postgres: with the versions of the schemas that it knows,
// so that a newer program finds out.
func appName() string {
	control, err := LatestControlVersion()
	if err != nil {
		return appPrefix
	}
	tenant, err := LatestTenantVersion()
	if err != nil {
		return appPrefix
	}
	return fmt.Sprintf("%s %d/%d", appPrefix, control, tenant)
}

const appPrefix = "locus"

// versionsOf reads the name again. Programs before it gave themselves no versions.
func versionsOf(name string) (control, tenant int64, ours bool) {
	rest, ours := strings.CutPrefix(name, appPrefix)
	if !ours || rest != "" && !strings.HasPrefix(rest, " ") {
		return 0, 0, false
	}
	_, _ = fmt.Sscanf(rest, " %d/%d", &control, &tenant) // else both are 0
	return control, tenant, true
}

// alone refuses to bring a schema from version have over a migration that older programs cannot work beside, while such
// programs have connections to the server. A schema that is made anew has no such programs.
func (d *DB) alone(ctx context.Context, at *server, have int64, migrations []schema.Migration, known func(control, tenant int64) int64) error {
	needs := schema.LastAlone(migrations)
	if have < 0 || have >= needs {
		return nil
	}
	conn, err := acquire(ctx, at.admin, reads)
	if err != nil {
		return err
	}
	defer conn.Release()
	rows, err := conn.Query(ctx, `SELECT DISTINCT application_name, coalesce(host(client_addr), 'this machine')
FROM pg_catalog.pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'locus%' ORDER BY 1, 2`)
	if err != nil {
		return classify(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Name, Where string }])
	if err != nil {
		return classify(err)
	}
	var older []string
	for _, p := range found {
		if control, tenant, ours := versionsOf(p.Name); ours && known(control, tenant) < needs {
			older = append(older, fmt.Sprintf("%q at %s", p.Name, p.Where))
		}
	}
	if len(older) > 0 {
		return fmt.Errorf("%w: %s", ErrBeside, strings.Join(older, ", "))
	}
	return nil
}

func knownControl(control, _ int64) int64 { return control }
func knownTenant(_, tenant int64) int64   { return tenant }
