-- Items of kind 17.

-- name: InsertAudit :exec
INSERT INTO pds_tenant.tenant_item (kind, key, created_at, label, flags, value, note, extra, info)
VALUES (17, convert_to(@audit_id::text, 'UTF8'), @at, @who, @role, @action, @subject, @detail,
  convert_to(jsonb_build_array(@address::text, @request_id::text, @outcome::text)::text, 'UTF8'));

-- name: ListAudit :many
-- Oldest first, behind @after and before @before. Empty texts select everything. The page ends with the entry that makes
-- it @max_bytes or more. What an entry is about is compared on the way.
SELECT convert_from(s.key, 'UTF8')::text AS audit_id, s.created_at AS at, s.label AS who, s.flags AS role, s.value AS action, s.note AS subject, s.extra AS detail,
  (convert_from(s.info, 'UTF8')::jsonb ->> 0)::text AS address, (convert_from(s.info, 'UTF8')::jsonb ->> 1)::text AS request_id,
  (convert_from(s.info, 'UTF8')::jsonb ->> 2)::text AS outcome
FROM (
  SELECT a.*, sum(octet_length(a.extra) + octet_length(a.note)) OVER (ORDER BY a.key ROWS UNBOUNDED PRECEDING) - octet_length(a.extra) - octet_length(a.note) AS before
  FROM (
    SELECT key, created_at, label, flags, value, note, extra, info FROM pds_tenant.tenant_item
    WHERE kind = 17 AND key > convert_to(@after::text, 'UTF8') AND (@before::text = '' OR key < convert_to(@before, 'UTF8'))
      AND (@who::text = '' OR label = @who) AND (@action::text = '' OR value = @action)
      AND (@subject::text = '' OR note = @subject OR starts_with(note, 'at://' || @subject || '/') OR starts_with(note, @subject || '/'))
    ORDER BY key LIMIT @max_rows::int
  ) a
) s WHERE s.before < @max_bytes::bigint ORDER BY s.key;

-- name: ListAuditNewest :many
-- The same, newest first.
SELECT convert_from(s.key, 'UTF8')::text AS audit_id, s.created_at AS at, s.label AS who, s.flags AS role, s.value AS action, s.note AS subject, s.extra AS detail,
  (convert_from(s.info, 'UTF8')::jsonb ->> 0)::text AS address, (convert_from(s.info, 'UTF8')::jsonb ->> 1)::text AS request_id,
  (convert_from(s.info, 'UTF8')::jsonb ->> 2)::text AS outcome
FROM (
  SELECT a.*, sum(octet_length(a.extra) + octet_length(a.note)) OVER (ORDER BY a.key DESC ROWS UNBOUNDED PRECEDING) - octet_length(a.extra) - octet_length(a.note) AS before
  FROM (
    SELECT key, created_at, label, flags, value, note, extra, info FROM pds_tenant.tenant_item
    WHERE kind = 17 AND key > convert_to(@after::text, 'UTF8') AND (@before::text = '' OR key < convert_to(@before, 'UTF8'))
      AND (@who::text = '' OR label = @who) AND (@action::text = '' OR value = @action)
      AND (@subject::text = '' OR note = @subject OR starts_with(note, 'at://' || @subject || '/') OR starts_with(note, @subject || '/'))
    ORDER BY key DESC LIMIT @max_rows::int
  ) a
) s WHERE s.before < @max_bytes::bigint ORDER BY s.key DESC;
