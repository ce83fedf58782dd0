package db_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/tenantdb"
)

// beforeTenantItem is the version in which the rare rows of a tenant still had tables of their own.
const beforeTenantItem = 16

// rareRows fills each of these tables, with everything that may be null both ways.
const rareRows = `
INSERT INTO x.actor (aid, did, handle, created_at) SELECT n, 'did:x:' || n, 'h' || n, '2026-01-01Z' FROM generate_series(1, 3) n;
INSERT INTO x.secret VALUES ('jwt', '\x01', '', '2026-01-03Z'), ('plc_rotation', '\x02', 'did:key:z', '2026-01-04Z');
UPDATE x.handle_guard SET lost = '{b.test,a.test,ü.test}';
UPDATE x.stream_head SET last_seq = 12, next_aid = 4, last_us = 99, timeline = '00000001', jumped_from = 3, jumped_to = 7, records = 5, record_bytes = 500;
INSERT INTO x.invite_code VALUES ('ab-1', 5, 3, false, 'did:x:1', 'admin', '2026-01-03Z'), ('ab', 1, 1, true, 'admin', 'admin', '2026-01-04Z'), ('ü-2', 1, 0, false, 'did:x:1', 'did:x:1', '2026-01-05Z');
INSERT INTO x.invite_code_use VALUES ('ab-1', 1, '2026-01-06Z'), ('ab-1', 2, '2026-01-05Z'), ('ü-2', 300, '2026-01-05Z'), ('ü-2', 3, '2026-01-07Z');
INSERT INTO x.mail VALUES ('m1', 1, 'a@mail', '\xaa', 0, 0, '2026-01-05Z', '', '2026-01-03Z', '2026-02-01Z'), ('m2', 0, 'b@mail', '\xbb', 2, 3, '2026-01-04Z', 'greylisted', '2026-01-02Z', '2026-02-02Z'),
  ('m3', 2, 'c@mail', '', 3, 1, '2026-01-04Z', '', '2026-01-01Z', '2026-02-03Z'), ('m4', 1, 'd@mail', '', 4, 9, '2026-01-09Z', 'no such user', '2026-01-01 12:00Z', '2026-02-03Z');
INSERT INTO x.operator VALUES ('alice', 4, 'cli', '2026-01-03Z'), ('bob', 1, 'alice', '2026-01-04Z');
INSERT INTO x.operator_token VALUES ('\x11', 'id1', 'alice', 'laptop', '2026-01-03Z', NULL, NULL), ('\x12', 'id2', 'alice', '', '2026-01-04Z', '2026-06-01Z', '2026-01-05Z'), ('\x13', 'id3', 'bob', '', '2026-01-04Z', '2026-06-01Z', NULL);
INSERT INTO x.blob_store VALUES (1, 'data:', NULL, '2026-01-03Z'), (2, 's3://b/ü', '\x99', '2026-01-04Z'), (300, 'disk:/x', NULL, '2026-01-04Z');
INSERT INTO x.blob (aid, cid, mime_type, size, temporary, store, object, created_at) VALUES (1, '\x01', 'image/png', 9, true, 300, 'a/b', '2026-01-04Z');
INSERT INTO x.blob_trash VALUES (1, 'a/b', '2026-01-05Z', 0, ''), (300, 'a/b', '2026-01-06Z', 2, 'refused'), (300, 'b', '2026-01-04Z', 1, '');
INSERT INTO x.service_nonce VALUES ('\x0102', '2026-01-05Z'), ('\x0103', '2026-01-06Z');
INSERT INTO x.reserved_key VALUES ('did:key:1', 'did:x:9', '\x01', '2026-01-03Z', '2026-01-10Z', '198.51.100.7', '198.51.100.7'), ('did:key:2', NULL, '\x02', '2026-01-03Z', '2026-01-11Z', '2001:db8::/48', '2001:db8:0:1::/64'),
  ('did:key:3', NULL, '\x03', '2026-01-03Z', '2026-01-12Z', '', '');
INSERT INTO x.device VALUES ('\xd1', '\x01', NULL, '2026-01-03 01:00Z', '2026-01-03Z', '2026-02-01Z', 'agent ü', '::1'), ('\xd2', '\x02', '\x01', '2026-01-04 01:00Z', '2026-01-04Z', '2026-02-02Z', '', '');
INSERT INTO x.oauth_request VALUES ('\x01', 'https://app.example', '{}', '', NULL, 0, '', NULL, '2026-01-03Z', '2026-01-04Z'),
  ('\x02', 'https://app.example/ü', '{"a":1}', '{"k":1}', '\xdd', 2, 'atproto', '\xcc', '2026-01-03Z', '2026-01-05Z');
INSERT INTO x.limit_count VALUES ('calls', '198.51.100.7', 1767700000, 12), ('calls', 'did:x:1', 1767700300, 3), ('lookups', '', 1767700000, 1);
INSERT INTO x.signin_failure VALUES ('p1', 3, '2026-01-03Z'), ('a1', 1, '2026-01-04Z');
INSERT INTO x.oauth_proof VALUES ('\x000102030405060708090a0b0c0d0e0f', 1767700000), ('\xff0102030405060708090a0b0c0d0e0f', 1767700060);
INSERT INTO x.record (aid, path, rev, cid, value, indexed_at) VALUES (1, 'app.bsky.feed.post/1', 1, '\x01', '\xa0', '2026-01-03Z'), (1, 'app.bsky.graph.follow/1', 2, '\x02', '\xa0', '2026-01-03Z'), (2, 'app.bsky.graph.follow/1', 2, '\x02', '\xa0', '2026-01-03Z');
INSERT INTO x.backlink VALUES (1, 'app.bsky.graph.follow/1', 'did:plc:ü'), (2, 'app.bsky.graph.follow/1', 'did:plc:z');
INSERT INTO x.record_blob VALUES (1, '\x01', 'app.bsky.feed.post/1', 1, 'image/png'), (1, '\x02', 'app.bsky.feed.post/1', 1, ''), (2, '\x01', 'a.b/ü', 7, 'image/webp');
INSERT INTO x.audit VALUES ('01', '2026-01-03Z', 'alice', 4, 'a.b', 'did:x:1', '{"b":1, "a":"ü"}', '::1', 'r"1', 'done'), ('02', '2026-01-04Z', '', 0, 'c.d', '', '{}', '', '', '');`

// rareTables says of each moved table which statement shows its rows, and the query that reads the same now.
var rareTables = map[string]struct {
	sql string
	now func(context.Context, *tenantdb.Queries) (any, error)
}{
	"secret": {"SELECT sealed, public FROM x.secret WHERE purpose = 'plc_rotation'", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.GetSecret(ctx, "plc_rotation")
	}},
	"handle_guard": {"SELECT unnest(lost) FROM x.handle_guard", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.LockHandleGuard(ctx)
	}},
	"stream_head": {"SELECT last_seq, jumped_from, jumped_to, timeline, true, 0, 0, 0, 0, 0, 0 FROM x.stream_head", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		row, err := q.GetStreamState(ctx, 1)
		row.Promoted = true // or not: the test's server has a timeline of its own
		return row, err
	}},
	"stream_head's sums": {"SELECT records, record_bytes, 0, 0, 3 FROM x.stream_head", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		row, err := q.GetRecordTotals(ctx)
		row.Uncounted = 3 // the three are older than the counters here
		return row, err
	}},
	"invite_code": {"SELECT code, uses_total, uses_left, disabled, for_account, created_by, created_at FROM x.invite_code ORDER BY created_at DESC", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListInviteCodesRecent(ctx, tenantdb.ListInviteCodesRecentParams{BeforeAt: day(30), MaxRows: 9})
	}},
	"invite_code by usage": {"SELECT code, uses_total, uses_left, disabled, for_account, created_by, created_at FROM x.invite_code ORDER BY uses_total - uses_left DESC, code DESC", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListInviteCodesByUsage(ctx, tenantdb.ListInviteCodesByUsageParams{BeforeUses: 1000, MaxRows: 9})
	}},
	"invite_code of an account": {"SELECT code, uses_total, uses_left, disabled, for_account, created_by, created_at FROM x.invite_code WHERE for_account = 'did:x:1' ORDER BY created_at", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListInviteCodesFor(ctx, tenantdb.ListInviteCodesForParams{Accounts: []string{"did:x:1", "did:x:2"}, MaxRows: 9})
	}},
	"invite_code by code": {"SELECT code, uses_total, uses_left, disabled, for_account, created_by, created_at FROM x.invite_code WHERE code = 'ü-2'", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.GetInviteCode(ctx, "ü-2")
	}},
	"invite_code_use": {"SELECT u.code, a.did, u.used_at FROM x.invite_code_use u JOIN x.actor a ON a.aid = u.aid ORDER BY u.code, u.used_at, a.did", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListInviteCodeUses(ctx, tenantdb.ListInviteCodeUsesParams{Codes: []string{"ab", "ab-1", "ü-2"}, MaxRows: 9})
	}},
	"mail": {"SELECT mail_id, recipient, state, attempts, due_at, last_error, created_at, expires_at, '', '' FROM x.mail ORDER BY created_at DESC", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListMail(ctx, tenantdb.ListMailParams{MaxRows: 9})
	}},
	"mail that was given up": {"SELECT mail_id, recipient, state, attempts, due_at, last_error, created_at, expires_at, '', '' FROM x.mail WHERE state = 4", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListMail(ctx, tenantdb.ListMailParams{FromState: 4, MaxRows: 9})
	}},
	"mail that is next": {"SELECT min(due_at) FROM x.mail WHERE state < 3", func(ctx context.Context, q *tenantdb.Queries) (any, error) { return q.GetNextMailDue(ctx) }},
	"operator": {"SELECT o.name, o.role, o.created_by, o.created_at, (SELECT count(*) FROM x.operator_token t WHERE t.name = o.name) FROM x.operator o ORDER BY o.name", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListOperators(ctx, tenantdb.ListOperatorsParams{Now: day(7), MaxRows: 9})
	}},
	"operator_token": {"SELECT token_id, name, label, created_at, expires_at, last_used_at FROM x.operator_token WHERE name = 'alice' ORDER BY created_at", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListOperatorTokens(ctx, tenantdb.ListOperatorTokensParams{Name: "alice", MaxRows: 9})
	}},
	"operator_token by its hash": {"SELECT name, role, expires_at, last_used_at FROM x.operator_token JOIN x.operator USING (name) WHERE token_hash = '\\x12'", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.GetOperatorByToken(ctx, []byte{0x12})
	}},
	"blob_store": {"SELECT store, location, sealed FROM x.blob_store ORDER BY store", func(ctx context.Context, q *tenantdb.Queries) (any, error) { return q.ListBlobStores(ctx) }},
	"blob_trash": {"SELECT b.aid, b.cid, b.store, b.object FROM x.blob b JOIN x.blob_trash t ON t.store = b.store AND t.object = b.object", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListBlobsInTrash(ctx, 9)
	}},
	"blob_trash that is due": {"SELECT count(*), sum((attempts > 1)::int) FROM x.blob_trash", func(ctx context.Context, q *tenantdb.Queries) (any, error) { return q.CountBlobTrash(ctx, day(7)) }},
	"blob_trash of a store": {"SELECT object FROM x.blob_trash WHERE store = 300 ORDER BY object", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListBlobTrashed(ctx, tenantdb.ListBlobTrashedParams{Store: 300, Objects: []string{"a/b", "b", "c"}})
	}},
	"service_nonce": {"SELECT 0", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.InsertServiceNonce(ctx, tenantdb.InsertServiceNonceParams{Digest: []byte{1, 3}, ExpiresAt: day(9)})
	}},
	"reserved_key": {"SELECT public, sealed FROM x.reserved_key WHERE did = 'did:x:9'", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.GetReservedKey(ctx, tenantdb.GetReservedKeyParams{DID: "did:x:9", Now: day(5)})
	}},
	"reserved_key of nobody": {"SELECT did, sealed, expires_at FROM x.reserved_key WHERE public = 'did:key:2'", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.GetReservedKeyByPublic(ctx, "did:key:2")
	}},
	"reserved_key by network": {"SELECT 3, 1, 1", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.CountReservedKeys(ctx, tenantdb.CountReservedKeysParams{Network: "2001:db8::/48", Address: "2001:db8:0:1::/64"})
	}},
	"device": {"SELECT id, session, former, rotated_at, created_at, agent, address FROM x.device WHERE id = '\\xd1'", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.GetDevice(ctx, tenantdb.GetDeviceParams{ID: []byte{0xd1}, Now: day(7)})
	}},
	"device with a session before": {"SELECT id, session, former, rotated_at, created_at, agent, address FROM x.device WHERE id = '\\xd2'", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.LockDevice(ctx, tenantdb.LockDeviceParams{ID: []byte{0xd2}, Now: day(7)})
	}},
	"oauth_request": {"SELECT id, client_id, params, client_key, device, aid, created_at, expires_at FROM x.oauth_request WHERE id = '\\x01'", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.GetOAuthRequest(ctx, []byte{1})
	}},
	"oauth_request by its code": {"SELECT id, client_id, params, client_key, device, aid, granted, expires_at FROM x.oauth_request WHERE code = '\\xcc'", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.LockOAuthRequestByCode(ctx, []byte{0xcc})
	}},
	"limit_count": {"SELECT bucket, key, ends_at, points FROM x.limit_count ORDER BY key", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		rows, err := q.UpsertLimitCounts(ctx, tenantdb.UpsertLimitCountsParams{Buckets: []string{"lookups", "calls", "calls"}, Keys: []string{"", "198.51.100.7", "did:x:1"},
			Ends: []int64{1767700000, 1767700000, 1767700300}, Points: []int64{0, 0, 0}})
		return rows, err
	}},
	"signin_failure": {"SELECT key, failures, last_at FROM x.signin_failure ORDER BY key", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListSigninFailures(ctx, []string{"a1", "p1", "p2"})
	}},
	"oauth_proof": {"SELECT 0", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		// One that is there: no row is added, as the way down tells.
		rows, err := q.InsertOAuthProofs(ctx, tenantdb.InsertOAuthProofsParams{
			Digests: [][]byte{{0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}, Sessions: [][]byte{{9}}, ExpiresAt: 1})
		return len(rows), err
	}},
	"record_blob": {"SELECT path, cid FROM x.record_blob WHERE aid = 1 ORDER BY cid", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		missing, err := q.ListMissingBlobs(ctx, tenantdb.ListMissingBlobsParams{AID: 1, After: []byte{}, MaxRows: 9})
		lines := []string{"app.bsky.feed.post/1 | 01"} // the blob that is there
		for _, m := range missing {
			lines = append(lines, fmt.Sprintf("%s | %x", m.Path, m.CID))
		}
		return lines, err
	}},
	"audit": {"SELECT audit_id, at, who, role, action, subject, detail, address, request_id, outcome FROM x.audit ORDER BY 1", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListAudit(ctx, tenantdb.ListAuditParams{MaxRows: 9, MaxBytes: 1000})
	}},
	"audit of a subject": {"SELECT audit_id, at, who, role, action, subject, detail, address, request_id, outcome FROM x.audit WHERE audit_id = '01'", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListAuditNewest(ctx, tenantdb.ListAuditNewestParams{Subject: "did:x:1", Before: "02", MaxRows: 9, MaxBytes: 1000})
	}},
	"backlink": {"SELECT path FROM x.backlink WHERE aid = 1 AND link_to = 'did:plc:ü'", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListBacklinks(ctx, tenantdb.ListBacklinksParams{AID: 1, LinkTo: "did:plc:ü", Lo: "app.bsky.graph.follow/", Hi: "app.bsky.graph.follow0", MaxRows: 9})
	}},
	"backlink of records": {"SELECT r.path, r.rev, r.cid, r.value, b.link_to FROM x.record r LEFT JOIN x.backlink b ON b.aid = r.aid AND b.path = r.path WHERE r.aid = 1 ORDER BY r.path", func(ctx context.Context, q *tenantdb.Queries) (any, error) {
		return q.ListRecordRows(ctx, tenantdb.ListRecordRowsParams{AID: 1, MaxRows: 9})
	}},
}

func day(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }

// What is rare in a tenant goes into tenant_item and tally and out of them again, each row and each value.
func TestTenantItemsAreMoved(t *testing.T) {
	shown := map[string]string{}
	for name, table := range rareTables {
		shown[name] = table.sql
	}
	movedBothWays(t, beforeTenantItem, rareRows, shown, func(q *tenantdb.Queries, name string) []string {
		rows, err := rareTables[name].now(t.Context(), q)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return texts(rows)
	})
}
