package handlers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/picture"
)

// imagePages serve smaller copies of pictures: /img/<preset>/<did>/<cid>@<format>. They show no more than getBlob does.
type imagePages struct {
	actors   *account.Cache
	blobs    *blob.Blobs
	pictures *picture.Maker
}

func (p imagePages) register(g *xrpc.Group) {
	xrpc.Page(g, "GET /img/{preset}/{did}/{name}", p.serve)
}

func (p imagePages) serve(v xrpc.Visitor, w http.ResponseWriter, r *http.Request) error {
	t := v.Tenant
	preset, known := picture.FindPreset(r.PathValue("preset"))
	text, format, _ := strings.Cut(r.PathValue("name"), "@")
	f := picture.Format(format)
	if format == "" {
		f = picture.JPEG
	}
	c, err := cid.Decode(text)
	if !known || err != nil || f != picture.JPEG && f != picture.WebP || !t.Settings.ImageVariants {
		return xrpc.Refuse(http.StatusNotFound, "NotFound", "nothing is served here")
	}
	a, err := p.actors.ByDID(r.Context(), t.Schema, r.PathValue("did"), account.Fresh)
	if errors.Is(err, account.ErrNotFound) || err == nil && (a.TakenDown || a.Deactivated) {
		return xrpc.Refuse(http.StatusNotFound, "NotFound", "No such picture")
	}
	if err != nil {
		return err
	}
	// Asked each time, also for a copy that is there: it may have been deleted or taken down.
	if _, err := p.blobs.Get(r.Context(), t.Schema, a.AID, c); errors.Is(err, blob.ErrNotFound) {
		return xrpc.Refuse(http.StatusNotFound, "NotFound", "No such picture")
	} else if err != nil {
		return err
	}
	file, err := p.pictures.Open(r.Context(), t.Schema.String(), c.String(), preset, f, func(ctx context.Context) (io.ReadSeekCloser, error) {
		opened, err := p.blobs.Open(ctx, t.Schema, a.AID, c)
		if err != nil {
			return nil, err
		}
		return opened.ReadSeekCloser, nil // a disk's is a file, and read from where it is
	})
	if err != nil {
		return err
	}
	defer file.Close()
	h := w.Header()
	safeFile(h, f.Type())
	h.Set("ETag", `"`+c.String()+"."+preset.Name+"."+string(f)+`"`)
	h.Set("Cache-Control", blobAge)
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	knownRange(r)
	http.ServeContent(&fileAnswer{ResponseWriter: w}, r, "", time.Time{}, file)
	return nil
}
