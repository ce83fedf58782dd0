-- name: GetBlobPlace :one
SELECT label FROM control.blob_place WHERE location = @location;

-- name: ListBlobPlaces :many
SELECT location, label FROM control.blob_place ORDER BY location LIMIT @max_rows::int;

-- Two processes that label a store at once agree on the row that came first.
-- name: InsertBlobPlace :execrows
INSERT INTO control.blob_place (location, label, created_at) VALUES (@location, @label, @created_at) ON CONFLICT (location) DO NOTHING;

-- name: UpsertBlobPlace :exec
INSERT INTO control.blob_place (location, label, created_at) VALUES (@location, @label, @created_at)
ON CONFLICT (location) DO UPDATE SET label = excluded.label, created_at = excluded.created_at;
