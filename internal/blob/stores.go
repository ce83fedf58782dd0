package blob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/blob/store"
	"github.com/auroralocus/locus/internal/keyring"
)

// Stores say which stores a tenant has, and which label each store should carry. Rows know a store by a number of the
// tenant's.
type Stores struct {
	db       *db.DB
	keys     *keyring.Keyring
	log      *slog.Logger
	now      func() time.Time
	location string // the deployment's
	set      *store.Set

	mu      sync.Mutex
	tenants map[db.Schema][]storeRow
}

// storeRow is a row of blob_store: a location under a tenant's number.
type storeRow struct {
	id       int16
	location string
	sealed   []byte
}

func newStores(d *db.DB, keys *keyring.Keyring, now func() time.Time, log *slog.Logger, cfg Config) *Stores {
	s := &Stores{db: d, keys: keys, log: log, now: now, location: cfg.Location, tenants: map[db.Schema][]storeRow{}}
	s.set = store.NewSet(cfg.Stores, log, s.labelOf, s.referrer)
	return s
}

// Ready says whether the deployment's own store can be used, and makes it ready.
func (s *Stores) Ready(ctx context.Context) error {
	_, err := s.set.Ready(ctx, s.location, nil)
	return err
}

// idOf is the number that a tenant's rows know a location by.
func (s *Stores) idOf(ctx context.Context, schema db.Schema, location string) (int16, error) {
	for try := range 5 {
		for _, k := range s.known(schema) {
			if k.location == location {
				return k.id, nil
			}
		}
		if try > 0 {
			err := s.db.Tenant(schema).Q().InsertBlobStore(ctx, tenantdb.InsertBlobStoreParams{Location: location, CreatedAt: s.now()})
			if err != nil {
				return 0, fmt.Errorf("register blob store: %w", err)
			}
		}
		if err := s.learn(ctx, schema); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("register blob store %s of %s: %w", location, schema, ErrLocation)
}

// known are the locations of a tenant as far as this process has heard of them.
func (s *Stores) known(schema db.Schema) []storeRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenants[schema]
}

// learn reads them again.
func (s *Stores) learn(ctx context.Context, schema db.Schema) error {
	rows, err := s.db.Tenant(schema).Q().ListBlobStores(ctx)
	if err != nil {
		return fmt.Errorf("read blob stores of %s: %w", schema, err)
	}
	list := make([]storeRow, len(rows))
	for i, r := range rows {
		list[i] = storeRow{r.Store, r.Location, r.Sealed}
	}
	s.mu.Lock()
	s.tenants[schema] = list
	s.mu.Unlock()
	return nil
}

// current is where a tenant's new blobs go; location is the tenant's setting, "" for the deployment's.
func (s *Stores) current(ctx context.Context, schema db.Schema, location string) (*store.Store, int16, error) {
	if location == "" {
		location = s.location
	}
	id, err := s.idOf(ctx, schema, location)
	if err != nil {
		return nil, 0, err
	}
	at, err := s.at(ctx, schema, id)
	return at, id, err
}

// at opens the store that rows call by a number.
func (s *Stores) at(ctx context.Context, schema db.Schema, id int16) (*store.Store, error) {
	for try := range 2 {
		for _, k := range s.known(schema) {
			if k.id == id {
				keys, err := s.unseal(schema, k)
				if err != nil {
					return nil, err
				}
				return s.set.Ready(ctx, k.location, keys)
			}
		}
		if try == 0 {
			if err := s.learn(ctx, schema); err != nil {
				return nil, err
			}
		}
	}
	return nil, fmt.Errorf("%w: %s has no store %d", ErrLocation, schema, id)
}

func credentialsOf(schema db.Schema, id int16) keyring.Binding {
	return keyring.Binding{Schema: schema.String(), Owner: strconv.Itoa(int(id)), Purpose: "blob-store"}
}

func (s *Stores) unseal(schema db.Schema, k storeRow) (*store.Credentials, error) {
	if k.sealed == nil {
		return nil, nil
	}
	text, err := s.keys.Open(credentialsOf(schema, k.id), k.sealed)
	if err != nil {
		return nil, fmt.Errorf("credentials of blob store %d: %w", k.id, err)
	}
	c := new(store.Credentials)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("credentials of blob store %d: %w", k.id, err)
	}
	return c, nil
}

// SetCredentials gives a tenant's location keys of its own; nil: the deployment's again. Running processes follow when
// they next meet a location that they do not know, or within minutes (the sweep).
func (s *Stores) SetCredentials(ctx context.Context, schema db.Schema, location string, keys *store.Credentials) error {
	if err := store.CheckLocation(location); err != nil {
		return err
	}
	id, err := s.idOf(ctx, schema, location)
	if err != nil {
		return err
	}
	var sealed []byte
	if keys != nil {
		text, err := json.Marshal(keys)
		if err == nil {
			sealed, err = s.keys.Seal(credentialsOf(schema, id), text)
		}
		if err != nil {
			return fmt.Errorf("seal credentials: %w", err)
		}
	}
	if _, err := s.db.Tenant(schema).Q().UpdateBlobStoreSealed(ctx, tenantdb.UpdateBlobStoreSealedParams{Store: id, Sealed: sealed}); err != nil {
		return fmt.Errorf("store credentials: %w", err)
	}
	return s.learn(ctx, schema)
}

func isNoTable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42P01"
}

// candidate opens a store that the tenant may be given. It is not written down: a tenant keeps the stores that it ever
// had, and one that was only tried could not be looked into by those who ask all of them.
func (s *Stores) candidate(ctx context.Context, schema db.Schema, location string, keys *store.Credentials) (*store.Store, error) {
	if location == "" {
		location = s.location
	}
	if keys == nil || !store.OnS3(location) {
		if err := s.learn(ctx, schema); err != nil {
			return nil, err
		}
		for _, k := range s.known(schema) {
			if k.location == location {
				return s.at(ctx, schema, k.id)
			}
		}
	}
	return s.set.Ready(ctx, location, keys)
}

// Try says whether a store can be written to and read: with a small object, which goes again. keys are those that an S3
// store is to have; nil: those that it has.
func (s *Stores) Try(ctx context.Context, schema db.Schema, location string, keys *store.Credentials) error {
	at, err := s.candidate(ctx, schema, location, keys)
	if err != nil {
		return err
	}
	in := at.NewSpool()
	defer in.Drop()
	if err := in.Fill(strings.NewReader("locus")); err != nil {
		return err
	}
	object := store.NewObject(schema, "trial", in.CID)
	if err := at.Put(ctx, 0, object, in); err != nil {
		return err
	}
	err = at.Sync(object, in)
	at.Settle(0, object)
	defer at.Remove(ctx, []string{object})
	if err != nil {
		return err
	}
	r, _, err := at.Open(ctx, object)
	if err != nil {
		return err
	}
	defer r.Close()
	c, err := store.Digest(r)
	if err == nil && !c.Equals(in.CID) {
		err = fmt.Errorf("%w: %s gives back other bytes than it was given", ErrStore, at.Location)
	}
	return err
}
