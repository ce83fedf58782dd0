-- name: InsertAudit :exec
INSERT INTO control.audit (audit_id, at, who, role, action, tenant_id, subject, detail, address, request_id, outcome)
VALUES (@audit_id, @at, @who, @role, @action, @tenant_id, @subject, @detail, @address, @request_id, @outcome);

-- name: UpdateAuditOutcome :exec
UPDATE control.audit SET outcome = @outcome, tenant_id = @tenant_id WHERE audit_id = @audit_id;

-- Newest first, before @before. Empty texts and 0 select everything.
-- name: ListAudit :many
SELECT * FROM control.audit
WHERE audit_id < @before::text AND audit_id >= @since::text
  AND (@tenant_id::bigint = 0 OR tenant_id = @tenant_id) AND (@who::text = '' OR who = @who) AND (@action::text = '' OR action = @action)
ORDER BY audit_id DESC LIMIT @max_rows::int;
