package handlers

import (
	"context"
	"errors"
	"net/http"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/repodb"
)

// repoGetRecordAnswer is repoGetRecordOutput with its body written by hand: the record's bytes become JSON once.
type repoGetRecordAnswer struct {
	Body xrpc.EncodedJSON[repoGetRecordOutputBody]
}

var _ xrpc.Sized = (*repoGetRecordAnswer)(nil)

func (a *repoGetRecordAnswer) Size() int { return len(a.Body.JSON) }

// getRecord reads a record of an account hosted here.
// spec: lexicon com.atproto.repo.getRecord
func (m repoMethods) getRecord(ctx context.Context, v xrpc.Visitor, in *repoGetRecordInput) (*repoGetRecordAnswer, error) {
	path := string(in.Collection) + "/" + string(in.Rkey)
	if in.CID == "" { // whoever knows a version has it from somewhere newer, perhaps
		ctx = lately(ctx, m.db, v, 0) // whose changes matter is known behind it
	}
	a, r, err := m.repos.GetRecord(ctx, v.Tenant.Schema, lowerHandle(in.Repo), path)
	gone := a.Deactivated || a.Takendown || r.Takendown
	switch {
	case errors.Is(err, repodb.ErrRepoNotFound), errors.Is(err, repodb.ErrRecordNotFound), err == nil && gone,
		err == nil && in.CID != "" && string(in.CID) != r.CID.String():
		return nil, xrpc.Refuse(http.StatusBadRequest, "RecordNotFound", "Could not locate record: %s", recordURI(string(in.Repo), path))
	case err != nil:
		return nil, err
	}
	b := make([]byte, 0, 256+3*len(r.Value)/2)
	b = appendRecordView(b, a.DID, path, r)
	if b, err = dagcbor.ToJSON(b, r.Value); err != nil {
		return nil, err
	}
	b = append(b, '}')
	return &repoGetRecordAnswer{Body: xrpc.EncodedJSON[repoGetRecordOutputBody]{JSON: b}}, nil
}

// appendRecordView appends {"uri":…,"cid":…,"value": and leaves the value and the brace to the caller. DIDs, paths and
// CIDs hold nothing that JSON would have to escape.
func appendRecordView(b []byte, did, path string, r repodb.Record) []byte {
	b = append(b, `{"uri":"at://`...)
	b = append(append(append(b, did...), '/'), path...)
	b = append(b, `","cid":"`...)
	b = dagcbor.AppendCIDText(b, r.CID.Bytes())
	return append(b, `","value":`...)
}

// lowerHandle is the identifier as it is stored: handles are lower case, DIDs are what they are.
func lowerHandle(id xrpc.AtIdentifier) string {
	return account.Identifier(string(id))
}
