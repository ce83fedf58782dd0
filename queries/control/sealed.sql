-- What is sealed in the control schema: what certificates need, answers that may be repeated, the keys of age that jobs
-- were given, and what the dashboard's sign-in needs. The second byte says under which master key.

-- name: ListSealedKeys :many
SELECT x.key_id::int AS key_id, count(*) AS n FROM (
  SELECT get_byte(i.sealed, 1) AS key_id FROM control.tls_item i WHERE length(i.sealed) > 1
  UNION ALL SELECT get_byte(i.answer, 1) FROM control.idempotency i WHERE length(i.answer) > 1
  UNION ALL SELECT get_byte(i.sealed, 1) FROM control.operator_factor i WHERE length(i.sealed) > 1
  UNION ALL SELECT get_byte(i.sealed, 1) FROM control.operator_secret i WHERE length(i.sealed) > 1
  UNION ALL SELECT get_byte(decode(j.args->>'sealedIdentity', 'base64'), 1) FROM control.job j
    WHERE jsonb_typeof(j.args) = 'object' AND length(j.args->>'sealedIdentity') > 4
) x GROUP BY x.key_id ORDER BY x.key_id LIMIT 256;

-- name: ListSealedTLSItems :many
SELECT i.item, i.sealed FROM control.tls_item i
WHERE i.item > @after AND length(i.sealed) > 1 AND get_byte(i.sealed, 1) <> @others_than::int ORDER BY i.item LIMIT @max_rows::int;

-- name: UpdateSealedTLSItem :execrows
UPDATE control.tls_item SET sealed = @sealed WHERE item = @item AND sealed = @was::bytea;

-- name: ListSealedAnswers :many
SELECT i.caller, i.key, i.answer AS sealed FROM control.idempotency i
WHERE (i.caller, i.key) > (@after_caller::text, @after_key::text) AND length(i.answer) > 1 AND get_byte(i.answer, 1) <> @others_than::int
ORDER BY i.caller, i.key LIMIT @max_rows::int;

-- name: UpdateSealedAnswer :execrows
UPDATE control.idempotency SET answer = @sealed WHERE caller = @caller AND key = @key AND answer = @was::bytea;

-- name: ListSealedOfJobs :many
SELECT j.job_id, decode(j.args->>'sealedIdentity', 'base64')::bytea AS sealed FROM control.job j
WHERE j.job_id > @after AND jsonb_typeof(j.args) = 'object' AND length(j.args->>'sealedIdentity') > 4
  AND get_byte(decode(j.args->>'sealedIdentity', 'base64'), 1) <> @others_than::int
ORDER BY j.job_id LIMIT @max_rows::int;

-- name: UpdateSealedOfJob :execrows
UPDATE control.job SET args = jsonb_set(args, '{sealedIdentity}', to_jsonb(replace(encode(@sealed::bytea, 'base64'), E'\n', '')))
WHERE job_id = @job_id AND decode(args->>'sealedIdentity', 'base64') = @was::bytea;

-- name: ListSealedOfOperators :many
SELECT i.who, i.factor_id, i.sealed::bytea AS sealed FROM control.operator_factor i
WHERE (i.who, i.factor_id) > (@after_who::text, @after_id::bytea) AND length(i.sealed) > 1 AND get_byte(i.sealed, 1) <> @others_than::int
ORDER BY i.who, i.factor_id LIMIT @max_rows::int;

-- name: UpdateSealedOfOperator :execrows
UPDATE control.operator_factor SET sealed = @sealed::bytea WHERE who = @who AND factor_id = @factor_id AND sealed = @was::bytea;

-- name: ListSealedOperatorSecrets :many
SELECT i.purpose, i.sealed FROM control.operator_secret i
WHERE i.purpose > @after AND length(i.sealed) > 1 AND get_byte(i.sealed, 1) <> @others_than::int ORDER BY i.purpose LIMIT @max_rows::int;

-- name: UpdateSealedOperatorSecret :execrows
UPDATE control.operator_secret SET sealed = @sealed WHERE purpose = @purpose AND sealed = @was::bytea;
