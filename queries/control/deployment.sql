-- name: GetDeployment :one
SELECT * FROM control.deployment WHERE id = 1;

-- Two first starts at once: the second finds what the first has written.
-- name: InsertDeployment :execrows
INSERT INTO control.deployment (id, development, scheme, port, plc_url, changed_at)
VALUES (1, @development, @scheme, @port, @plc_url, @changed_at)
ON CONFLICT (id) DO NOTHING;

-- name: UpdateDeployment :execrows
UPDATE control.deployment SET development = @development, scheme = @scheme, port = @port, plc_url = @plc_url, changed_at = @changed_at
WHERE id = 1;
