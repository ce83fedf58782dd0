package handlers

import (
	"context"
	"errors"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/lexicon"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/repodb"
)

// predecessor is the record that an update replaces. A repository that moved here may hold what no new record may: blobs
// in old shapes, objects that are nothing of what they look like, another $type than its collection, more bytes, what its
// lexicon forbids. Ordinary clients read a record, change a field and write it back, so an update may say again what is
// there already. The record is read only when an update needs the excuse.
type predecessor struct {
	m   repoMethods
	ctx context.Context
	c   xrpc.AccountCaller

	read  bool
	block []byte // nil: there is none
}

func (m repoMethods) predecessor(ctx context.Context, c xrpc.AccountCaller) *predecessor {
	return &predecessor{m: m, ctx: ctx, c: c}
}

// at reads the record.
func (p *predecessor) at(path string) ([]byte, error) {
	if p.read {
		return p.block, nil
	}
	_, r, err := p.m.repos.GetRecord(p.ctx, p.c.Tenant.Schema, p.c.DID, path)
	switch {
	case errors.Is(err, repodb.ErrRecordNotFound):
	case err != nil:
		return nil, err
	default:
		p.block = r.Value
	}
	p.read = true
	return p.block, nil
}

// excusable are the faults that a record may have had before.
var excusable = []error{
	dagcbor.ErrLink, dagcbor.ErrBytes, dagcbor.ErrBlob, dagcbor.ErrLegacyBlob, dagcbor.ErrType, dagcbor.ErrSize,
}

// excuse reads a record that is refused as a new one, as the successor of the one that is there. Its blobs of old shapes
// that are here get today's shape, with the type and the size that they have; the record's CID is of that.
func (p *predecessor) excuse(path string, text []byte, collection string, fault error) ([]byte, error) {
	if !isAny(fault, excusable) {
		return nil, fault
	}
	old, err := p.at(path)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, fault
	}
	block, err := dagcbor.FromJSON(text, dagcbor.Limits{Type: collection, Kept: old})
	if err != nil {
		return nil, err
	}
	var failed error
	block, _, err = dagcbor.RenewBlobs(block, func(b dagcbor.BlobRef) (string, int64, bool) {
		info, err := p.m.blobs.Get(p.ctx, p.c.Tenant.Schema, p.c.AID, b.CID)
		if err != nil && !errors.Is(err, blob.ErrNotFound) {
			failed = err
		}
		return info.MimeType, info.Size, err == nil
	})
	if err == nil {
		err = failed
	}
	return block, err
}

// excuseInvalid takes a record that breaks its lexicon as long as the one that it replaces does, too: if it were
// refused, the worse record would stay. A client that wants to know says "validate": true.
func (p *predecessor) excuseInvalid(path string, check func([]byte) (lexicon.Status, error), fault error) (lexicon.Status, error) {
	if !errors.Is(fault, lexicon.ErrInvalid) && !errors.Is(fault, lexicon.ErrUnknownType) {
		return "", fault
	}
	old, err := p.at(path)
	if err != nil {
		return "", err
	}
	if old == nil {
		return "", fault
	}
	if _, err := check(old); err == nil {
		return "", fault
	}
	return lexicon.StatusUnknown, nil
}

func isAny(err error, of []error) bool {
	for _, e := range of {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
