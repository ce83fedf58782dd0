-- The rare rows of accounts, each kind with its statements in a file of its own. What the columns say of a kind stands in
-- schema/tenant/00016_account_item.sql. Whoever inserts takes the actor's row, so that nothing is left of an account that
-- is being deleted.
--
-- Where an account's items are asked for, their time is compared as coalesce(due_at, 'infinity'): a plan that was made
-- while the table was small must not go by the time instead of the account.

-- name: DeleteAccountItems :exec
-- Of all kinds: the account goes.
DELETE FROM pds_tenant.account_item WHERE aid = @aid;
