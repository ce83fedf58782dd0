package act

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/repo/repodb"
)

// Drilled is what a drill found.
type Drilled struct {
	Header   archive.Header
	Manifest archive.Manifest
	Loaded   archive.Loaded
	Repos    int64
	Problems []string // the first of them
	Found    int64    // problems
}

// OK tells whether a restore of the archive would bring back all that was there.
func (d Drilled) OK() bool { return d.Found == 0 }

// maxDrillProblems bounds those that are told.
const maxDrillProblems = 100

func (d *Drilled) problem(format string, a ...any) {
	if d.Found++; d.Found <= maxDrillProblems {
		d.Problems = append(d.Problems, fmt.Sprintf(format, a...))
	}
}

// Drill restores an archive into a schema beside the tenants, that nobody is served from, proves its repositories, files
// and stream, and takes the schema away. No file is put anywhere and no event sent. What it shows of a tenant that is here is
// noted: [ReadProofs].
func (a *Archives) Drill(ctx context.Context, by Operator, r Restore, repos *repodb.Store) (Drilled, error) {
	out, err := a.tried(ctx, r, repos)
	return out, errors.Join(err, a.proved(ctx, by, r, out, err))
}

// scratchOf is the schema of a drill. That of a job has its name, so that whoever goes on with a dead process's work finds
// what it left.
func scratchOf(work string) (db.Schema, error) {
	if work == "" {
		work = rand.Text()
	}
	name := sha256.Sum256([]byte(work))
	return db.ParseSchema("t_drill_" + hex.EncodeToString(name[:8]))
}

func (a *Archives) tried(ctx context.Context, r Restore, repos *repodb.Store) (out Drilled, err error) {
	err = a.read(r, func(in io.Reader) (err error) {
		out.Header, out.Manifest, err = a.store.Check(ctx, in, r.Progress)
		return err
	})
	if err != nil {
		return out, err
	}
	scratch, err := scratchOf(r.Job)
	if err != nil {
		return out, err
	}
	if err := a.store.Clear(ctx, scratch); err != nil { // an attempt before this one may have died
		return out, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, a.store.Clear(ctx, scratch))
	}()
	err = a.read(r, func(in io.Reader) (err error) {
		out.Header, out.Loaded, err = a.store.Load(ctx, in, archive.Target{Rows: scratch, Owner: scratch, Prove: true, Progress: r.Progress})
		return err
	})
	if err != nil {
		return out, err
	}
	if n := out.Loaded.BlobsMissing; n > 0 && out.Header.Blobs != archive.BlobsNone {
		out.problem("%d files cannot be had", n)
	}
	if n := out.Loaded.BlobsWrong; n > 0 {
		out.problem("%d files are not what their rows say", n)
	}
	err = repos.CheckTenant(ctx, scratch, func(one repodb.Report) error {
		if one.AID != 0 {
			out.Repos++
		}
		r.Progress("checking repositories", out.Repos, 0)
		for _, p := range one.Problems {
			out.problem("%s: %s", one.DID, p)
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	_, err = a.store.Blobs.Verify(ctx, scratch, blob.VerifyOptions{RowsOnly: true}, func(p blob.Problem) error {
		out.problem("file %s %s: %s", p.DID, p.CID, p.Text)
		return nil
	})
	return out, err
}
