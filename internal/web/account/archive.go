package account

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/ipfs/go-cid"

	"github.com/auroralocus/locus/internal/blob"
)

// archiveFiles is how many files one archive holds: its list is in memory until the end. Who has more gets several
// archives, the first of which has everything else.
const archiveFiles = 20_000

// filePage is how many files are listed at a time.
const filePage = 500

// archive is everything of an account, or the files behind a CID, as it is written.
type archive struct {
	repo        func(io.Writer) error // nil: not this time
	preferences []jsontext.Value
	document    any // the DID document; nil: it could not be had
	files       func(ctx context.Context, after cid.Cid) ([]cid.Cid, error)
	open        func(ctx context.Context, c cid.Cid) (*blob.Opened, error)
	after       cid.Cid
	at          time.Time
}

// write writes the archive as a ZIP file, one part after the other: in memory are a buffer, and the list of what was
// written. Nothing is compressed: most files are already, and time costs more than room.
func (a *archive) write(ctx context.Context, w io.Writer) error {
	z := zip.NewWriter(w)
	if a.repo != nil {
		if err := a.head(z); err != nil {
			return err
		}
	}
	lost, err := a.writeFiles(ctx, z)
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		if err := a.put(z, "missing.txt", func(w io.Writer) error {
			for _, c := range lost {
				if _, err := fmt.Fprintln(w, c); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return z.Close()
}

// head is all that is no file.
func (a *archive) head(z *zip.Writer) error {
	if err := a.put(z, "repo.car", a.repo); err != nil {
		return err
	}
	if err := a.put(z, "preferences.json", asJSON(preferencesOf(a.preferences))); err != nil {
		return err
	}
	if a.document == nil {
		return nil
	}
	return a.put(z, "did.json", asJSON(a.document))
}

// writeFiles writes what records refer to, in the order of their CIDs. lost are those that the store does not have.
func (a *archive) writeFiles(ctx context.Context, z *zip.Writer) (lost []cid.Cid, err error) {
	after, n := a.after, 0
	for {
		page, err := a.files(ctx, after)
		if err != nil || len(page) == 0 {
			return lost, err
		}
		for _, c := range page {
			if n++; n > archiveFiles {
				return lost, nil
			}
			switch err := a.writeFile(ctx, z, c); {
			case errors.Is(err, blob.ErrNotFound): // deleted since it was listed
			case errors.Is(err, blob.ErrLost):
				lost = append(lost, c)
			case err != nil:
				return nil, err
			}
		}
		after = page[len(page)-1]
	}
}

func (a *archive) writeFile(ctx context.Context, z *zip.Writer, c cid.Cid) error {
	f, err := a.open(ctx, c)
	if err != nil {
		return err
	}
	defer f.Close()
	return a.put(z, "blobs/"+c.String()+ending(f.MimeType), func(w io.Writer) error {
		_, err := io.Copy(w, f)
		if err != nil {
			return fmt.Errorf("copy file %s: %w", c, err)
		}
		return nil
	})
}

func (a *archive) put(z *zip.Writer, name string, write func(io.Writer) error) error {
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: a.at})
	if err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	return write(w)
}

// preferencesOf is the form in which getPreferences answers, so that putPreferences takes it elsewhere.
func preferencesOf(items []jsontext.Value) any {
	return struct {
		Preferences []jsontext.Value `json:"preferences"`
	}{items}
}

func asJSON(v any) func(io.Writer) error {
	return func(w io.Writer) error { return json.MarshalWrite(w, v, jsontext.WithIndent("  ")) }
}

// ending is what a file's name ends with, so that a desktop knows what it is. Types that nobody looks at have none.
func ending(mime string) string {
	switch mime {
	case "image/jpeg":
		return ".jpg"
	case "image/png", "image/webp", "image/gif", "image/avif", "video/mp4", "video/webm", "audio/ogg", "audio/flac":
		_, kind, _ := strings.Cut(mime, "/")
		return "." + kind
	case "video/quicktime":
		return ".mov"
	case "audio/mpeg":
		return ".mp3"
	case "text/vtt":
		return ".vtt"
	case "application/pdf":
		return ".pdf"
	}
	return ""
}
