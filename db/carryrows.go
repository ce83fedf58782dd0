package db

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// CopyAll copies all rows that are not copied yet, piece by piece: each piece stays. progress is told the rows done, of
// about how many.
func (c *Carry) CopyAll(ctx context.Context, progress func(done, total int64)) error {
	var all []Table
	var total, done int64
	err := c.step(ctx, func(src, dst pgx.Tx, st *carried) (err error) {
		if all, err = tables(ctx, src, c.source); err != nil {
			return err
		}
		for _, t := range all {
			if st.Tables[t.Name] == nil {
				return ErrCarryChanged
			}
			total += t.Rows
			if s := st.Tables[t.Name]; s.Whole || s.At != "" {
				var n int64
				if err := dst.QueryRow(ctx, "SELECT count(*) FROM "+c.at(c.copy, t)).Scan(&n); err != nil {
					return err
				}
				done += n
			}
		}
		return nil
	})
	if err != nil {
		return c.explain(ctx, err)
	}
	for _, t := range all {
		for whole := false; !whole; {
			progress(done, max(total, done))
			err := c.step(ctx, func(src, dst pgx.Tx, st *carried) error {
				s := st.Tables[t.Name]
				n, err := c.chunk(ctx, src, dst, t, s)
				done, whole = done+n, s.Whole
				return err
			})
			if err != nil {
				return c.explain(ctx, fmt.Errorf("copy %s: %w", t.Name, err))
			}
		}
	}
	progress(done, done)
	return nil
}

func (c *Carry) at(s Schema, t Table) string { return pgx.Identifier{s.name, t.Name}.Sanitize() }

const oldestRunning = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"

// chunk copies the next rows of a table in the order of its key.
func (c *Carry) chunk(ctx context.Context, src, dst pgx.Tx, t Table, s *carriage) (int64, error) {
	if s.Whole {
		return 0, nil
	}
	if s.Since == "" {
		if err := src.QueryRow(ctx, oldestRunning).Scan(&s.Since); err != nil {
			return 0, err
		}
	}
	names, types := keyColumns(t)
	key := "(" + strings.Join(names, ", ") + ")"
	after := ""
	if s.At != "" {
		after = " WHERE " + key + " > " + s.At
	}
	parts := make([]string, len(names))
	for i := range names {
		parts[i] = fmt.Sprintf("quote_literal(%s::text) || '::%s'", names[i], types[i])
	}
	var next string
	err := src.QueryRow(ctx, fmt.Sprintf("SELECT '(' || concat_ws(', ', %s) || ')' FROM %s%s ORDER BY %s OFFSET %d LIMIT 1",
		strings.Join(parts, ", "), c.at(c.source, t), after, strings.Join(names, ", "), carryChunk)).Scan(&next)
	last := IsNoRows(err)
	if err != nil && !last {
		return 0, err
	}
	where := after
	if !last {
		if where == "" {
			where = " WHERE "
		} else {
			where += " AND "
		}
		where += key + " <= " + next
	}
	n, err := pipe(ctx, src, dst, "SELECT "+columns(t)+" FROM "+c.at(c.source, t)+where, c.at(c.copy, t)+" ("+columns(t)+")")
	s.At, s.Whole = next, last
	return n, err
}

func columns(t Table) string {
	l := list(t.Names())
	return l[1 : len(l)-1]
}

// CatchUp copies what changed since it was copied last, of one moment, and tells how many rows that were. With compare every
// table is then held against its copy, row by row: [ErrCarryDiffers].
func (c *Carry) CatchUp(ctx context.Context, compare bool, progress func(table string)) (changed int64, err error) {
	err = c.step(ctx, func(src, dst pgx.Tx, st *carried) error {
		changed = 0
		var err error
		changed, err = c.catchUp(ctx, src, dst, st, compare, progress)
		return err
	})
	return changed, c.explain(ctx, err)
}

// catchUp brings all tables up to date, and with compare holds each against its copy.
func (c *Carry) catchUp(ctx context.Context, src, dst pgx.Tx, st *carried, compare bool, progress func(table string)) (changed int64, err error) {
	all, err := tables(ctx, src, c.source)
	if err != nil {
		return 0, err
	}
	var since string
	if err := src.QueryRow(ctx, oldestRunning).Scan(&since); err != nil {
		return 0, err
	}
	for _, t := range all {
		s := st.Tables[t.Name]
		if s == nil || !s.Whole {
			return changed, ErrCarryChanged
		}
		progress(t.Name)
		n, err := c.refresh(ctx, src, dst, t, s, nil)
		if err != nil {
			return changed, fmt.Errorf("bring %s up to date: %w", t.Name, err)
		}
		s.Since = since
		changed += n
		if compare {
			if err := c.compare(ctx, src, dst, t); err != nil {
				return changed, err
			}
		}
	}
	return changed, nil
}

// catchUpLocked is catchUp while writers wait. All tables are looked at in one statement, once each, and most of them have
// not changed since; how many rows the copy has is known. What is compared is small: the rest was compared just before.
func (c *Carry) catchUpLocked(ctx context.Context, src, dst pgx.Tx, st *carried) error {
	all, err := tables(ctx, src, c.source)
	if err != nil {
		return err
	}
	now, err := c.countAll(ctx, src, all, st)
	if err != nil {
		return err
	}
	for _, t := range all {
		s, n := st.Tables[t.Name], now[t.Name]
		if s.Rows == nil || n.recent > 0 || n.rows != *s.Rows {
			if _, err := c.refresh(ctx, src, dst, t, s, &n.rows); err != nil {
				return fmt.Errorf("bring %s up to date: %w", t.Name, err)
			}
			if n.rows <= checkedRows {
				if err := c.compare(ctx, src, dst, t); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// counted is how many rows a table has, and how many of them are newer than its copy.
type counted struct{ rows, recent int64 }

// countAll counts the rows of all tables of the source.
func (c *Carry) countAll(ctx context.Context, src pgx.Tx, all []Table, st *carried) (map[string]counted, error) {
	parts := make([]string, len(all))
	for i, t := range all {
		s := st.Tables[t.Name]
		if s == nil || !s.Whole {
			return nil, ErrCarryChanged
		}
		parts[i] = fmt.Sprintf("SELECT %s, count(*), count(*) FILTER (WHERE %s) FROM %s", literal(t.Name), s.recent(), c.at(c.source, t))
	}
	rows, err := src.Query(ctx, strings.Join(parts, " UNION ALL "))
	if err != nil {
		return nil, err
	}
	out := make(map[string]counted, len(all))
	var name string
	var n counted
	_, err = pgx.ForEachRow(rows, []any{&name, &n.rows, &n.recent}, func() error { out[name] = n; return nil })
	return out, err
}

// recent is the condition of rows that may have changed since the copy was brought up to date. Numbers of transactions go
// round: what is half of them away would look new, and is copied once more.
func (s *carriage) recent() string { return fmt.Sprintf("age(xmin) <= age('%s'::xid8::xid)", s.Since) }

// refresh replaces the rows of a table that changed, and takes out those that went. It tells how many changed. has is how
// many rows the source has; nil: they are counted, and those of the copy, too.
func (c *Carry) refresh(ctx context.Context, src, dst pgx.Tx, t Table, s *carriage, has *int64) (changed int64, err error) {
	names, _ := keyColumns(t)
	at, into := c.at(c.source, t), c.at(c.copy, t)
	if err := do(ctx, dst, "CREATE TEMP TABLE carried_rows ON COMMIT DROP AS SELECT "+columns(t)+" FROM "+into+" WITH NO DATA"); err != nil {
		return 0, err
	}
	if changed, err = pipe(ctx, src, dst, "SELECT "+columns(t)+" FROM "+at+" WHERE "+s.recent(), "pg_temp.carried_rows ("+columns(t)+")"); err != nil {
		return 0, err
	}
	kept, err := c.dropChanged(ctx, dst, into, names, changed, s, has != nil)
	if err != nil {
		return 0, err
	}
	if has == nil {
		has = new(int64)
		if err := src.QueryRow(ctx, "SELECT count(*) FROM "+at).Scan(has); err != nil {
			return 0, err
		}
	}
	rows := *has
	if kept+changed != rows {
		gone, err := c.dropGone(ctx, src, dst, t, names)
		if err != nil {
			return 0, err
		}
		kept -= gone
		changed += gone
	}
	tag, err := dst.Exec(ctx, "INSERT INTO "+into+" ("+columns(t)+") SELECT "+columns(t)+" FROM pg_temp.carried_rows")
	if err != nil {
		return 0, err
	}
	if n := kept + tag.RowsAffected(); n != rows {
		return 0, fmt.Errorf("%w: table %s has %d rows, and its copy %d", ErrCarryDiffers, t.Name, rows, n)
	}
	s.Rows = &rows
	return changed, do(ctx, dst, "DROP TABLE pg_temp.carried_rows")
}

func do(ctx context.Context, tx pgx.Tx, sql string) error {
	_, err := tx.Exec(ctx, sql)
	return err
}

// dropChanged deletes the copies of rows that changed, and tells how many rows are left: with known by what the copy had,
// otherwise by counting. All go before any comes back: two rows may have changed names with each other.
func (c *Carry) dropChanged(ctx context.Context, dst pgx.Tx, into string, names []string, changed int64, s *carriage, known bool) (kept int64, err error) {
	var gone int64
	if changed > 0 {
		if err := do(ctx, dst, "ANALYZE pg_temp.carried_rows"); err != nil {
			return 0, err
		}
		tag, err := dst.Exec(ctx, "DELETE FROM "+into+" d USING pg_temp.carried_rows c WHERE "+same(names, "d", "c"))
		if err != nil {
			return 0, err
		}
		gone = tag.RowsAffected()
	}
	if known && s.Rows != nil {
		return *s.Rows - gone, nil
	}
	return kept, dst.QueryRow(ctx, "SELECT count(*) FROM "+into).Scan(&kept)
}

func same(names []string, a, b string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = a + "." + n + " = " + b + "." + n
	}
	return strings.Join(parts, " AND ")
}

// dropGone deletes the copies of rows that are not there any more, by comparing all keys. Where keys begin with an
// account's, only the accounts are looked into whose rows are fewer than their copies.
func (c *Carry) dropGone(ctx context.Context, src, dst pgx.Tx, t Table, names []string) (gone int64, err error) {
	at, into := c.at(c.source, t), c.at(c.copy, t)
	only := ""
	if t.Key[0] == "aid" && len(t.Key) > 1 {
		if err := do(ctx, dst, "CREATE TEMP TABLE carried_counts (aid bigint PRIMARY KEY, n bigint NOT NULL) ON COMMIT DROP"); err != nil {
			return 0, err
		}
		if _, err := pipe(ctx, src, dst, "SELECT aid, count(*) FROM "+at+" GROUP BY aid", "pg_temp.carried_counts (aid, n)"); err != nil {
			return 0, err
		}
		var aids []int64
		// What changed was taken out of the copy: it counts as if it were in it.
		err := dst.QueryRow(ctx, `SELECT coalesce(array_agg(h.aid), '{}') FROM (
			SELECT a.aid, count(*) AS n FROM (SELECT aid FROM `+into+` UNION ALL SELECT aid FROM pg_temp.carried_rows) a GROUP BY a.aid
		) h LEFT JOIN pg_temp.carried_counts k ON k.aid = h.aid WHERE h.n <> coalesce(k.n, 0)`).Scan(&aids)
		if err != nil {
			return 0, err
		}
		if err := do(ctx, dst, "DROP TABLE pg_temp.carried_counts"); err != nil {
			return 0, err
		}
		only = fmt.Sprintf("aid = ANY ('{%s}'::bigint[])", strings.Trim(strings.ReplaceAll(fmt.Sprint(aids), " ", ","), "[]"))
	}
	keys := strings.Join(names, ", ")
	where, and := "", ""
	if only != "" {
		where, and = " WHERE "+only, " AND d."+only
	}
	if err := do(ctx, dst, "CREATE TEMP TABLE carried_keys ON COMMIT DROP AS SELECT "+keys+" FROM "+into+" WITH NO DATA"); err != nil {
		return 0, err
	}
	if _, err := pipe(ctx, src, dst, "SELECT "+keys+" FROM "+at+where, "pg_temp.carried_keys ("+keys+")"); err != nil {
		return 0, err
	}
	if err := do(ctx, dst, "ANALYZE pg_temp.carried_keys"); err != nil {
		return 0, err
	}
	tag, err := dst.Exec(ctx, "DELETE FROM "+into+" d WHERE NOT EXISTS (SELECT FROM pg_temp.carried_keys k WHERE "+same(names, "d", "k")+")"+and)
	if err != nil {
		return 0, err
	}
	return tag.RowsAffected(), do(ctx, dst, "DROP TABLE pg_temp.carried_keys")
}

// compare holds a table against its copy: a sum over all rows, the same on every version of Postgres.
func (c *Carry) compare(ctx context.Context, src, dst pgx.Tx, t Table) error {
	sum := func(tx pgx.Tx, s Schema) (text string, err error) {
		err = tx.QueryRow(ctx, "SELECT count(*) || ' ' || coalesce(sum(('x' || left(md5(ROW("+columns(t)+")::text), 15))::bit(60)::bigint), 0) FROM "+c.at(s, t)).Scan(&text)
		return text, err
	}
	a, err := sum(src, c.source)
	if err != nil {
		return err
	}
	b, err := sum(dst, c.copy)
	if err == nil && a != b {
		err = fmt.Errorf("%w: table %s: %s, and %s", ErrCarryDiffers, t.Name, a, b)
	}
	return err
}
