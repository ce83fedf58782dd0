-- The log of the built-in PLC directory. Every writer first takes the counter's row (LockNextCounter 'plc_seq'),
-- so operations are accepted one at a time and seq order is the order of acceptance.

-- name: ListPLCOperations :many
-- A DID's whole log, nullified operations included, oldest first. The directory's own limit of 100 operations
-- a week keeps it short; max_rows is the backstop.
SELECT did, cid, seq, operation, nullified, created_at
FROM control.plc_operation
WHERE did = @did
ORDER BY seq
LIMIT @max_rows::int;

-- name: GetLastPLCOperation :one
SELECT did, cid, seq, operation, nullified, created_at
FROM control.plc_operation
WHERE did = @did AND NOT nullified
ORDER BY seq DESC
LIMIT 1;

-- name: ListPLCOperationsAfterSeq :many
SELECT did, cid, seq, operation, nullified, created_at
FROM control.plc_operation
WHERE seq > @after_seq::bigint
ORDER BY seq
LIMIT @max_rows::int;

-- name: ListPLCOperationsAfterTime :many
SELECT did, cid, seq, operation, nullified, created_at
FROM control.plc_operation
WHERE created_at > @after_time::timestamptz
ORDER BY created_at, seq
LIMIT @max_rows::int;

-- name: InsertPLCOperation :exec
INSERT INTO control.plc_operation (did, cid, seq, operation, nullified, created_at)
VALUES (@did, @cid, @seq, @operation, false, @created_at);

-- name: UpdatePLCOperationsNullified :exec
UPDATE control.plc_operation SET nullified = true
WHERE did = @did AND cid = ANY(@cids::text[]);
