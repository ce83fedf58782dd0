// Command sqlc generates db/controldb, db/tenantdb and schema/made/tenant.sql. sqlc needs a database to understand unnest with several
// arguments and columns of data-modifying CTEs, so it is given a private Postgres with our two schemas.
//
// It depends on nothing generated, so that it also runs when the generated code does not compile.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/auroralocus/locus/db/embedded"
	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sqlc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "locus-sqlc-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres may run as another user
		return err
	}
	server, err := embedded.Start(ctx, dir, slog.New(slog.NewTextHandler(io.Discard, nil)),
		embedded.Setting("fsync", "off"), embedded.Setting("shared_buffers", "16MB"))
	if err != nil {
		return err
	}
	defer func() { _ = server.Stop() }() // its data are thrown away

	tables, err := makeSchemas(ctx, server.URL)
	if err != nil {
		return err
	}
	if err := writeRenames("sqlc.yaml", tables); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", "-modfile=tools/go.mod", "sqlc", "generate")
	cmd.Env = append(os.Environ(), "SQLC_DATABASE_URL="+server.URL)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("sqlc generate: %w", err)
	}
	return removeStale()
}

// makeSchemas creates both schemas and lists their tables.
func makeSchemas(ctx context.Context, url string) (tables []string, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	control, err := schema.ControlMigrations()
	if err != nil {
		return nil, err
	}
	tenant, err := schema.TenantMigrations()
	if err != nil {
		return nil, err
	}
	for name, migrations := range map[string][]schema.Migration{schema.ControlName: control, schema.Token: tenant} {
		if _, err := conn.PgConn().Exec(ctx, schema.Steps(name, migrations)).ReadAll(); err != nil {
			return nil, fmt.Errorf("make schema %s: %w", name, err)
		}
	}
	if err := writeMade(ctx, conn, tenant); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = ANY($1) AND tablename <> $2 ORDER BY 1",
		[]string{schema.ControlName, schema.Token}, schema.VersionTable)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// writeRenames gives each table's model its plain name: the rename list at the end of sqlc.yaml.
func writeRenames(path string, tables []string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const mark = "    rename: # written by internal/gen/sqlc.sh, one line a table\n"
	head, _, ok := strings.Cut(string(text), mark)
	if !ok {
		return errors.New("sqlc.yaml has lost its rename list")
	}
	var b strings.Builder
	b.WriteString(head + mark)
	for _, t := range tables {
		schemaName, table, _ := strings.Cut(t, ".")
		fmt.Fprintf(&b, "      %s_%s: %s\n", schemaName, table, goName(table))
	}
	if b.String() == string(text) {
		return nil
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func goName(table string) string {
	var b strings.Builder
	for _, part := range strings.Split(table, "_") {
		switch part {
		case "id", "did", "cid", "aid":
			b.WriteString(strings.ToUpper(part))
		default:
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}

var source = regexp.MustCompile(`(?m)^// source: (\S+)$`)

// removeStale deletes what was generated from a query file that is gone.
func removeStale() error {
	for out, queries := range map[string]string{"db/controldb": "queries/control", "db/tenantdb": "queries/tenant"} {
		files, err := filepath.Glob(out + "/*.sql.go")
		if err != nil {
			return err
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			m := source.FindSubmatch(text)
			if m == nil {
				continue
			}
			if _, err := os.Stat(filepath.Join(queries, string(m[1]))); errors.Is(err, os.ErrNotExist) {
				if err := os.Remove(f); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
