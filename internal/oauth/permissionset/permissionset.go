// Package permissionset finds the permission sets that scopes include: lexicons that their authors publish in their
// repositories. A set is believed as far as the author's key has signed it.
//
// What was found is kept for long, because what people granted must not end with a server that is away: a set of the last
// day is good, one of the last ninety is better than none.
// spec: permission#resolution-and-caching
package permissionset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/singleflight"

	"github.com/auroralocus/locus/internal/cache"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/oauth/scope"
	"github.com/auroralocus/locus/internal/outbound"
	"github.com/auroralocus/locus/repo"
	"github.com/auroralocus/locus/repo/car"
	"github.com/auroralocus/locus/repo/dagcbor"
	"github.com/auroralocus/locus/repo/mst"
)

// ErrNotFound: there is no such set, or nobody can be asked for it at the moment.
var ErrNotFound = errors.New("permission set not found")

// Collection is where lexicons are published.
const Collection = "com.atproto.lexicon.schema"

// How long sets are kept. Known sets are asked for again after fresh, behind the caller's back; a failure is forgotten
// soon, because a set that was just published must not look missing.
const (
	fresh     = time.Hour
	stale     = 24 * time.Hour
	usable    = 90 * 24 * time.Hour
	failed    = 30 * time.Second
	fetchTime = 10 * time.Second
	maxProof  = 1 << 20

	cacheBytes = 16 << 20
)

// Config is what a finder works with.
type Config struct {
	Documents *identity.Resolver
	HTTP      *http.Client // made by outbound
	// Local reads a record of a DID that this deployment hosts, straight from the store. hosted is false for others.
	Local func(ctx context.Context, pds *url.URL, did, path string) (block []byte, hosted bool, err error)
	Now   func() time.Time
}

// Finder finds sets, and remembers them. One serves all tenants: what it knows is public. It is safe for concurrent use.
type Finder struct {
	cfg    Config
	flight singleflight.Group

	mu   sync.Mutex
	kept *cache.Cache[string, found]
}

type found struct {
	set   *scope.PermissionSet
	at    time.Time // when it was found; zero: never
	tried time.Time
	err   error // of the last attempt
}

// New makes a finder.
func New(cfg Config) *Finder {
	return &Finder{cfg: cfg, kept: cache.New[string, found](cacheBytes, cfg.Now)}
}

// Find is the set with an NSID. who pays for what has to be asked. Errors: [ErrNotFound].
func (f *Finder) Find(ctx context.Context, who identity.Asker, nsid string) (*scope.PermissionSet, error) {
	f.mu.Lock()
	had, ok := f.kept.Get(nsid)
	f.mu.Unlock()
	now := f.cfg.Now()
	age := now.Sub(had.at)
	switch {
	case ok && had.set != nil && age < fresh:
		return had.set, nil
	case ok && had.set == nil && now.Sub(had.tried) < failed:
		return nil, had.err
	case ok && had.set != nil && now.Sub(had.tried) < failed && age < usable:
		return had.set, nil
	case ok && had.set != nil && age < stale:
		f.ask(who, nsid) // the next one has the answer
		return had.set, nil
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %s: %w", ErrNotFound, nsid, ctx.Err())
	case r := <-f.ask(who, nsid):
		got := r.Val.(found)
		if got.set == nil {
			return nil, got.err
		}
		return got.set, nil
	}
}

// ask looks a set up once for all who wait. What was known stays while nothing better comes, for as long as it is usable.
func (f *Finder) ask(who identity.Asker, nsid string) <-chan singleflight.Result {
	return f.flight.DoChan(nsid, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
		defer cancel()
		set, err := f.look(ctx, who, nsid)
		now := f.cfg.Now()
		f.mu.Lock()
		defer f.mu.Unlock()
		had, _ := f.kept.Get(nsid)
		got := found{set: set, at: now, tried: now}
		if err != nil {
			got = found{tried: now, err: fmt.Errorf("%w: %s: %w", ErrNotFound, nsid, err)}
			if had.set != nil && now.Sub(had.at) < usable {
				got.set, got.at = had.set, had.at
			}
		}
		f.kept.Put(who.Scope, nsid, got, got.bytes())
		return got, nil
	})
}

func (f *found) bytes() int64 {
	n := int64(512)
	if f.set != nil {
		n += int64(f.set.Bytes())
	}
	return n
}

// look asks DNS whose set it is, and that DID's server for the record with its proof.
func (f *Finder) look(ctx context.Context, who identity.Asker, nsid string) (*scope.PermissionSet, error) {
	did, err := f.cfg.Documents.LexiconAuthority(ctx, who, nsid)
	if err != nil {
		return nil, err
	}
	doc, err := f.cfg.Documents.Resolve(ctx, who, did)
	if err != nil {
		return nil, err
	}
	pds, err := url.Parse(doc.PDS())
	if err != nil || pds.Host == "" {
		return nil, fmt.Errorf("%s has no server", did)
	}
	path := Collection + "/" + nsid
	block, hosted, err := f.cfg.Local(ctx, pds, did, path)
	if err == nil && !hosted {
		block, err = f.fetch(ctx, pds, doc, did, path)
	}
	if err != nil {
		return nil, err
	}
	text, err := dagcbor.ToJSON(nil, block)
	if err != nil {
		return nil, err
	}
	set, err := scope.ParsePermissionSet(text)
	if err != nil {
		return nil, err
	}
	if set.NSID != nsid {
		return nil, fmt.Errorf("%w: its id is %s", scope.ErrNoPermissionSet, set.NSID)
	}
	return set, nil
}

// fetch gets a record with the proof that it is in the repository, and holds that against the DID's key.
func (f *Finder) fetch(ctx context.Context, pds *url.URL, doc *identity.Document, did, path string) ([]byte, error) {
	collection, rkey, err := repo.ParsePath(path)
	if err != nil {
		return nil, err
	}
	at := pds.JoinPath("/xrpc/com.atproto.sync.getRecord")
	at.RawQuery = url.Values{"did": {did}, "collection": {collection}, "rkey": {rkey}}.Encode()
	proof, _, err := outbound.Fetch(ctx, f.cfg.HTTP, at.String(), "application/vnd.ipld.car", maxProof)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", pds.Host, err)
	}
	return prove(proof, doc, did, path)
}

// prove takes a record out of an archive that proves it.
// spec: sync#record-level-synchronization
func prove(proof []byte, doc *identity.Document, did, path string) ([]byte, error) {
	r, err := car.NewReader(bytes.NewReader(proof), car.Limits{})
	if err != nil {
		return nil, err
	}
	if len(r.Roots()) != 1 {
		return nil, errors.New("the proof has not one root")
	}
	blocks := map[cid.Cid][]byte{}
	for {
		c, block, err := r.Next() // which checks the digest
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		blocks[c] = block
	}
	commit, err := repo.DecodeCommit(blocks[r.Roots()[0]])
	if err != nil {
		return nil, err
	}
	key, err := doc.Key(identity.KeyAtproto)
	if err != nil {
		return nil, err
	}
	if commit.DID != did {
		return nil, errors.New("the proof is of another repository")
	}
	if err := commit.Verify(key); err != nil {
		return nil, err
	}
	_, value, err := mst.Path(commit.Data, func(c cid.Cid) ([]byte, error) {
		if b, ok := blocks[c]; ok {
			return b, nil
		}
		return nil, fmt.Errorf("the proof lacks %s", c)
	}, path)
	if err != nil {
		return nil, err
	}
	block, ok := blocks[value]
	if !value.Defined() || !ok {
		return nil, errors.New("there is no such record")
	}
	return block, dagcbor.Validate(block)
}
