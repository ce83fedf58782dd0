// Package schema holds the database's migrations and nothing that runs them (package db does).
//
// The files are goose migrations: versions rise by one, each has an Up and a Down part, each runs inside a
// transaction. Tenant files name the schema [Token]; [Tenant] puts a real tenant's schema in its place.
package schema

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed control/*.sql tenant/*.sql share/*.sql made/*.sql
var files embed.FS

// Token is the schema that tenant SQL names. No such schema exists in production: a text that escapes the rewrite
// fails with "relation does not exist" instead of reading another tenant's rows.
const Token = "pds_tenant"

// ShareToken is the schema that the views for a tenant's owner name.
const ShareToken = "pds_share"

// ShareName is the schema of the views of the tenant whose schema is name.
func ShareName(name string) string { return "sql_" + name }

// Share is the statements that make everything in the schema of a tenant's views.
func Share(name string) string {
	text, err := files.ReadFile("share/views.sql")
	if err != nil {
		panic(err) // embedded
	}
	return strings.ReplaceAll(Rename(string(text), name), ShareToken+".", ShareName(name)+".")
}

// ControlName is the schema of what the deployment shares.
const ControlName = "control"

// VersionTable is the table, in each schema, of the migrations that ran there.
const VersionTable = "goose_db_version"

// ErrNotTransactional refuses a migration that asks to run outside a transaction: a tenant is created by one script
// in one transaction, so such a migration would be half of a tenant.
var ErrNotTransactional = errors.New("schema: migration asks to run outside a transaction")

// Control returns the control migrations at the root of a file system, as goose wants them.
func Control() fs.FS { return rewritten{dir: "control"} }

// Tenant returns the tenant migrations with every mention of [Token] replaced by name.
func Tenant(name string) fs.FS { return rewritten{dir: "tenant", name: name} }

// TenantOnCitus is [Tenant] for a schema that a Citus cluster keeps on a worker: see [ForCitus].
func TenantOnCitus(name string) fs.FS { return rewritten{dir: "tenant", name: name, citus: true} }

var (
	unlogged = regexp.MustCompile(`\bCREATE UNLOGGED TABLE\b`)
	storage  = regexp.MustCompile(`,\s*ALTER COLUMN \w+ SET STORAGE \w+`)
)

// timeline names what the log of the server continues, in statements; Citus takes it, which is volatile, in none that
// changes a distributed table. clusterTimeline stands for it: within one connection it does not change.
const (
	timeline        = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
	clusterTimeline = "locus_server.timeline()"
)

// Cluster is what a Citus cluster needs on all of its servers, made by the coordinator. It may run again.
const Cluster = `CREATE SCHEMA IF NOT EXISTS locus_server;
CREATE OR REPLACE FUNCTION ` + clusterTimeline + ` RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT ` + timeline + `';
SELECT pg_catalog.create_distributed_function('` + clusterTimeline + `');
CREATE OR REPLACE FUNCTION locus_server.here(name text, hold bool) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $here$
DECLARE
  shard bigint;
  placement bigint;
BEGIN
  IF NOT pg_catalog.pg_has_role(session_user, current_user, 'MEMBER') THEN
    RAISE EXCEPTION 'locus_server.here is for the login of the server program' USING ERRCODE = 'insufficient_privilege';
  END IF;
  SELECT s.shardid INTO shard FROM pg_catalog.pg_dist_shard s
    WHERE s.logicalrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(name OPERATOR(pg_catalog.||) '.stream_head');
  IF FOUND AND hold THEN
    PERFORM pg_catalog.set_config('citus.enable_manual_changes_to_shards', 'on', true);
    PERFORM pg_catalog.lock_shard_metadata(5, ARRAY[shard]); -- ShareLock, as each statement that writes takes it
  END IF;
  SELECT p.placementid INTO placement FROM pg_catalog.pg_dist_placement p, pg_catalog.pg_dist_local_group g
    WHERE p.shardid OPERATOR(pg_catalog.=) shard AND p.groupid OPERATOR(pg_catalog.=) g.groupid;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'schema % is not on this worker', name USING ERRCODE = '` + ElsewhereCode + `';
  END IF;
  RETURN placement;
END $here$;
SELECT pg_catalog.create_distributed_function('locus_server.here(text, bool)');
CREATE OR REPLACE FUNCTION locus_server.still(name text) RETURNS bool LANGUAGE plpgsql AS $still$
BEGIN
  PERFORM pg_catalog.lock_shard_metadata(7, ARRAY[s.shardid]) FROM pg_catalog.pg_dist_shard s -- ExclusiveLock: waits for all who write
    WHERE s.logicalrelid = pg_catalog.to_regclass(name || '.stream_head');
  RETURN true;
END $still$;
SELECT pg_catalog.create_distributed_function('locus_server.still(text)');
GRANT USAGE ON SCHEMA locus_server TO PUBLIC;
`

// ElsewhereCode is the SQLSTATE with which locus_server.here refuses on a server that does not keep the schema. With hold it
// keeps the schema from being moved until the transaction ends, and otherwise its answer, a placement, is another one
// after each move.
const ElsewhereCode = "LC001"

// StatementForCitus puts into a statement what Citus takes.
func StatementForCitus(text string) string {
	return strings.ReplaceAll(text, timeline, clusterTimeline)
}

// ForCitus leaves out of a migration what Citus refuses in a distributed schema, and what nothing but speed or space
// depends on: it moves no unlogged table, and changes no column's storage.
func ForCitus(text string) string {
	if strings.Contains(text, spaceMark) {
		return "-- +goose Up\nSELECT 1;\n\n-- +goose Down\nSELECT 1;\n"
	}
	return storage.ReplaceAllString(Logged(text), "")
}

// Logged makes all tables of a script outlast a crash: Citus moves no others.
func Logged(text string) string { return unlogged.ReplaceAllString(text, "CREATE TABLE") }

// Migration is one file's Up part.
type Migration struct {
	Version int64
	Up      string
	// Alone: programs that do not know it cannot work beside it. All others only add, so that the version before serves on.
	Alone bool
}

// spaceMark is the line of a migration on which nothing but space depends, and which Citus would refuse.
const spaceMark = "-- locus: space\n"

// aloneMark is the line of a migration, right under its "Up", that makes it one of those.
const aloneMark = "-- locus: alone\n"

// LastAlone is the newest version that programs must know to work at all; 0: all may.
func LastAlone(migrations []Migration) int64 {
	last := int64(0)
	for _, m := range migrations {
		if m.Alone {
			last = m.Version
		}
	}
	return last
}

// ControlMigrations lists the control migrations in order of version.
func ControlMigrations() ([]Migration, error) { return controlUps() }

// TenantMigrations lists the tenant migrations in order of version, still naming [Token].
func TenantMigrations() ([]Migration, error) { return tenantUps() }

var (
	controlUps = sync.OnceValues(func() ([]Migration, error) { return ups("control") })
	tenantUps  = sync.OnceValues(func() ([]Migration, error) { return ups("tenant") })
)

// CreateVersionTable is the statement that makes name's version table.
//
// goose's own has an identity column, which Citus workers count from k<<48; ours is ordered by the version itself.
func CreateVersionTable(name string) string {
	return "CREATE TABLE " + name + "." + VersionTable +
		" (version_id bigint PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
}

// Script is everything that makes the schema name from nothing: the schema itself, its version table and rows, and what
// the migrations come to. For all migrations of a tenant that is what [Made] says, which makes no table that a later one
// drops; else they run one after the other. The text is meant for one simple-protocol query, which Postgres runs as one
// transaction.
func Script(name string, migrations []Migration) string {
	if made, ok := Made(migrations); ok {
		return begin(name, migrations) + Rename(made, name)
	}
	return Steps(name, migrations)
}

// Steps is [Script] that runs the migrations one after the other.
func Steps(name string, migrations []Migration) string {
	var b strings.Builder
	b.WriteString(begin(name, migrations))
	for _, m := range migrations {
		b.WriteString(Rename(m.Up, name))
		b.WriteString("\n")
	}
	return b.String()
}

// Made is the statements that internal/gen/sqlc read off a tenant's schema with these migrations in it. ok is false when
// it was made from others.
func Made(migrations []Migration) (text string, ok bool) {
	b, err := files.ReadFile("made/tenant.sql")
	if err != nil {
		return "", false // embedded, but for the moment before it was made first
	}
	first, text, _ := strings.Cut(string(b), "\n")
	return text, first == MadeFrom(migrations)
}

// MadeFrom is the first line of what was made from these migrations.
func MadeFrom(migrations []Migration) string {
	h := sha256.New()
	for _, m := range migrations {
		fmt.Fprintf(h, "%d %s", m.Version, m.Up)
	}
	return fmt.Sprintf("-- made from migrations %x", h.Sum(nil)[:16])
}

func begin(name string, migrations []Migration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s;\nINSERT INTO %s.%s (version_id) VALUES (0)", Create(name), CreateVersionTable(name), name, VersionTable)
	for _, m := range migrations {
		fmt.Fprintf(&b, ", (%d)", m.Version)
	}
	b.WriteString(";\n")
	return b.String()
}

// Create is what makes an empty schema, if there is none of that name.
func Create(name string) string { return "CREATE SCHEMA IF NOT EXISTS " + name + ";\n" }

// Rename puts name in the place of [Token] in a migration's text.
func Rename(text, name string) string { return strings.ReplaceAll(text, Token+".", name+".") }

func ups(dir string) ([]Migration, error) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, err
	}
	var out []Migration
	for _, e := range entries { // ReadDir sorts by name; the numbers have leading zeros
		digits, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("schema: %s/%s: no version in front of the name", dir, e.Name())
		}
		if version != int64(len(out))+1 {
			return nil, fmt.Errorf("schema: %s/%s: version %d, want %d", dir, e.Name(), version, len(out)+1)
		}
		text, err := fs.ReadFile(files, path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		up, err := upPart(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", dir, e.Name(), err)
		}
		out = append(out, Migration{Version: version, Up: up, Alone: strings.HasPrefix(up, aloneMark)})
	}
	return out, nil
}

// upPart returns what stands between "-- +goose Up" and "-- +goose Down". The statement markers within are comments
// to Postgres, which splits the script itself.
func upPart(text string) (string, error) {
	if strings.Contains(text, "+goose NO TRANSACTION") {
		return "", ErrNotTransactional
	}
	_, up, ok := strings.Cut(text, "-- +goose Up\n")
	if !ok {
		return "", errors.New("schema: no \"-- +goose Up\" line")
	}
	up, _, ok = strings.Cut(up, "-- +goose Down\n")
	if !ok {
		return "", errors.New("schema: no \"-- +goose Down\" line")
	}
	return up, nil
}

// rewritten is one folder of files with the token replaced while reading.
type rewritten struct {
	dir, name string
	citus     bool
}

func (r rewritten) Open(name string) (fs.File, error) {
	f, err := files.Open(path.Join(r.dir, name))
	if err != nil || r.name == "" {
		return f, err
	}
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return f, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	if r.citus {
		text = []byte(ForCitus(string(text)))
	}
	text = []byte(Rename(string(text), r.name))
	return &memFile{Reader: bytes.NewReader(text), name: info.Name(), size: int64(len(text))}, nil
}

// memFile is a rewritten file: it describes itself, since its size differs from the embedded one's.
type memFile struct {
	*bytes.Reader
	name string
	size int64
}

func (f *memFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *memFile) Close() error               { return nil }
func (f *memFile) Name() string               { return f.name }
func (f *memFile) Size() int64                { return f.size }
func (f *memFile) Mode() fs.FileMode          { return 0o444 }
func (f *memFile) ModTime() time.Time         { return time.Time{} }
func (f *memFile) IsDir() bool                { return false }
func (f *memFile) Sys() any                   { return nil }
