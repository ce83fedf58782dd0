-- name: InsertAudit :exec
INSERT INTO pds_tenant.audit (audit_id, at, who, role, action, subject, detail, address, request_id, outcome)
VALUES (@audit_id, @at, @who, @role, @action, @subject, @detail, @address, @request_id, @outcome);

-- name: ListAudit :many
-- Oldest first, behind @after and before @before. Empty texts select everything.
SELECT audit_id, at, who, role, action, subject, detail, address, request_id, outcome FROM pds_tenant.audit
WHERE audit_id > @after::text AND (@before::text = '' OR audit_id < @before)
  AND (@who::text = '' OR who = @who) AND (@action::text = '' OR action = @action)
  AND (@subject::text = '' OR subject = @subject OR starts_with(subject, 'at://' || @subject || '/') OR starts_with(subject, @subject || '/'))
ORDER BY audit_id LIMIT @max_rows::int;

-- name: ListAuditNewest :many
-- The same, newest first.
SELECT audit_id, at, who, role, action, subject, detail, address, request_id, outcome FROM pds_tenant.audit
WHERE audit_id > @after::text AND (@before::text = '' OR audit_id < @before)
  AND (@who::text = '' OR who = @who) AND (@action::text = '' OR action = @action)
  AND (@subject::text = '' OR subject = @subject OR starts_with(subject, 'at://' || @subject || '/') OR starts_with(subject, @subject || '/'))
ORDER BY audit_id DESC LIMIT @max_rows::int;
