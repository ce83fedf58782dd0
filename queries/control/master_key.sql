-- The deployment's master keys: states are 1 announced, 2 seals, 3 opens, 4 refused.

-- name: ListMasterKeys :many
SELECT * FROM control.master_key ORDER BY key_id LIMIT 255;

-- name: InsertMasterKey :execrows
INSERT INTO control.master_key (key_id, fingerprint, state, revision, added_at, seals_since)
VALUES (@key_id, @fingerprint, @state, @revision, @added_at, sqlc.narg(seals_since)) ON CONFLICT (key_id) DO NOTHING;

-- name: UpdateMasterKeyState :execrows
UPDATE control.master_key SET state = @state::smallint, revision = @revision,
  seals_since = CASE WHEN @state::smallint = 2 THEN @now::timestamptz ELSE seals_since END,
  refused_at = CASE WHEN @state::smallint = 4 THEN @now::timestamptz END
WHERE key_id = @key_id AND state = @was::smallint;

-- name: DeleteMasterKeyAnnounced :execrows
DELETE FROM control.master_key WHERE key_id = @key_id AND state = 1;

-- name: UpdateMasterKeyProved :execrows
UPDATE control.master_key SET copy_proved_at = @now::timestamptz, copy_proved_by = @by::text WHERE key_id = @key_id AND fingerprint = @fingerprint;
