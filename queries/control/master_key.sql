-- The deployment's master keys: states are 1 announced, 2 seals, 3 opens, 4 refused.

-- name: ListMasterKeys :many
SELECT * FROM control.master_key ORDER BY key_id LIMIT 255;

-- The first process that knows of these rows writes down which key there is; of two at once one wins.
-- name: InsertMasterKeyFirst :execrows
INSERT INTO control.master_key (key_id, fingerprint, state, revision, added_at, seals_since)
SELECT @key_id::smallint, @fingerprint::text, 2, 0, @added_at::timestamptz, @added_at::timestamptz
WHERE NOT EXISTS (SELECT FROM control.master_key)
ON CONFLICT DO NOTHING;

-- name: InsertMasterKey :execrows
INSERT INTO control.master_key (key_id, fingerprint, state, revision, added_at)
VALUES (@key_id, @fingerprint, 1, @revision, @added_at) ON CONFLICT (key_id) DO NOTHING;

-- name: UpdateMasterKeyState :execrows
UPDATE control.master_key SET state = @state::smallint, revision = @revision,
  seals_since = CASE WHEN @state::smallint = 2 THEN @now::timestamptz ELSE seals_since END,
  refused_at = CASE WHEN @state::smallint = 4 THEN @now::timestamptz END
WHERE key_id = @key_id AND state = @was::smallint;

-- name: DeleteMasterKeyAnnounced :execrows
DELETE FROM control.master_key WHERE key_id = @key_id AND state = 1;

-- name: UpdateMasterKeyProved :execrows
UPDATE control.master_key SET copy_proved_at = @now::timestamptz, copy_proved_by = @by::text WHERE key_id = @key_id AND fingerprint = @fingerprint;
