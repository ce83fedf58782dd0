package db_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

// What keeps the schemas fit for Citus, PgBouncer and shared prepared statements.
func TestSchemaRules(t *testing.T) {
	url := dbtest.URL(t)
	d := dbtest.Open(t, url)
	s := dbtest.Tenant(t, d)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	names := []string{schema.ControlName, s.String()}
	for rule, sql := range map[string]string{
		"every table has a primary key": `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p')
			AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p')`,
		"no triggers":            `SELECT tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY($1) AND NOT tgisinternal`,
		"no sequences, no views": `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY($1) AND c.relkind NOT IN ('r', 'i', 't')`,
		"no types of their own": `SELECT typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
			WHERE n.nspname = ANY($1) AND typtype <> 'b' AND coalesce(c.relkind, 'x') <> 'r'`,
		"no functions": `SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = ANY($1)`,
		"no foreign key leaves the schema": `SELECT k.conname FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace JOIN pg_class f ON f.oid = k.confrelid
			WHERE n.nspname = ANY($1) AND f.relnamespace <> n.oid`,
	} {
		rows, err := conn.Query(t.Context(), sql, names)
		if err != nil {
			t.Fatal(err)
		}
		broken, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(broken) > 0 {
			t.Errorf("%s: %q %v", rule, broken, err)
		}
	}
}

var (
	statementName = regexp.MustCompile(`(?m)^-- name: (\w+) :(\w+)$`)
	comment       = regexp.MustCompile(`(?m)--.*$`)
	extract       = regexp.MustCompile(`(?i)\bextract\s*\(\s*[a-z]+\s+FROM\b`) // its FROM names no table
	relation      = regexp.MustCompile(`(?i)\b(?:FROM|JOIN|INTO|UPDATE)\s+(ONLY\s+)?([a-z_][a-z0-9_.]*)`)
	withName      = regexp.MustCompile(`(?i)(?:\bWITH(?:\s+RECURSIVE)?|,)\s+([a-z_][a-z0-9_]*)(?:\s*\([^)]*\))?\s+AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(`)
	verb          = regexp.MustCompile(`^(Get|List|Insert|Update|Upsert|Delete|Count|Lock|Copy|Has|Next)`)
)

// Every statement names its own schema, and only that; lists have a limit; time is a parameter.
func TestQueryRules(t *testing.T) {
	for dir, own := range map[string]string{"tenant": schema.Token, "control": schema.ControlName} {
		files, err := filepath.Glob("../queries/" + dir + "/*.sql")
		if err != nil || len(files) == 0 {
			t.Fatal("no queries in", dir, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			at := statementName.FindAllStringSubmatchIndex(string(text), -1)
			for i, m := range at {
				end := len(text)
				if i+1 < len(at) {
					end = at[i+1][0]
				}
				name := string(text[m[2]:m[3]])
				sql := extract.ReplaceAllString(comment.ReplaceAllString(string(text[m[1]:end]), ""), "(")
				where := filepath.Base(f) + ": " + name
				if !strings.Contains(sql, own+".") {
					t.Errorf("%s does not name %s", where, own)
				}
				local := map[string]bool{}
				for _, w := range withName.FindAllStringSubmatch(sql, -1) {
					local[w[1]] = true
				}
				for _, r := range relation.FindAllStringSubmatch(sql, -1) {
					name := r[2]
					if !strings.HasPrefix(name, own+".") && !local[name] && !isFunction(name) {
						t.Errorf("%s: %s is not in %s", where, name, own)
					}
				}
				if table := bareTable(sql); dir == "tenant" && table != "" {
					t.Errorf("%s: give %s an alias: on a Citus worker the table has another name", where, table)
				}
				if strings.Contains(strings.ToLower(sql), "now()") || strings.Contains(strings.ToLower(sql), "current_timestamp") {
					t.Errorf("%s: time is a parameter", where)
				}
				if !verb.MatchString(name) {
					t.Errorf("%s: begin the name with Get, List, Insert, Update, Delete, Count or Lock", where)
				}
			}
		}
	}
}

// bareTable is a table whose columns a statement names by the table's own name.
func bareTable(sql string) string {
	for _, m := range regexp.MustCompile(schema.Token+`\.(\w+)(?:\s+(?:AS\s+)?(\w+))?`).FindAllStringSubmatch(sql, -1) {
		if m[1] != m[2] && regexp.MustCompile(`(?:^|[^.\w])`+m[1]+`\.`).MatchString(sql) {
			return m[1]
		}
	}
	return ""
}

// isFunction tells names that stand where a table could: set-returning functions, SET and SKIP of other clauses.
func isFunction(name string) bool {
	switch strings.ToLower(name) {
	case "unnest", "generate_series", "set", "skip", "of", "nowait", "lateral", "select":
		return true
	}
	return false
}
