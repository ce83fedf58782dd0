package db_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/schema"
	"github.com/jackc/pgx/v5"
)

var generatedQuery = regexp.MustCompile("(?s)const (\\w+) = `(-- name: .*?)`")

// Each statement about the rare rows of accounts finds them by an index, however many there are of other kinds.
func TestItemsAreFoundByIndex(t *testing.T) {
	dbtest.Plain(t, "plans are read from the owner's own tables, which have other names on a worker")
	url := dbtest.URL(t)
	s := dbtest.Tenant(t, dbtest.Open(t, url))
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	run := func(sql string) (lines []string) {
		t.Helper()
		answers, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		for _, row := range answers[len(answers)-1].Rows {
			lines = append(lines, string(row[0]))
		}
		return lines
	}
	run("SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan")
	files, err := filepath.Glob("tenantdb/*.sql.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range generatedQuery.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[2], schema.Token+".account_item") || walks[m[1]] {
				continue
			}
			seen++
			var nulls []string
			for strings.Contains(m[2], fmt.Sprintf("$%d", len(nulls)+1)) {
				nulls = append(nulls, "NULL")
			}
			args := "" // EXECUTE takes no empty brackets
			if nulls != nil {
				args = "(" + strings.Join(nulls, ", ") + ")"
			}
			plan := run("DEALLOCATE ALL; PREPARE p AS " + schema.Rename(m[2], s.String()) + "; EXPLAIN (COSTS OFF) EXECUTE p" + args)
			for i, line := range append(plan, "") {
				// The first row of a kind by an index is one row.
				if index, is := scanOf(line); is && !findsItems(index, plan[i+1]) && !(index == "account_item_due" && strings.HasSuffix(plan[i-1], "->  Limit")) {
					t.Errorf("%s reads all items, or all of a kind:\n%s", m[1], strings.Join(plan, "\n"))
				}
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d statements", seen)
	}
}

// walks are statements that read all items because they are about all of them: a new master key takes the place of another.
var walks = map[string]bool{"ListSealedKeys": true, "ListSealedOfFactors": true}

var itemScan = regexp.MustCompile(`Scan (?:Backward )?(?:using (\w+) )?on account_item\b`)

// scanOf tells which index a line of a plan goes by, if it is one that reads items.
func scanOf(line string) (index string, is bool) {
	m := itemScan.FindStringSubmatch(line)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// findsItems says whether the condition of an index leads to few rows. Kinds 11 to 13 are queues, read as a whole.
func findsItems(index, condition string) bool {
	switch {
	case !strings.Contains(condition, "Index Cond: "):
		return false
	case index == "account_item_pkey":
		return strings.Contains(condition, "(aid = ")
	case index == "account_item_lookup":
		return strings.Contains(condition, "(lookup = ")
	case index == "account_item_due":
		return strings.Contains(condition, "(due_at ") || regexp.MustCompile(`kind = (1[123]\b|ANY \('\{12,13\}')`).MatchString(condition)
	}
	return false
}
