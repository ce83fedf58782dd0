package handlers

import (
	"errors"

	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
	"github.com/auroralocus/locus/repo/repodb"
)

// quota is what records may be and take: the tenant's settings, and what its files leave of the bytes that both may take
// together.
func (m repoMethods) quota(t *tenant.Tenant) repodb.Quota {
	q := recordQuota(t)
	left, _ := m.usage.Storage(t)
	if bytes := lower(q.Tenant.Bytes, left); bytes != q.Tenant.Bytes {
		q.Tenant.Bytes, q.Shared = bytes, t.Settings.StorageTenantBytes
	}
	return q
}

// blobQuota is the same for files.
func (m repoMethods) blobQuota(t *tenant.Tenant) int64 {
	_, left := m.usage.Storage(t)
	return lower(t.Settings.BlobTenantLimit, left)
}

// lower is the lower of two limits, of which 0 is none.
func lower(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// noteQuota has the deployment's operator told of a tenant's quota that a call ran into. Those of accounts are the
// tenant's own affair, and sign-ups and requests are noted where they are refused.
func noteQuota(m *usage.Meter, t *tenant.Tenant, err error) {
	s := &t.Settings
	var q *repodb.QuotaError
	switch {
	case errors.Is(err, repodb.ErrTenantQuota) && errors.As(err, &q):
		switch {
		case q.What == "records":
			m.Reached(t, usage.QuotaRecords, q.Limit)
		case q.Shared > 0:
			m.Reached(t, usage.QuotaBytes, q.Shared)
		default:
			m.Reached(t, usage.QuotaRecordBytes, q.Limit)
		}
	case errors.Is(err, blob.ErrTenantQuota):
		if left := s.StorageTenantBytes; left > 0 {
			m.Reached(t, usage.QuotaBytes, left)
			return
		}
		m.Reached(t, usage.QuotaBlobBytes, s.BlobTenantLimit)
	}
}
