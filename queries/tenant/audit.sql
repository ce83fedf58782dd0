-- name: InsertAudit :exec
INSERT INTO pds_tenant.audit (audit_id, at, who, role, action, subject, detail, address, request_id, outcome)
VALUES (@audit_id, @at, @who, @role, @action, @subject, @detail, @address, @request_id, @outcome);

-- name: ListAudit :many
-- Oldest first, behind @after and before @before. Empty texts select everything. The page ends with the entry that makes
-- it @max_bytes or more.
SELECT s.audit_id, s.at, s.who, s.role, s.action, s.subject, s.detail, s.address, s.request_id, s.outcome FROM (
  SELECT a.*, sum(octet_length(a.detail) + octet_length(a.subject)) OVER (ORDER BY a.audit_id ROWS UNBOUNDED PRECEDING) - octet_length(a.detail) - octet_length(a.subject) AS before
  FROM (
    SELECT audit_id, at, who, role, action, subject, detail, address, request_id, outcome FROM pds_tenant.audit
    WHERE audit_id > @after::text AND (@before::text = '' OR audit_id < @before)
      AND (@who::text = '' OR who = @who) AND (@action::text = '' OR action = @action)
      AND (@subject::text = '' OR subject = @subject OR starts_with(subject, 'at://' || @subject || '/') OR starts_with(subject, @subject || '/'))
    ORDER BY audit_id LIMIT @max_rows::int
  ) a
) s WHERE s.before < @max_bytes::bigint ORDER BY s.audit_id;

-- name: ListAuditNewest :many
-- The same, newest first.
SELECT s.audit_id, s.at, s.who, s.role, s.action, s.subject, s.detail, s.address, s.request_id, s.outcome FROM (
  SELECT a.*, sum(octet_length(a.detail) + octet_length(a.subject)) OVER (ORDER BY a.audit_id DESC ROWS UNBOUNDED PRECEDING) - octet_length(a.detail) - octet_length(a.subject) AS before
  FROM (
    SELECT audit_id, at, who, role, action, subject, detail, address, request_id, outcome FROM pds_tenant.audit
    WHERE audit_id > @after::text AND (@before::text = '' OR audit_id < @before)
      AND (@who::text = '' OR who = @who) AND (@action::text = '' OR action = @action)
      AND (@subject::text = '' OR subject = @subject OR starts_with(subject, 'at://' || @subject || '/') OR starts_with(subject, @subject || '/'))
    ORDER BY audit_id DESC LIMIT @max_rows::int
  ) a
) s WHERE s.before < @max_bytes::bigint ORDER BY s.audit_id DESC;
