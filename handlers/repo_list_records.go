package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
)

type repoListRecordsAnswer struct {
	Body xrpc.EncodedJSON[repoListRecordsOutputBody]
}

var _ xrpc.Sized = (*repoListRecordsAnswer)(nil)

func (a *repoListRecordsAnswer) Size() int { return len(a.Body.JSON) }

// listRecords lists a collection by record key, the highest first unless reverse. The cursor is the last key of a page,
// given whenever the page is not empty, so that the last page of all is an empty one. A page of large records ends early.
// spec: lexicon com.atproto.repo.listRecords
func (m repoMethods) listRecords(ctx context.Context, v xrpc.Visitor, in *repoListRecordsInput) (*repoListRecordsAnswer, error) {
	a, err := m.actors.ByName(ctx, v.Tenant.Schema, string(in.Repo), account.Fresh)
	if errors.Is(err, account.ErrNotFound) || err == nil && !a.Active() {
		return nil, xrpc.Invalid("Could not find repo: %s", in.Repo)
	}
	if err != nil {
		return nil, err
	}
	if in.Cursor != "" && repo.CheckRecordKey(in.Cursor) != nil {
		return nil, xrpc.Invalid("Malformed cursor")
	}
	list, err := m.repos.ListRecords(lately(ctx, m.db, v, a.AID), v.Tenant.Schema, a.AID, string(in.Collection), in.Cursor, int(in.Limit), pageBytes, in.Reverse)
	if err != nil {
		return nil, err
	}
	size := 64
	for i := range list {
		size += 256 + 3*len(list[i].Value)/2
	}
	b := append(make([]byte, 0, size), '{')
	if n := len(list); n > 0 {
		b = append(b, `"cursor":"`...)
		b = append(b, list[n-1].Path[len(in.Collection)+1:]...)
		b = append(b, `",`...)
	}
	b = append(b, `"records":[`...)
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRecordView(b, a.DID, list[i].Path, list[i])
		if b, err = dagcbor.ToJSON(b, list[i].Value); err != nil {
			return nil, err
		}
		b = append(b, '}')
	}
	b = append(b, `]}`...)
	return &repoListRecordsAnswer{Body: xrpc.EncodedJSON[repoListRecordsOutputBody]{JSON: b}}, nil
}
