package blob

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/repodb"
)

// model is what an account should have.
type model struct {
	owner   Owner
	records map[string][]int   // by key: the blobs it refers to
	blobs   map[int]*modelBlob // there
	down    map[int]bool       // taken down
	saved   []byte             // an archive of the repository, and the records in it
	savedIs map[string][]int
}

func newModel(o Owner) *model {
	return &model{owner: o, records: map[string][]int{}, blobs: map[int]*modelBlob{}, down: map[int]bool{}}
}

type modelBlob struct{ at time.Time }

func (m *model) referenced(n int) bool {
	for _, refs := range m.records {
		for _, r := range refs {
			if r == n {
				return true
			}
		}
	}
	return false
}

// collect removes what lost its last reference among these.
func (m *model) collect(candidates []int) {
	for _, n := range candidates {
		if m.blobs[n] != nil && !m.referenced(n) && !m.down[n] {
			delete(m.blobs, n)
		}
	}
}

// TestProperty lets accounts upload, refer, replace, delete, wait, import what they were before, be deleted, and have
// blobs taken down in any order. After each step
// the counters are the truth, and what is served is what the model says; in the end verify finds nothing.
func TestProperty(t *testing.T) {
	t.Parallel()
	t.Run("marks", func(t *testing.T) { walk(t, newBed(t, "")) })
	t.Run("journal", func(t *testing.T) { walk(t, journaled(t, 100_000)) })
}

func walk(t *testing.T, b *bed) {
	data := make([][]byte, 6)
	infos := make([]Info, len(data))
	for i := range data {
		data[i] = fmt.Appendf(nil, "blob number %d %s", i, bytes.Repeat([]byte("x"), i*i*100))
		infos[i] = Info{CID: dagcbor.RawCID(data[i]), MimeType: "application/octet-stream", Size: int64(len(data[i]))}
	}
	rapid.Check(t, func(r *rapid.T) {
		accounts := []*model{}
		for range 2 {
			accounts = append(accounts, newModel(b.account()))
		}
		blobs := rapid.SliceOfN(rapid.IntRange(0, len(data)-1), 0, 3)
		key := rapid.SampledFrom([]string{"a", "b", "c"})
		who := rapid.SampledFrom(accounts)
		ctx := t.Context()
		r.Repeat(map[string]func(*rapid.T){
			"upload": func(r *rapid.T) {
				m, n := who.Draw(r, "who"), rapid.IntRange(0, len(data)-1).Draw(r, "blob")
				_, err := b.blobs.Upload(ctx, Upload{Owner: m.owner}, bytes.NewReader(data[n]))
				if m.down[n] {
					if !errors.Is(err, ErrTakendown) {
						r.Fatalf("upload of what is taken down: %v", err)
					}
					return
				}
				if err != nil {
					r.Fatal(err)
				}
				m.blobs[n] = &modelBlob{b.now()}
			},
			"write": func(r *rapid.T) {
				m, k, refs := who.Draw(r, "who"), key.Draw(r, "key"), blobs.Draw(r, "refs")
				list := make([]Info, len(refs))
				ok := true
				for i, n := range refs {
					list[i] = infos[n]
					ok = ok && m.blobs[n] != nil && !m.down[n]
				}
				err := b.write(m.owner, k, record(fmt.Sprint(b.now().UnixNano()), list...))
				if !ok {
					if !errors.Is(err, repodb.ErrBlobNotFound) {
						r.Fatalf("write to missing blobs: %v", err)
					}
					return
				}
				if err != nil {
					r.Fatal(err)
				}
				old := m.records[k]
				m.records[k] = refs
				m.collect(old)
			},
			"delete": func(r *rapid.T) {
				m, k := who.Draw(r, "who"), key.Draw(r, "key")
				if err := b.write(m.owner, k, nil); err != nil {
					r.Fatal(err)
				}
				old := m.records[k]
				delete(m.records, k)
				m.collect(old)
			},
			"take down or restore": func(r *rapid.T) {
				m, n := who.Draw(r, "who"), rapid.IntRange(0, len(data)-1).Draw(r, "blob")
				var ref *string
				if !m.down[n] {
					ref = new("x")
				}
				found, err := b.blobs.SetTakedown(ctx, b.schema, m.owner.AID, infos[n].CID, ref)
				if err != nil || found != (m.blobs[n] != nil) {
					r.Fatalf("take down: %v %v", found, err)
				}
				if found {
					m.down[n] = !m.down[n]
					if ref == nil {
						m.blobs[n].at = b.now()
					}
				}
			},
			"save": func(r *rapid.T) {
				m := who.Draw(r, "who")
				var archive bytes.Buffer
				if err := b.repos.Export(ctx, nil, b.schema, m.owner.AID, 0, &archive); err != nil {
					r.Fatal(err)
				}
				m.saved, m.savedIs = archive.Bytes(), maps.Clone(m.records)
			},
			"import": func(r *rapid.T) {
				m := who.Draw(r, "who")
				if m.saved == nil {
					return
				}
				// Its records may refer to blobs that are gone by now: those are missing.
				if err := b.repos.Import(ctx, nil, b.schema, m.owner.AID, m.owner.DID, repodb.Quota{}, bytes.NewReader(m.saved)); err != nil {
					r.Fatal(err)
				}
				var old []int
				for _, refs := range m.records {
					old = append(old, refs...)
				}
				m.records = maps.Clone(m.savedIs)
				m.collect(old)
			},
			"delete the account": func(r *rapid.T) {
				if rapid.IntRange(0, 4).Draw(r, "sure") > 0 {
					return
				}
				m := who.Draw(r, "who")
				done := false
				for first := true; !done; first = false {
					err := b.db.Tenant(b.schema).Tx(ctx, func(q *tenantdb.Queries) (err error) {
						if first {
							if _, err = account.Delete(ctx, q, b.now(), m.owner.AID); err != nil {
								return err
							}
						}
						done, err = account.Purge(ctx, q, m.owner.AID)
						return err
					})
					if err != nil {
						r.Fatal(err)
					}
				}
				if n := b.count("SELECT (SELECT count(*) FROM pds.blob WHERE aid = $1) + (SELECT count(*) FROM pds.record_blob WHERE aid = $1) + (SELECT count(*) FROM pds.blob_usage WHERE aid = $1)", m.owner.AID); n != 0 {
					r.Fatalf("%d rows of a deleted account", n)
				}
				if _, err := b.blobs.Upload(ctx, Upload{Owner: m.owner}, bytes.NewReader(data[0])); !errors.Is(err, ErrNoAccount) {
					r.Fatalf("upload of a deleted account: %v", err)
				}
				*m = *newModel(b.account())
			},
			"wait": func(r *rapid.T) {
				b.ahead.Add(int64(13 * time.Hour))
				if err := b.blobs.Expire(ctx, b.schema, 24*time.Hour); err != nil {
					r.Fatal(err)
				}
				b.emptyTrash()
				for _, m := range accounts {
					for n, blob := range m.blobs {
						if !m.referenced(n) && !m.down[n] && b.now().Sub(blob.at) > 24*time.Hour {
							delete(m.blobs, n)
						}
					}
				}
			},
			"": func(r *rapid.T) {
				for _, m := range accounts {
					held, bytes, missing := int64(0), int64(0), 0
					for n := range data {
						want := m.blobs[n] != nil && m.referenced(n) && !m.down[n]
						_, err := b.blobs.Get(ctx, b.schema, m.owner.AID, infos[n].CID)
						if got := err == nil; got != want || err != nil && !errors.Is(err, ErrNotFound) {
							r.Fatalf("account %d, blob %d is served: %v %v, want %v", m.owner.AID, n, got, err, want)
						}
						if want := m.blobs[n] == nil && m.referenced(n); want {
							missing++
						}
						if m.blobs[n] != nil {
							held++
							bytes += infos[n].Size
						}
					}
					u, err := UsageOf(ctx, b.db.Tenant(b.schema).Q(), m.owner.AID)
					if err != nil || u.Held != held || u.Bytes != bytes {
						r.Fatalf("account %d: %+v %v, want %d blobs of %d bytes", m.owner.AID, u, err, held, bytes)
					}
					if list, err := b.blobs.ListMissing(ctx, b.schema, m.owner.AID, cid.Undef, 100); err != nil || len(list) != missing {
						r.Fatalf("account %d: %v are missing, %v, want %d", m.owner.AID, list, err, missing)
					}
				}
			},
		})
	})
	b.emptyTrash()
	b.clean()
}
