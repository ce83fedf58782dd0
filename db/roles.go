package db

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"

	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A role per tenant is a second wall around its schema: the tenant's statements run with the role's rights, which reach
// nothing else. A statement that named another schema, by whatever fault, is refused by Postgres.

// ErrRoles refuses text that would change whose rights statements have.
var ErrRoles = errors.New("db: a tenant's statement must not change its role")

// ErrNoTenantRole means that a tenant has no role while its statements are to have the rights of one.
var ErrNoTenantRole = errors.New("the tenant has no role in the database that this login may take on: 'locus tenant roles' makes it")

// unsettled explains why a role could not be taken on.
func unsettled(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "22023" || pg.Code == "42501") && strings.Contains(pg.Message, "role") {
		return fmt.Errorf("%w: %w", ErrNoTenantRole, err)
	}
	return err
}

// longestName is what Postgres keeps of a name.
const longestName = 63

// tenantRole is a tenant's role. Roles are the whole server's, so the database is in its name.
func tenantRole(database string, s Schema) string {
	name := fmt.Sprintf("locus_%08x_%s", hashOf(database), s.name)
	if len(name) > longestName {
		name = fmt.Sprintf("l%08x_%s", hashOf(database), s.name)
	}
	return name
}

// hashOf tells databases of a server apart in the names of roles.
func hashOf(database string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(database))
	return h.Sum32()
}

// as is whose rights the statements of a lease have; "" is the login.
func (l *lease) as() string {
	p := l.pool
	switch {
	case !p.roles || p.tenant == "":
		return ""
	case p.bouncer != nil: // the name in the URL is PgBouncer's
		return tenantRole(p.bouncer.database, Schema{name: p.tenant})
	}
	return tenantRole(p.database, Schema{name: p.tenant})
}

// changesRole finds what a statement could change its role by. Generated statements begin with a comment.
var changesRole = regexp.MustCompile(`(?i)\bset_config\b|\bsession_authorization\b|;\s*\S|^\s*(?:--[^\n]*\n\s*)*(?:SET|RESET|DISCARD|DO|CALL|PREPARE|EXECUTE)\b`)

// grant is the text that gives a tenant's role what it needs, and makes it first. It may run again.
func grant(role string, s Schema) string {
	return fmt.Sprintf(`
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '%[1]s') THEN
    CREATE ROLE %[1]s NOLOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE;
  END IF;
  IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_auth_members WHERE roleid = '%[1]s'::regrole AND member = current_user::regrole AND grantor = current_user::regrole) THEN
    GRANT %[1]s TO CURRENT_USER;
  END IF;
END $$;
GRANT USAGE ON SCHEMA %[2]s TO %[1]s;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %[2]s TO %[1]s;
REVOKE INSERT, UPDATE, DELETE ON %[2]s.%[3]s FROM %[1]s;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA %[2]s TO %[1]s;
ALTER DEFAULT PRIVILEGES IN SCHEMA %[2]s GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %[1]s;
ALTER DEFAULT PRIVILEGES IN SCHEMA %[2]s GRANT USAGE ON SEQUENCES TO %[1]s;
`, role, s.name, schema.VersionTable)
}

// ungrant is the text that takes a tenant's role away, if it is there.
func ungrant(role string) string {
	return fmt.Sprintf(`
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '%[1]s') THEN
    DROP OWNED BY %[1]s;
    DROP ROLE %[1]s;
  END IF;
END $$;
`, role)
}

// realName is the name of a server's database, which PgBouncer may know by another.
func realName(ctx context.Context, c *pgx.Conn) (name string, err error) {
	err = c.QueryRow(ctx, "SELECT current_database()::text").Scan(&name)
	return name, err
}

// roleText is what makes, or takes away, a tenant's role where the deployment has them: where this process was told so,
// or others have made some.
func (d *DB) roleText(ctx context.Context, c *pgx.Conn, s Schema, text func(role string) string) (string, error) {
	name, err := realName(ctx, c)
	if err != nil {
		return "", err
	}
	there := d.cfg.TenantRoles
	if !there {
		like := strings.ReplaceAll(strings.TrimSuffix(tenantRole(name, Schema{}), "_"), "_", `\_`) + `\_%`
		if err := c.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname LIKE $1)", like).Scan(&there); err != nil {
			return "", err
		}
	}
	if !there {
		return "", nil
	}
	return text(tenantRole(name, s)), nil
}

// RolesMade is how far [DB.MakeTenantRoles] is, or came.
type RolesMade struct {
	Made  int   `json:"made"`  // roles that were missing, or had no right to the schema
	Seen  int   `json:"seen"`  // tenants looked at
	Total int64 `json:"total"` // tenants there are
}

// rolesPage is how many tenants are looked at by one statement.
const rolesPage = 500

// MakeTenantRoles makes the role of each tenant that has none, and gives each what it needs; all: also to those that seem
// to have it. It may run while the tenants are served. Tenants on servers that this process does not know are left out,
// with [ErrNoNode]. Errors: [ErrNoRoles].
func (d *DB) MakeTenantRoles(ctx context.Context, all bool, progress func(RolesMade)) (out RolesMade, err error) {
	if out.Total, err = d.Control().CountTenants(ctx); err != nil {
		return out, fmt.Errorf("count tenants: %w", err)
	}
	var failed error
	for after := int64(0); ; {
		page, err := d.Control().ListTenants(ctx, controldb.ListTenantsParams{After: after, MaxRows: rolesPage})
		if err != nil {
			return out, errors.Join(failed, fmt.Errorf("list tenants: %w", err))
		}
		if len(page) == 0 {
			return out, failed
		}
		after = page[len(page)-1].TenantID
		byServer := map[*server][]Schema{}
		for _, t := range page {
			s, err := ParseSchema(t.SchemaName)
			if err != nil {
				return out, err
			}
			at, err := d.serverOf(s.On(t.NodeID))
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("role of %s: %w", s, err))
				continue
			}
			byServer[at] = append(byServer[at], s.On(t.NodeID))
		}
		out.Seen += len(page)
		for at, schemas := range byServer {
			err := d.makeRoles(ctx, at, schemas, all, func() {
				out.Made++
				if progress != nil {
					progress(out)
				}
			})
			if err != nil {
				return out, errors.Join(failed, err)
			}
		}
		if progress != nil {
			progress(out)
		}
	}
}

func (d *DB) makeRoles(ctx context.Context, at *server, schemas []Schema, all bool, made func()) error {
	conn, err := acquire(ctx, at.admin, writes)
	if err != nil {
		return err
	}
	defer conn.Release()
	name, err := realName(ctx, conn.Conn())
	if err != nil {
		return classify(err)
	}
	var names, roles []string
	for _, s := range schemas {
		names, roles = append(names, s.name), append(roles, tenantRole(name, s))
	}
	rows, err := conn.Conn().Query(ctx, `
SELECT n.nspname::text FROM unnest($1::text[], $2::text[]) AS want(name, role)
JOIN pg_catalog.pg_namespace n ON n.nspname = want.name LEFT JOIN pg_catalog.pg_roles r ON r.rolname = want.role
WHERE $3::bool OR r.oid IS NULL OR NOT pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE')`, names, roles, all)
	if err != nil {
		return classify(err)
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return classify(fmt.Errorf("look for roles: %w", err))
	}
	for _, one := range missing {
		s := Schema{name: one}
		if _, err := conn.Conn().PgConn().Exec(ctx, grant(tenantRole(name, s), s)).ReadAll(); err != nil {
			return roleError(fmt.Errorf("make the role of %s: %w", s, classify(err)))
		}
		made()
	}
	return nil
}

// roleError says what to do where the login may not make roles.
func roleError(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return fmt.Errorf("%w: ALTER ROLE … CREATEROLE: %w", ErrNoRoles, err)
	}
	return err
}
