package handlers

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/blob"
)

// getBlob serves a blob that a record names, whole or in part. Whatever it holds, a browser neither runs nor shows it as
// a page of this host.
// spec: lexicon com.atproto.sync.getBlob
func (m syncMethods) getBlob(ctx context.Context, v xrpc.ViewerCaller, in *syncGetBlobInput) (*syncGetBlobOutput, error) {
	c, err := cid.Decode(string(in.CID))
	if err != nil {
		return nil, xrpc.Invalid("cid is not a CID")
	}
	a, err := m.readable(ctx, v, in.DID)
	if err != nil {
		return nil, err
	}
	if to, err := m.blobElsewhere(ctx, v, a, c); to != "" || err != nil {
		return xrpc.HandOver(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "private, max-age=60")
			http.Redirect(w, r, to, http.StatusFound)
		}), err
	}
	f, err := m.blobs.Open(ctx, v.Tenant.Schema, a.AID, c)
	if err != nil {
		return nil, err
	}
	return xrpc.HandOver(func(w http.ResponseWriter, r *http.Request) {
		defer f.Close()
		serveBlob(w, r, f)
	}), nil
}

// blobElsewhere is where the tenant wants the public sent for a blob, "" for here. Whoever sees more than the public is
// served here.
func (m syncMethods) blobElsewhere(ctx context.Context, v xrpc.ViewerCaller, a account.Actor, c cid.Cid) (string, error) {
	setting := v.Tenant.Settings.BlobRedirect
	if setting == "" || v.Account != nil || v.Operator {
		return "", nil
	}
	if setting == "presigned" {
		if v.Verb() == http.MethodHead { // the signature is one for GET
			return "", nil
		}
		return m.blobs.Presigned(ctx, v.Tenant.Schema, a.AID, c)
	}
	if _, err := m.blobs.Get(ctx, v.Tenant.Schema, a.AID, c); err != nil {
		return "", err
	}
	return strings.NewReplacer("{did}", url.PathEscape(a.DID), "{cid}", c.String()).Replace(setting), nil
}

// blobAge is how long caches may keep a blob without asking. Its bytes never change, but it may be deleted or taken down.
const blobAge = "public, max-age=3600"

// maxRanges is how many parts of a file one request may ask for, each of which is a request to S3. Whoever wants more gets
// the whole.
// spec: RFC 9110 section 14.2
const maxRanges = 16

// knownRange takes a Range away that is not to be followed: of another verb than GET, of a unit other than bytes, of too
// many parts. The answer is then the whole.
// spec: RFC 9110 section 14.2
func knownRange(r *http.Request) {
	asked := r.Header.Get("Range")
	unit, parts, ok := strings.Cut(asked, "=")
	switch {
	case asked == "":
	case r.Method != http.MethodGet || !ok || !strings.EqualFold(unit, "bytes") || strings.Count(parts, ",") >= maxRanges:
		r.Header.Del("Range")
	default:
		r.Header.Set("Range", "bytes="+parts) // units have no case; net/http's does
	}
}

// serveBlob answers with a blob's bytes: Range, If-None-Match, HEAD, and sendfile from a disk.
func serveBlob(w http.ResponseWriter, r *http.Request, f *blob.Opened) {
	h := w.Header()
	name := f.CID.String()
	safeFile(h, f.ServedAs())
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("ETag", `"`+name+`"`)
	if h.Get("Cache-Control") == "" { // the gate says "private" to those who signed in
		h.Set("Cache-Control", blobAge)
	}
	knownRange(r)
	var content io.ReadSeeker = f.ReadSeekCloser // an *os.File of a disk's: net/http hands it to the kernel
	http.ServeContent(&fileAnswer{ResponseWriter: w}, r, "", time.Time{}, content)
}

// safeFile sets a stranger's file's type and what keeps browsers from doing anything with it.
func safeFile(h http.Header, contentType string) {
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
}

// fileAnswer gives the refusals of http.ServeContent the form of every error here, and lets the kernel copy files.
type fileAnswer struct {
	http.ResponseWriter
	refused bool
}

func (p *fileAnswer) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// WriteHeader lets nobody keep a refusal for as long as the file, and gives it the form of every error here.
func (p *fileAnswer) WriteHeader(status int) {
	if status < 400 {
		p.ResponseWriter.WriteHeader(status)
		return
	}
	p.refused = true
	p.Header().Del("Cache-Control")
	message := "This file has no such part"
	if status == http.StatusPreconditionFailed {
		message = "This file is not what the condition says"
	}
	xrpc.WriteError(p.ResponseWriter, xrpc.Refuse(status, "", "%s", message))
}

func (p *fileAnswer) Write(b []byte) (int, error) {
	if p.refused {
		return len(b), nil // net/http's own text
	}
	return p.ResponseWriter.Write(b)
}

func (p *fileAnswer) ReadFrom(src io.Reader) (int64, error) {
	if to, ok := p.ResponseWriter.(io.ReaderFrom); ok {
		return to.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{p}, src)
}
