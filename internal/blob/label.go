package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/tenantdb"
)

// A place carries a label whose id the database knows (control.blob_place): an object beside the files. A name alone
// tells nothing: data: is another folder on another machine, the folder of a disk that is not mounted is an empty one,
// and who takes what is not there for lost deletes rows of files that exist. So nothing is read from a place, put into it,
// deleted from it or called lost unless it carries its label.
//
// The label is made when a place is first used. It is offered first (a name that does not count), then the database
// takes the first that comes, then it counts: a crash in between leaves an offer that the database knows, in the place
// that it is of.

// labelPrefix begins the names of labels, beside the tenants' folders; an offered one ends in labelOffer.
const (
	labelPrefix = ".locus-place-"
	labelOffer  = ".new"
)

const (
	// labelTrust is how long a process goes by what the database said a place's label is.
	labelTrust = 10 * time.Second
	// labelAgain is how long it is not asked again, nor the place looked at, after the label was not found.
	labelAgain = time.Second
	// labelSample is how many files an older place is asked for before it is labelled.
	labelSample = 20
)

// labelText is what a label's object says to those who find it.
const labelText = "This tells an Aurora Locus server that this is its place for files. Do not delete it, and do not copy it to another place.\n"

// labelled is what a process knows of a place's label.
type labelled struct {
	known atomic.Pointer[knownLabel]

	mu     sync.Mutex
	away   bool // that it is not there was said
	looked time.Time
	err    error // what came of it
}

type knownLabel struct {
	id    string
	until time.Time
}

// present says whether a folder is the one that the database knows; [ErrAway]. A bucket is taken for it: see near.
func (s *Store) present(ctx context.Context, p *place) error {
	if !p.near() {
		return nil
	}
	if p.recent(ctx) {
		return nil
	}
	return s.look(ctx, p)
}

// recent says whether the label that the database lately had is there.
func (p *place) recent(ctx context.Context) bool {
	k := p.label.known.Load()
	return k != nil && time.Now().Before(k.until) && p.hasLabel(ctx, k.id) == nil
}

// look asks the database for the label and looks for it, and says when that came out otherwise than before.
func (s *Store) look(ctx context.Context, p *place) error {
	l := &p.label
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.looked) < labelAgain {
		return l.err
	}
	if p.recent(ctx) { // somebody looked meanwhile
		return nil
	}
	id, err := s.labelOf(ctx, p)
	if err == nil {
		err = s.find(ctx, p, id)
	}
	if err != nil && ctx.Err() != nil {
		return err // it is this caller's, not the place's
	}
	l.looked, l.err = time.Now(), err
	switch {
	case err == nil:
		l.looked = time.Time{}
		l.known.Store(&knownLabel{id, time.Now().Add(labelTrust)})
		if l.away {
			l.away = false
			s.log.Info("the place of files is there again", "place", p.location)
		}
	case errors.Is(err, ErrAway):
		l.known.Store(nil)
		if !l.away {
			l.away = true
			s.log.Error("a place of files is not the one that the database knows: nothing is served from it or changed in it until it is there", "err", err)
		}
	}
	return err
}

// surely says that a place carries its label at this moment, before what is not in it is called lost.
func (s *Store) surely(ctx context.Context, p *place) error {
	k := p.label.known.Load()
	if k == nil {
		return s.look(ctx, p)
	}
	err := p.hasLabel(ctx, k.id)
	if errors.Is(err, errMissing) {
		return s.look(ctx, p)
	}
	return err
}

// find looks for a label that the database knows.
func (s *Store) find(ctx context.Context, p *place, id string) error {
	err := p.hasLabel(ctx, id)
	if errors.Is(err, errMissing) { // offered by one that died before it counted
		if err = p.fixLabel(ctx, id); errors.Is(err, errMissing) {
			err = p.hasLabel(ctx, id) // by another at this moment
		}
	}
	switch {
	case err == nil:
		return p.prepare(id)
	case errors.Is(err, errMissing):
		return fmt.Errorf("%w: %s (%s) has no %s%s: it is another folder or bucket, or its disk is not mounted. If it is the right one, 'locus blob adopt-folder' says so",
			ErrAway, p.location, p.where(), labelPrefix, id)
	}
	return err
}

// labelOf is the label's id as the database has it. One that has none yet is given one.
func (s *Store) labelOf(ctx context.Context, p *place) (string, error) {
	q := s.db.Control()
	for range 3 {
		id, err := q.GetBlobPlace(ctx, p.location)
		if err == nil {
			return id, nil
		}
		if !db.IsNoRows(err) {
			return "", fmt.Errorf("read label of %s: %w", p.location, err)
		}
		if err := s.firstUse(ctx, p); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("label %s: %w", p.location, ErrLocation)
}

// firstUse labels a place. One that is older than labels must hold the files that the database knows of, and one that is
// new must not be somebody else's.
func (s *Store) firstUse(ctx context.Context, p *place) error {
	sample, err := s.sample(ctx, p)
	if err != nil {
		return err
	}
	if sample.there*2 < sample.asked {
		return fmt.Errorf("%w: %s (%s) has %d of %d files that the database knows in it: it is another folder or bucket, or its disk is not mounted. If it is the right one, 'locus blob adopt-folder' says so",
			ErrAway, p.location, p.where(), sample.there, sample.asked)
	}
	if sample.asked == 0 {
		if err := s.stranger(ctx, p); err != nil {
			return err
		}
	}
	return s.label(ctx, p, func(q *controldb.Queries, id string) (bool, error) {
		n, err := q.InsertBlobPlace(ctx, controldb.InsertBlobPlaceParams{Location: p.location, Label: id, CreatedAt: s.now()})
		return n > 0, err
	})
}

// label gives a place a new label; note writes it down, or says that another was faster.
func (s *Store) label(ctx context.Context, p *place, note func(q *controldb.Queries, id string) (bool, error)) error {
	id := strings.ToLower(rand.Text())
	if err := p.offerLabel(ctx, id); err != nil {
		return fmt.Errorf("label %s: %w", p.location, err)
	}
	ours, err := note(s.db.Control(), id)
	switch {
	case errors.Is(err, db.ErrUnknownOutcome):
		return err // the offer stays: it may be the database's
	case err != nil || !ours:
		p.dropLabel(ctx, id)
		return err
	}
	if err := p.fixLabel(ctx, id); err != nil {
		return fmt.Errorf("label %s: %w", p.location, err)
	}
	return nil
}

// stranger refuses a place that carries labels, and none that this database knows: another deployment sweeps it.
func (s *Store) stranger(ctx context.Context, p *place) error {
	labels, err := p.labels(ctx)
	if err != nil || len(labels) == 0 {
		return err
	}
	places, err := s.db.Control().ListBlobPlaces(ctx, 10_000)
	if err != nil {
		return fmt.Errorf("read places: %w", err)
	}
	for _, known := range places {
		if slices.Contains(labels, known.Label) {
			return nil // one place, two names
		}
	}
	return fmt.Errorf("%w: %s (%s) has the label %s%s, which another database gave it. If it is nobody's any more, 'locus blob adopt-folder' takes it",
		ErrAway, p.location, p.where(), labelPrefix, labels[0])
}

// sampled is how many files of those that the database knows in a place are there.
type sampled struct{ asked, there int }

func (s *Store) sample(ctx context.Context, p *place) (sampled, error) {
	var out sampled
	after := int64(0)
	for {
		tenants, err := s.db.Control().ListTenants(ctx, controldb.ListTenantsParams{After: after, MaxRows: 1000})
		if err != nil {
			return out, fmt.Errorf("read tenants: %w", err)
		}
		if len(tenants) == 0 {
			return out, nil
		}
		for _, t := range tenants {
			after = t.TenantID
			schema, err := db.ParseSchema(t.SchemaName)
			if err != nil {
				return out, err
			}
			if err := s.sampleOf(ctx, p, schema, &out); err != nil && !isNoTable(err) { // being made, or deleted
				return out, err
			}
			if out.asked >= labelSample {
				return out, nil
			}
		}
	}
}

func (s *Store) sampleOf(ctx context.Context, p *place, schema db.Schema, out *sampled) error {
	q := s.db.Tenant(schema).Q()
	stores, err := q.ListBlobStores(ctx)
	if err != nil {
		return fmt.Errorf("read blob stores of %s: %w", schema, err)
	}
	for _, k := range stores {
		if k.Location != p.location {
			continue
		}
		rows, err := q.ListBlobsIn(ctx, tenantdb.ListBlobsInParams{Store: k.Store, AfterCID: []byte{}, MaxRows: labelSample})
		if err != nil {
			return fmt.Errorf("read blobs of %s: %w", schema, err)
		}
		for _, r := range rows {
			out.asked++
			switch _, err := p.stat(ctx, r.Object); {
			case err == nil:
				out.there++
			case !errors.Is(err, errMissing):
				return err
			}
		}
	}
	return nil
}

// Adopted says what was found in a place that was taken for the right one.
type Adopted struct {
	Where        string
	Asked, There int // of some files that the database knows in it
}

// Adopt takes a place as it is here for the one that the database means, whatever was before: it gets a new label, and a
// process that sees another folder or bucket under that name stops using it within seconds. One that has none of the
// files that are looked for is taken only if empty says so. The tenant says whose keys open it.
func (s *Store) Adopt(ctx context.Context, schema db.Schema, location string, empty bool) (Adopted, error) {
	if location == "" {
		location = s.cfg.Location
	}
	if err := s.learn(ctx, schema); err != nil {
		return Adopted{}, err
	}
	var credentials *Credentials
	for _, k := range s.sites(schema) {
		if k.location == location {
			var err error
			if credentials, err = s.unseal(schema, k); err != nil {
				return Adopted{}, err
			}
		}
	}
	p, err := s.openPlace(location, credentials)
	if err != nil {
		return Adopted{}, err
	}
	p.label.known.Store(nil)
	found, err := s.sample(ctx, p)
	if err != nil {
		return Adopted{}, err
	}
	out := Adopted{p.where(), found.asked, found.there}
	if found.asked > 0 && found.there == 0 && !empty {
		return out, fmt.Errorf("%w: none of %d files that the database knows in %s is in %s", ErrAway, found.asked, p.location, p.where())
	}
	return out, s.label(ctx, p, func(q *controldb.Queries, id string) (bool, error) {
		return true, q.UpsertBlobPlace(ctx, controldb.UpsertBlobPlaceParams{Location: p.location, Label: id, CreatedAt: s.now()})
	})
}
