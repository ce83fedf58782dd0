-- Takes the next number of a counter: unique and rising, and the row stays locked until the transaction ends, so the
-- order of numbers is the order of visibility.
-- name: LockNextCounter :one
UPDATE control.counter SET value = value + 1 WHERE name = $1 RETURNING value;

-- name: GetCounter :one
SELECT value FROM control.counter WHERE name = $1;
