package dagcbor

import "github.com/ipfs/go-cid"

// BlobShape is how a record speaks of a blob.
type BlobShape uint8

const (
	// BlobToday is $type, ref, mimeType and size, and nothing else.
	BlobToday BlobShape = iota
	// BlobOld is {cid, mimeType}, or today's fields with one that is absent or of an older form: no size or -1, no
	// mimeType, a ref that is text or a map with $link. [RenewBlobs] can bring it into today's shape.
	BlobOld
	// BlobOdd calls itself a blob, names one, and has fields that blobs have not.
	BlobOdd
)

// A BlobRef is a blob that a record speaks of.
type BlobRef struct {
	CID      cid.Cid
	MimeType string // "" when it is not said
	Size     int64  // -1 when it is not said
	Shape    BlobShape
}

// Blobs gives the blobs a record speaks of in any shape, in the order they stand in the block, repeated ones repeated.
// The block is checked as [ValidateForeign] does. A map that calls itself a blob and names none is none.
func Blobs(cbor []byte) ([]BlobRef, error) {
	found, err := blobsIn(cbor)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	out := make([]BlobRef, len(found))
	for i := range found {
		out[i] = found[i].BlobRef
	}
	return out, nil
}

// RenewBlobs gives the record with its blobs of the shape BlobOld in today's shape, with the type and the size that
// known has for them; those it does not know stay as they are. renewed says how many are not any more.
//
// spec: data-model#blob-type
func RenewBlobs(cbor []byte, known func(BlobRef) (mimeType string, size int64, ok bool)) (out []byte, renewed int, err error) {
	found, err := blobsIn(cbor)
	if err != nil {
		return nil, 0, err
	}
	at := 0
	for _, f := range found {
		if f.Shape != BlobOld {
			continue
		}
		mime, size, ok := known(f.BlobRef)
		if !ok {
			continue
		}
		out = append(out, cbor[at:f.start]...)
		out = AppendMapHead(out, 4)
		out = AppendLink(AppendText(out, "ref"), f.CID)
		out = AppendInt(AppendText(out, "size"), size)
		out = AppendText(AppendText(out, "$type"), "blob")
		out = AppendText(AppendText(out, "mimeType"), mime)
		at = f.end
		renewed++
	}
	if renewed == 0 {
		return cbor, 0, nil
	}
	return append(out, cbor[at:]...), renewed, nil
}

// foundBlob is a blob and where it stands.
type foundBlob struct {
	BlobRef
	start, end int
}

func blobsIn(cbor []byte) ([]foundBlob, error) {
	if err := validate(cbor, true); err != nil {
		return nil, err
	}
	r := NewReader(cbor)
	var found []foundBlob
	if err := findBlobs(&r, &found); err != nil {
		return nil, err
	}
	return found, nil
}

func findBlobs(r *Reader, found *[]foundBlob) error {
	switch r.Major() {
	case MajorArray:
		n, err := r.Array()
		for ; n > 0 && err == nil; n-- {
			err = findBlobs(r, found)
		}
		return err
	case MajorMap:
		return findBlobsInMap(r, found)
	}
	return r.skipChecked()
}

func findBlobsInMap(r *Reader, found *[]foundBlob) error {
	start, inside := r.i, len(*found)
	n, err := r.Map()
	if err != nil {
		return err
	}
	if n == 2 {
		behind := r.i
		if raw, mime, ok := readLegacyBlob(r); ok {
			if c, err := cid.Cast(raw); err == nil {
				*found = append(*found, foundBlob{BlobRef{c, string(mime), -1, BlobOld}, start, r.i})
				return nil
			}
		}
		r.i = behind
	}
	b := BlobRef{Size: -1}
	called, extra, today := false, false, n == 4
	for ; n > 0; n-- {
		k, err := r.str(MajorText)
		if err != nil {
			return err
		}
		value := *r
		if err := findBlobs(r, found); err != nil {
			return err
		}
		ok := true
		switch string(k) {
		case "$type":
			called = value.isKey("blob")
		case "ref":
			b.CID, ok = value.blobLink()
		case "mimeType":
			var text []byte
			text, err = value.Text()
			b.MimeType, ok = string(text), err == nil && len(text) > 0
		case "size":
			var size int64
			if size, err = value.Int(); err == nil && size >= 0 {
				b.Size = size
			} else {
				ok = false
			}
		default:
			extra = true
		}
		today = today && ok
	}
	switch {
	case !called || !b.CID.Defined():
		return nil
	case extra:
		b.Shape = BlobOdd
	case !today:
		b.Shape = BlobOld
	}
	*found = append((*found)[:inside], foundBlob{b, start, r.i})
	return nil
}

// blobLink reads what a blob's ref may be: a link, which alone is today's, or a CID as text or as {"$link": text}.
func (r *Reader) blobLink() (c cid.Cid, today bool) {
	switch r.Major() {
	case MajorTag:
		c, err := r.Link()
		return c, err == nil
	case MajorMap:
		if n, err := r.Map(); err != nil || n != 1 || !r.isKey("$link") {
			return cid.Undef, false
		}
	}
	s, err := r.Text()
	if err != nil {
		return cid.Undef, false
	}
	raw, ok := parseCID(nil, s)
	if !ok {
		return cid.Undef, false
	}
	if c, err = cid.Cast(raw); err != nil {
		return cid.Undef, false
	}
	return c, false
}
