package repodb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/dagcbor"
)

// What a record may say of a blob. A *BlobError names which.
var (
	// ErrBlobNotFound: the account has no such blob, or may not use it.
	ErrBlobNotFound = errors.New("blob not found")
	// ErrBlobMimeType: the record says another type than the blob has.
	ErrBlobMimeType = errors.New("blob has another type")
	// ErrBlobSize: the record says another size than the blob has.
	ErrBlobSize = errors.New("blob has another size")
)

// BlobError is a record's reference that does not hold. Its text is for the client.
type BlobError struct {
	Kind error // one of the above
	CID  cid.Cid
	Got  string // what the record says, with ErrBlobMimeType and ErrBlobSize
	Want string
}

func (e *BlobError) Error() string {
	switch e.Kind {
	case ErrBlobMimeType:
		return fmt.Sprintf("Referenced Mimetype does not match stored blob. Expected: %s, Got: %s", e.Want, e.Got)
	case ErrBlobSize:
		return fmt.Sprintf("Referenced Size does not match stored blob. Expected: %s, Got: %s", e.Want, e.Got)
	}
	return fmt.Sprintf("Could not find blob: %s", e.CID)
}

// Said is the text for the client, whatever the error was wrapped with.
func (e *BlobError) Said() string { return e.Error() }

func (e *BlobError) Unwrap() error { return e.Kind }

// blobRef is a record's reference to a blob.
type blobRef struct {
	path string
	dagcbor.BlobRef
}

// Every record that refers to a blob contains one of blobMarks. Looking for them costs next to nothing, and most
// records have none. The second is the key $type and the text blob. ListRecordsWithBlobs looks for the same.
var blobMarks = [][]byte{[]byte("mimeType"), []byte("$typedblob")}

// mimeToStore is the type as references have it: none where it is longer than a type can be (RFC 6838, 4.2).
func mimeToStore(mime string) string {
	if len(mime) > 255 {
		return ""
	}
	return mime
}

// blobsOf lists what a record refers to.
func blobsOf(path string, record []byte) ([]blobRef, error) {
	if !slices.ContainsFunc(blobMarks, func(m []byte) bool { return bytes.Contains(record, m) }) {
		return nil, nil
	}
	found, err := dagcbor.Blobs(record)
	if err != nil {
		return nil, fmt.Errorf("blobs of %s: %w", path, err)
	}
	refs := make([]blobRef, len(found))
	for i := range found {
		refs[i] = blobRef{path, found[i]}
	}
	return refs, nil
}

// checkBlobs finds out what the writes refer to and whether it holds: one statement, and none without references. It
// gives the reasons; UpdateRepoHeadsWithBlobs finds out whether they still hold when the commit happens.
//
// A reference that the record has already, with the same type and size, may stay whatever it says: a repository that
// moved here may name files that are not here (yet), or of which its records say different things. Those are kept, and
// nobody looks for them again; only what is taken down is named by no new version.
func checkBlobs(ctx context.Context, q *tenantdb.Queries, aid int64, writes []repo.Write) (any bool, kept map[blobRef]bool, err error) {
	var refs []blobRef
	for i := range writes {
		if writes[i].Action == repo.ActionDelete {
			continue
		}
		found, err := blobsOf(writes[i].Path, writes[i].Record)
		if err != nil {
			return false, nil, err
		}
		refs = append(refs, found...)
	}
	if len(refs) == 0 {
		return false, nil, nil
	}
	cids := make([][]byte, 0, len(refs))
	for i := range refs {
		cids = append(cids, refs[i].CID.Bytes())
	}
	rows, err := q.ListBlobsForWrite(ctx, tenantdb.ListBlobsForWriteParams{AID: aid, Cids: cids})
	if err != nil {
		return false, nil, fmt.Errorf("read blobs: %w", err)
	}
	have := make(map[string]*tenantdb.ListBlobsForWriteRow, len(rows))
	for i := range rows {
		have[string(rows[i].CID)] = &rows[i]
	}
	read := map[string]bool{}
	for i := range refs {
		r := &refs[i]
		row := have[r.CID.KeyString()]
		wrong := r.against(row)
		if wrong == nil {
			continue
		}
		if row == nil || !row.Takendown {
			if !read[r.path] {
				read[r.path] = true
				if kept, err = addRefs(ctx, q, aid, r.path, kept); err != nil {
					return false, nil, err
				}
			}
			if kept[r.said()] {
				continue
			}
		}
		return false, nil, wrong
	}
	return true, kept, nil
}

// said is what the reference says, whatever its shape: a client that got an older one as JSON may send today's.
func (r *blobRef) said() blobRef {
	c := *r
	c.Shape = dagcbor.BlobToday
	return c
}

// against holds a reference against the blob that there is.
func (r *blobRef) against(row *tenantdb.ListBlobsForWriteRow) error {
	switch {
	case row == nil || row.Takendown:
		return &BlobError{Kind: ErrBlobNotFound, CID: r.CID}
	case row.MimeType != r.MimeType:
		return &BlobError{Kind: ErrBlobMimeType, CID: r.CID, Want: row.MimeType, Got: r.MimeType}
	case row.Size != r.Size:
		return &BlobError{Kind: ErrBlobSize, CID: r.CID, Want: fmt.Sprint(row.Size), Got: fmt.Sprint(r.Size)}
	}
	return nil
}

// addRefs adds what the record at a path refers to now. Should it change before the commit, the compare-and-set is
// lost.
func addRefs(ctx context.Context, q *tenantdb.Queries, aid int64, path string, to map[blobRef]bool) (map[blobRef]bool, error) {
	if to == nil {
		to = map[blobRef]bool{}
	}
	rows, err := q.ListRecordsAt(ctx, tenantdb.ListRecordsAtParams{AID: aid, Path: path})
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	for _, row := range rows {
		refs, err := blobsOf(path, row.Value)
		if err != nil {
			return nil, err
		}
		for i := range refs {
			to[refs[i].said()] = true
		}
	}
	return to, nil
}

// queueHeads queues the compare-and-set of a group, and what it needs of blobs in front.
func queueHeads(b *db.Batch, group []*pending, heads *tenantdb.UpdateRepoHeadsReplacingParams) {
	var refs tenantdb.UpdateRepoHeadsWithBlobsParams
	for _, p := range group {
		for i := range p.refs {
			r := &p.refs[i]
			if p.kept[r.said()] {
				continue
			}
			refs.RefAids = append(refs.RefAids, p.aid)
			refs.RefCids = append(refs.RefCids, r.CID.Bytes())
			refs.RefMimeTypes = append(refs.RefMimeTypes, r.MimeType)
			refs.RefSizes = append(refs.RefSizes, r.Size)
		}
	}
	switch {
	case len(refs.RefAids) > 0:
	case len(heads.OldAids) > 0:
		b.Queue(tenantdb.UpdateRepoHeadsReplacing, heads.Aids, heads.Prevs, heads.Revs, heads.Cids, heads.Blocks,
			heads.Records, heads.Bytes, heads.Limits, heads.OldAids, heads.OldPaths)
		return
	default:
		b.Queue(tenantdb.UpdateRepoHeads, heads.Aids, heads.Prevs, heads.Revs, heads.Cids, heads.Blocks, heads.Records, heads.Bytes, heads.Limits)
		return
	}
	b.Queue(tenantdb.LockBlobOwners, heads.Aids)
	b.Queue(tenantdb.UpdateRepoHeadsWithBlobs, refs.RefAids, refs.RefCids, refs.RefMimeTypes, refs.RefSizes,
		heads.Aids, heads.Prevs, heads.Revs, heads.Cids, heads.Blocks,
		heads.Records, heads.Bytes, heads.Limits, heads.OldAids, heads.OldPaths)
}

// queueBlobs queues the references of a group's records, and the removal of references that replaced or deleted records
// had.
func queueBlobs(b *db.Batch, group []*pending, commits [][]byte) {
	var (
		link   tenantdb.UpsertRecordBlobsParams
		unlink tenantdb.DeleteRecordBlobsParams
	)
	for _, p := range group {
		rev := int64(p.commit.Head.Rev)
		for i := range p.refs {
			r := &p.refs[i]
			link.Aids = append(link.Aids, p.aid)
			link.Revs = append(link.Revs, rev)
			link.Paths = append(link.Paths, r.path)
			link.Cids = append(link.Cids, r.CID.Bytes())
			link.MimeTypes = append(link.MimeTypes, mimeToStore(r.MimeType))
		}
		for i := range p.commit.Ops {
			if op := &p.commit.Ops[i]; op.Action != repo.ActionCreate {
				unlink.Aids = append(unlink.Aids, p.aid)
				unlink.Revs = append(unlink.Revs, rev)
				unlink.Paths = append(unlink.Paths, op.Path)
			}
		}
		if unlink.Now.Before(p.now) {
			unlink.Now = p.now
		}
	}
	if len(link.Aids) > 0 {
		b.Queue(tenantdb.UpsertRecordBlobs, link.Aids, link.Revs, link.Paths, link.Cids, link.MimeTypes, commits)
	}
	if len(unlink.Aids) > 0 {
		b.Queue(tenantdb.DeleteRecordBlobs, unlink.Now, unlink.Aids, unlink.Revs, unlink.Paths, commits).
			Exec(func(files int64) error {
				b.Routine(files == 0) // they are in the trash, which is emptied soon
				return nil
			})
	}
}

// keepRefs takes the references of what is stored in the end: several writes may be to one record, and some change
// nothing.
func (p *pending) keepRefs() error {
	for i := range p.puts {
		refs, err := blobsOf(p.puts[i].path, p.puts[i].value)
		if err != nil {
			return err
		}
		p.refs = append(p.refs, refs...)
	}
	return nil
}
