-- The head of a repository lives in its actor's row. The statements of a grouped commit (repo/repodb, commit.go) run in
-- this order in one implicit transaction: UpdateRepoHeads, then those of mst_node.sql and record.sql, last
-- InsertCommitEvents. Each later one joins the actors that won: the row has our rev and one of our commits, so a
-- repository that lost the compare-and-set gets nothing and the rest of the group goes on.

-- name: UpdateRepoHeads :exec
-- The compare-and-set. An account that cannot be written to does not match either. The subquery keeps the planner from
-- counting the first array's members: for one or two it believes that a plan of their own is cheaper, and then plans
-- anew for each commit, which costs more than the statement.
--
-- It also keeps count of the records. Whoever changed limits or counters meanwhile makes the commit lose, too.
UPDATE pds_tenant.actor t SET head_cid = x.cid, head_rev = x.rev, head_commit = x.block,
  record_count = t.record_count + x.records, record_bytes = t.record_bytes + x.bytes,
  commit_records = x.records, commit_bytes = x.bytes
FROM unnest((SELECT @aids::bigint[]), @prevs::bigint[], @revs::bigint[], @cids::bytea[], @blocks::bytea[],
    @records::int[], @bytes::bigint[], @limits::int[]) AS x(aid, prev, rev, cid, block, records, bytes, limits)
WHERE t.aid = x.aid AND t.head_rev = x.prev AND t.limits_version = x.limits
  AND t.deactivated_at IS NULL AND t.takedown_ref IS NULL AND t.creating_since IS NULL;

-- name: UpdateRepoHeadsReplacing :exec
-- UpdateRepoHeads for groups in which records are replaced or deleted (old_*): what they have is taken off.
UPDATE pds_tenant.actor t SET head_cid = x.cid, head_rev = x.rev, head_commit = x.block,
  record_count = t.record_count + x.records, record_bytes = t.record_bytes + x.bytes - o.bytes,
  commit_records = x.records, commit_bytes = x.bytes - o.bytes
FROM unnest((SELECT @aids::bigint[]), @prevs::bigint[], @revs::bigint[], @cids::bytea[], @blocks::bytea[],
    @records::int[], @bytes::bigint[], @limits::int[]) AS x(aid, prev, rev, cid, block, records, bytes, limits),
  LATERAL (
    SELECT coalesce(sum((SELECT octet_length(r.value) FROM pds_tenant.record r WHERE r.aid = p.aid AND r.path = p.path)), 0)::bigint AS bytes
    FROM unnest(@old_aids::bigint[], @old_paths::text[]) AS p(aid, path) WHERE p.aid = x.aid
  ) o
WHERE t.aid = x.aid AND t.head_rev = x.prev AND t.limits_version = x.limits
  AND t.deactivated_at IS NULL AND t.takedown_ref IS NULL AND t.creating_since IS NULL;

-- name: UpdateRepoHead :execrows
-- One repository's head inside a caller's transaction, whatever the account's status.
UPDATE pds_tenant.actor SET head_cid = @cid, head_rev = @rev, head_commit = @block
WHERE aid = @aid AND head_rev = @prev;

-- name: GetRepoHead :one
SELECT a.did, a.head_cid, a.head_rev, a.head_commit, a.deactivated_at, a.takedown_ref, a.creating_since,
  a.record_count, a.record_bytes, a.max_records, a.max_record_bytes, a.limits_version, k.key_sealed AS sealed, k.key_public AS public
FROM pds_tenant.actor a LEFT JOIN pds_tenant.account k ON k.aid = a.aid
WHERE a.aid = @aid;

-- name: GetCommitOutcome :one
-- After an unknown outcome: the head now, and the number of the event if exactly this one was published.
SELECT a.head_cid, a.head_rev, coalesce((
  SELECT e.seq FROM pds_tenant.repo_event e
  WHERE e.aid = a.aid AND e.rev = @rev::bigint AND e.payload = @payload::bytea
  ORDER BY e.seq DESC LIMIT 1), 0)::bigint AS seq
FROM pds_tenant.actor a WHERE a.aid = @aid;

-- name: ListRepoHeads :many
SELECT aid, did, head_cid, head_rev, deactivated_at, takedown_ref FROM pds_tenant.actor
WHERE aid > @after_aid AND creating_since IS NULL AND head_cid IS NOT NULL
ORDER BY aid LIMIT @max_rows::int;
