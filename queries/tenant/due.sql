-- What is due in a tenant's schema. The epoch stands for nothing.

-- name: GetDueDates :one
-- By indexes alone: it is asked after every write, a while later.
SELECT h.last_seq,
  coalesce((SELECT min(m.due_at) FROM pds_tenant.tenant_item m WHERE m.kind = 5), 'epoch')::timestamptz AS mail,
  coalesce((SELECT min(a.delete_after) FROM pds_tenant.actor a WHERE a.delete_after IS NOT NULL AND a.deactivated_at IS NOT NULL), 'epoch')::timestamptz AS deletion,
  (EXISTS (SELECT FROM pds_tenant.account_item i WHERE i.kind IN (12, 13) AND i.due_at IS NOT NULL))::boolean AS left_over,
  coalesce((SELECT min(b.created_at) FROM pds_tenant.blob b WHERE b.temporary AND b.takedown_ref IS NULL), 'epoch')::timestamptz AS temporary_blob,
  coalesce((SELECT min(x.due_at) FROM pds_tenant.tenant_item x WHERE x.kind = 12), 'epoch')::timestamptz AS trash,
  (EXISTS (SELECT FROM pds_tenant.blob b WHERE (b.takedown_ref IS NOT NULL) <> (b.object LIKE 'quarantine/%')))::boolean AS misplaced,
  coalesce((SELECT e.time_us FROM pds_tenant.repo_event e ORDER BY e.seq LIMIT 1), 0)::bigint AS first_event_us
FROM pds_tenant.stream_head h WHERE h.id = 1;

-- name: GetExpiryDates :one
-- The earliest date of each kind of thing that expires. Some have no index by date: it is asked an hour after a write.
SELECT
  coalesce((SELECT min(creating_since) FROM pds_tenant.actor WHERE creating_since IS NOT NULL), 'epoch')::timestamptz AS signup,
  coalesce((SELECT min(noted_at) FROM pds_tenant.account_item WHERE kind = 11 AND due_at IS NOT NULL), 'epoch')::timestamptz AS rejected,
  coalesce((SELECT min(expires_at) FROM pds_tenant.refresh_token), 'epoch')::timestamptz AS refresh_token,
  coalesce((SELECT min(due_at) FROM pds_tenant.account_item WHERE kind = 7), 'epoch')::timestamptz AS device_account,
  coalesce((SELECT min(due_at) FROM pds_tenant.tenant_item WHERE kind = 15), 'epoch')::timestamptz AS device,
  coalesce((SELECT min(expires_at) FROM pds_tenant.oauth_session), 'epoch')::timestamptz AS oauth_session,
  coalesce((SELECT min(due_at) FROM pds_tenant.tenant_item WHERE kind = 16), 'epoch')::timestamptz AS oauth_request,
  coalesce((SELECT min(due_at) FROM pds_tenant.account_item WHERE kind = 4), 'epoch')::timestamptz AS email_token,
  coalesce((SELECT min(due_at) FROM pds_tenant.tenant_item WHERE kind = 14), 'epoch')::timestamptz AS reserved_key,
  coalesce((SELECT min(due_at) FROM pds_tenant.tenant_item WHERE kind = 13), 'epoch')::timestamptz AS service_nonce,
  coalesce((SELECT min(expires_at) FROM pds_tenant.oauth_proof), 0)::bigint AS oauth_proof,
  coalesce((SELECT min(due_at) FROM pds_tenant.tenant_item WHERE kind = 10), 'epoch')::timestamptz AS operator_token,
  coalesce((SELECT min(last_at) FROM pds_tenant.tally WHERE bucket = ''), 'epoch')::timestamptz AS signin_failure,
  coalesce((SELECT min(ends_at) FROM pds_tenant.tally WHERE ends_at > 0), 0)::bigint AS tally,
  coalesce((SELECT min(due_at) FROM pds_tenant.tenant_item WHERE kind = 6), 'epoch')::timestamptz AS mail;
