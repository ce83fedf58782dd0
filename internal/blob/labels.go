package blob

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob/store"
)

// labelSample is how many files an older store is asked for before it is labelled.
const labelSample = 20

// labelOf is the label's id as the database has it. One that has none yet is given one.
func (s *Stores) labelOf(ctx context.Context, at *store.Store) (string, error) {
	q := s.db.Control()
	for range 3 {
		id, err := q.GetBlobPlace(ctx, at.Location)
		if err == nil {
			return id, nil
		}
		if !db.IsNoRows(err) {
			return "", fmt.Errorf("read label of %s: %w", at.Location, err)
		}
		if err := s.firstUse(ctx, at); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("label %s: %w", at.Location, ErrLocation)
}

// firstUse labels a store. One that is older than labels must hold the files that the database knows of, and one that is
// new must not be somebody else's.
func (s *Stores) firstUse(ctx context.Context, at *store.Store) error {
	sample, err := s.sample(ctx, at)
	if err != nil {
		return err
	}
	if sample.there*2 < sample.asked {
		return fmt.Errorf("%w: %s (%s) has %d of %d files that the database knows in it: it is another folder or bucket, or its disk is not mounted. If it is the right one, 'locus blob adopt-folder' says so",
			ErrAway, at.Location, at.Where(), sample.there, sample.asked)
	}
	if sample.asked == 0 {
		if err := s.stranger(ctx, at); err != nil {
			return err
		}
	}
	return at.Label(ctx, func(id string) (bool, error) {
		n, err := s.db.Control().InsertBlobPlace(ctx, controldb.InsertBlobPlaceParams{Location: at.Location, Label: id, CreatedAt: s.now()})
		return n > 0, err
	})
}

// stranger refuses a store that carries labels, and none that this database knows: another deployment sweeps it.
func (s *Stores) stranger(ctx context.Context, at *store.Store) error {
	labels, err := at.Labels(ctx)
	if err != nil || len(labels) == 0 {
		return err
	}
	labelled, err := s.db.Control().ListBlobPlaces(ctx, 10_000)
	if err != nil {
		return fmt.Errorf("read labels: %w", err)
	}
	for _, known := range labelled {
		if slices.Contains(labels, known.Label) {
			return nil // one store, two names
		}
	}
	return fmt.Errorf("%w: %s (%s) has the label %s%s, which another database gave it. If it is nobody's any more, 'locus blob adopt-folder' takes it",
		ErrAway, at.Location, at.Where(), store.LabelPrefix, labels[0])
}

// sampled is how many files of those that the database knows in a store are there.
type sampled struct{ asked, there int }

func (s *Stores) sample(ctx context.Context, at *store.Store) (sampled, error) {
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
			if err := s.sampleOf(ctx, at, schema.On(t.NodeID), &out); err != nil && !isNoTable(err) { // being made, or deleted
				return out, err
			}
			if out.asked >= labelSample {
				return out, nil
			}
		}
	}
}

func (s *Stores) sampleOf(ctx context.Context, at *store.Store, schema db.Schema, out *sampled) error {
	q := s.db.Tenant(schema).Q()
	stores, err := q.ListBlobStores(ctx)
	if err != nil {
		return fmt.Errorf("read blob stores of %s: %w", schema, err)
	}
	for _, k := range stores {
		if k.Location != at.Location {
			continue
		}
		rows, err := q.ListBlobsIn(ctx, tenantdb.ListBlobsInParams{Store: k.Store, AfterCID: []byte{}, MaxRows: labelSample})
		if err != nil {
			return fmt.Errorf("read blobs of %s: %w", schema, err)
		}
		for _, r := range rows {
			out.asked++
			switch _, err := at.Stat(ctx, r.Object); {
			case err == nil:
				out.there++
			case !errors.Is(err, store.ErrMissing):
				return err
			}
		}
	}
	return nil
}

// Adopted says what was found in a store that was taken for the right one.
type Adopted struct {
	Where        string
	Asked, There int // of some files that the database knows in it
}

// Adopt takes a store as it is here for the one that the database means, whatever was before: it gets a new label, and a
// process that sees another folder or bucket under that name stops using it within seconds. One that has none of the
// files that are looked for is taken only if empty says so. The tenant says whose keys open it.
func (s *Stores) Adopt(ctx context.Context, schema db.Schema, location string, empty bool) (Adopted, error) {
	if location == "" {
		location = s.location
	}
	if err := s.learn(ctx, schema); err != nil {
		return Adopted{}, err
	}
	var credentials *store.Credentials
	for _, k := range s.known(schema) {
		if k.location == location {
			var err error
			if credentials, err = s.unseal(schema, k); err != nil {
				return Adopted{}, err
			}
		}
	}
	at, err := s.set.Open(location, credentials)
	if err != nil {
		return Adopted{}, err
	}
	at.Forget()
	found, err := s.sample(ctx, at)
	if err != nil {
		return Adopted{}, err
	}
	out := Adopted{at.Where(), found.asked, found.there}
	if found.asked > 0 && found.there == 0 && !empty {
		return out, fmt.Errorf("%w: none of %d files that the database knows in %s is in %s", ErrAway, found.asked, at.Location, at.Where())
	}
	return out, at.Label(ctx, func(id string) (bool, error) {
		return true, s.db.Control().UpsertBlobPlace(ctx, controldb.UpsertBlobPlaceParams{Location: at.Location, Label: id, CreatedAt: s.now()})
	})
}
