package handlers

import (
	"context"
	"math"
	"strconv"
	"strings"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/db/tenantdb"
)

// listUsage gives a page of accounts with what their files take.
// spec: lexicon org.auroralocus.admin.listUsage
func (m locusAdminMethods) listUsage(ctx context.Context, c xrpc.OperatorCaller, in *locusAdminListUsageInput) (*locusAdminListUsageOutput, error) {
	bytes, after, err := usageCursor(in.Cursor, in.Sort == "bytes")
	if err != nil {
		return nil, err
	}
	q := m.db.Tenant(c.Tenant.Schema).Q()
	var rows []tenantdb.ListUsageByBytesRow
	if in.Sort == "bytes" {
		rows, err = q.ListUsageByBytes(ctx, tenantdb.ListUsageByBytesParams{Bytes: bytes, After: after, MaxRows: int32(in.Limit)})
	} else {
		var byAccount []tenantdb.ListUsageByAccountRow
		byAccount, err = q.ListUsageByAccount(ctx, tenantdb.ListUsageByAccountParams{After: after, MaxRows: int32(in.Limit)})
		for _, r := range byAccount {
			rows = append(rows, tenantdb.ListUsageByBytesRow(r))
		}
	}
	if err != nil {
		return nil, err
	}
	out := new(locusAdminListUsageOutput)
	out.Body.Accounts = make([]locusAdminDefsAccountUsage, len(rows))
	for i, r := range rows {
		handle := ""
		if r.Handle != nil {
			handle = *r.Handle
		}
		out.Body.Accounts[i] = locusAdminDefsAccountUsage{
			DID: xrpc.DID(r.DID), Handle: shownHandle(handle), Files: locusServerDefsFileSum{Count: r.Blobs, Bytes: r.Bytes}, Limit: r.MaxBytes,
			Records: locusServerDefsRecordSum{Count: r.Records, Bytes: r.RecordBytes}, MaxRecords: r.MaxRecords, MaxRecordBytes: r.MaxRecordBytes,
		}
	}
	if len(rows) == int(in.Limit) {
		last := rows[len(rows)-1]
		out.Body.Cursor = strconv.FormatInt(last.AID, 10)
		if in.Sort == "bytes" {
			out.Body.Cursor = strconv.FormatInt(last.Bytes, 10) + "." + out.Body.Cursor
		}
	}
	return out, nil
}

// usageCursor reads "AID", or "BYTES.AID" of a list by size.
func usageCursor(cursor string, withBytes bool) (bytes, after int64, err error) {
	bytes = math.MaxInt64
	if cursor == "" {
		return bytes, 0, nil
	}
	rest := cursor
	if withBytes {
		size, aid, ok := strings.Cut(cursor, ".")
		if bytes, err = strconv.ParseInt(size, 10, 64); !ok || err != nil || bytes < 0 {
			return 0, 0, xrpc.Invalid("Malformed cursor")
		}
		rest = aid
	}
	if after, err = strconv.ParseInt(rest, 10, 64); err != nil || after < 0 {
		return 0, 0, xrpc.Invalid("Malformed cursor")
	}
	return bytes, after, nil
}
