package blob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/keyring"
)

// Config of a deployment's blobs.
type Config struct {
	// Location is where tenants without a setting of their own keep blobs: data: (the folder blobs in DataDir),
	// disk:/folder, or s3://bucket/prefix?endpoint=https://host&region=…. Default data:.
	Location string
	DataDir  string
	// S3 is what opens S3 stores that have no credentials of their own.
	S3 Credentials
	// StoreTime is how long a store may take for one upload once it is here; the time for large ones is added.
	// Default 20 s.
	StoreTime time.Duration
	// StallTime is how long a connection to S3 may be without a byte. Default 15 s.
	StallTime time.Duration
}

// Credentials open an S3 store.
type Credentials struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// Store keeps the blobs of a deployment. Any number of processes may have one on the same database and places.
type Store struct {
	db   *db.DB
	keys *keyring.Keyring
	log  *slog.Logger
	now  func() time.Time
	cfg  Config

	mu       sync.Mutex
	places   map[string]*place    // by location, for tenants with credentials by schema and location
	tenants  map[db.Schema][]site // by schema
	arrivals map[db.Schema]*arrivals
	settling []func() // see settle
	settles  bool
	running  sync.WaitGroup
	closed   bool
}

// site is a row of blob_store: a location under a tenant's number.
type site struct {
	id       int16
	location string
	sealed   []byte
}

// place is an opened store.
type place struct {
	location string
	backend
	label labelled

	recovering sync.Mutex
	recovered  atomic.Bool
}

// readyPlace opens a place, sees that it is the one that the database knows, and looks after what a crash left there, once,
// before it is used. Until that works it cannot be used.
func (s *Store) readyPlace(ctx context.Context, location string, credentials *Credentials) (*place, error) {
	p, err := s.openPlace(location, credentials)
	if err != nil {
		return nil, err
	}
	if err := s.present(ctx, p); err != nil {
		return nil, err
	}
	if p.recovered.Load() {
		return p, nil
	}
	p.recovering.Lock()
	defer p.recovering.Unlock()
	if p.recovered.Load() {
		return p, nil
	}
	if err := p.recover(ctx, s.referrer(p.location)); err != nil {
		return nil, fmt.Errorf("recover uploads in %s: %w", p.location, err)
	}
	p.recovered.Store(true)
	return p, nil
}

// New makes a store. Places are opened when they are first needed: see [Store.Ready].
func New(d *db.DB, keys *keyring.Keyring, now func() time.Time, log *slog.Logger, cfg Config) *Store {
	if cfg.Location == "" {
		cfg.Location = dataLocation
	}
	if cfg.StoreTime == 0 {
		cfg.StoreTime = 20 * time.Second
	}
	if cfg.StallTime == 0 {
		cfg.StallTime = 15 * time.Second
	}
	return &Store{
		db: d, keys: keys, log: log, now: now, cfg: cfg,
		places: map[string]*place{}, tenants: map[db.Schema][]site{}, arrivals: map[db.Schema]*arrivals{},
	}
}

// Ready says whether the deployment's own place can be used, and makes it ready.
func (s *Store) Ready(ctx context.Context) error {
	_, err := s.readyPlace(ctx, s.cfg.Location, nil)
	return err
}

// Close waits for uploads that are being recorded, and for the disk.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
	for _, p := range s.opened() {
		p.close()
	}
}

const (
	dataLocation = "data:"
	diskScheme   = "disk:"
	s3Scheme     = "s3://"
)

// CheckLocation says whether a text is a location's form.
func CheckLocation(text string) error {
	switch {
	case text == dataLocation:
		return nil
	case strings.HasPrefix(text, diskScheme):
		if !filepath.IsAbs(text[len(diskScheme):]) {
			return fmt.Errorf("%w: %s needs an absolute path", ErrLocation, diskScheme)
		}
		return nil
	case strings.HasPrefix(text, s3Scheme):
		_, err := parseS3(text)
		return err
	}
	return fmt.Errorf("%w: %.100q is none of data:, disk:/folder, s3://bucket/prefix?endpoint=URL", ErrLocation, text)
}

// openPlace gives the store at a location, opened once. credentials may be nil: the deployment's.
func (s *Store) openPlace(location string, credentials *Credentials) (*place, error) {
	key := location
	if credentials != nil {
		key += " " + credentials.AccessKey + " " + credentials.SecretKey
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.places[key]; p != nil {
		return p, nil
	}
	if err := CheckLocation(location); err != nil {
		return nil, err
	}
	var b backend
	var err error
	switch {
	case strings.HasPrefix(location, s3Scheme):
		keys := s.cfg.S3
		if credentials != nil {
			keys = *credentials
		}
		b, err = newS3(location, keys, filepath.Join(s.cfg.DataDir, "uploads"), s.cfg.StallTime)
	case location == dataLocation:
		b = newDisk(filepath.Join(s.cfg.DataDir, "blobs"))
	default:
		b = newDisk(strings.TrimPrefix(location, diskScheme))
	}
	if err != nil {
		return nil, err
	}
	p := &place{location: location, backend: b}
	s.places[key] = p
	return p, nil
}

// storeID is the number that a tenant's rows know a location by.
func (s *Store) storeID(ctx context.Context, schema db.Schema, location string) (int16, error) {
	for try := range 5 {
		for _, k := range s.sites(schema) {
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

// sites are the locations of a tenant as far as this process has heard of them.
func (s *Store) sites(schema db.Schema) []site {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenants[schema]
}

// learn reads them again.
func (s *Store) learn(ctx context.Context, schema db.Schema) error {
	rows, err := s.db.Tenant(schema).Q().ListBlobStores(ctx)
	if err != nil {
		return fmt.Errorf("read blob stores of %s: %w", schema, err)
	}
	list := make([]site, len(rows))
	for i, r := range rows {
		list[i] = site{r.Store, r.Location, r.Sealed}
	}
	s.mu.Lock()
	s.tenants[schema] = list
	s.mu.Unlock()
	return nil
}

// current is where a tenant's new blobs go; location is the tenant's setting, "" for the deployment's.
func (s *Store) current(ctx context.Context, schema db.Schema, location string) (*place, int16, error) {
	if location == "" {
		location = s.cfg.Location
	}
	id, err := s.storeID(ctx, schema, location)
	if err != nil {
		return nil, 0, err
	}
	p, err := s.placeOf(ctx, schema, id)
	return p, id, err
}

// placeOf opens the store that rows call by a number.
func (s *Store) placeOf(ctx context.Context, schema db.Schema, id int16) (*place, error) {
	for try := range 2 {
		for _, k := range s.sites(schema) {
			if k.id == id {
				keys, err := s.unseal(schema, k)
				if err != nil {
					return nil, err
				}
				return s.readyPlace(ctx, k.location, keys)
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

func (s *Store) unseal(schema db.Schema, k site) (*Credentials, error) {
	if k.sealed == nil {
		return nil, nil
	}
	text, err := s.keys.Open(credentialsOf(schema, k.id), k.sealed)
	if err != nil {
		return nil, fmt.Errorf("credentials of blob store %d: %w", k.id, err)
	}
	c := new(Credentials)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("credentials of blob store %d: %w", k.id, err)
	}
	return c, nil
}

// SetCredentials gives a tenant's location keys of its own; nil: the deployment's again. Running processes follow when
// they next meet a location that they do not know, or within minutes (the sweep).
func (s *Store) SetCredentials(ctx context.Context, schema db.Schema, location string, keys *Credentials) error {
	if err := CheckLocation(location); err != nil {
		return err
	}
	id, err := s.storeID(ctx, schema, location)
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

// referrer asks the database whether a row has an object of this place. An object of a schema that is no more has none.
func (s *Store) referrer(location string) referrer {
	return func(ctx context.Context, aid int64, object string, whole func() error) (bool, error) {
		schema, ok1 := schemaOf(object)
		c, ok2 := cidOf(object)
		if !ok1 || !ok2 {
			return false, nil
		}
		id, err := s.storeID(ctx, schema, location)
		if isNoTable(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		row, err := s.db.Tenant(schema).Q().GetBlob(ctx, tenantdb.GetBlobParams{AID: aid, CID: c.Bytes()})
		switch {
		case db.IsNoRows(err):
			return false, nil
		case err != nil:
			return false, err
		case row.Store != id || row.Object != object:
			return false, nil
		}
		if err := whole(); !errors.Is(err, errMissing) {
			return true, err
		}
		// The power failed before anybody was told of this upload.
		s.log.Warn("the bytes of an upload that was never acknowledged are not there: its row goes", "object", object)
		return false, s.disown(ctx, schema, aid, c, id, object)
	}
}

// disown deletes a blob's row, if it still has this object.
func (s *Store) disown(ctx context.Context, schema db.Schema, aid int64, c cid.Cid, id int16, object string) error {
	err := s.db.Tenant(schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := q.LockBlobOwners(ctx, []int64{aid}); err != nil {
			return err
		}
		_, err := q.DeleteLostBlob(ctx, tenantdb.DeleteLostBlobParams{AID: aid, CID: c.Bytes(), Store: id, Object: object})
		return err
	})
	if err != nil {
		return fmt.Errorf("delete row of lost blob: %w", err)
	}
	return nil
}

func isNoTable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42P01"
}

// candidate opens a place that the tenant may be given. It is not written down: a tenant keeps the places that it ever
// had, and one that was only tried could not be looked into by those who ask all of them.
func (s *Store) candidate(ctx context.Context, schema db.Schema, location string, keys *Credentials) (*place, error) {
	if location == "" {
		location = s.cfg.Location
	}
	if keys == nil || !strings.HasPrefix(location, s3Scheme) {
		if err := s.learn(ctx, schema); err != nil {
			return nil, err
		}
		for _, k := range s.sites(schema) {
			if k.location == location {
				return s.placeOf(ctx, schema, k.id)
			}
		}
	}
	return s.readyPlace(ctx, location, keys)
}

// Try says whether a place can be written to and read: with a small object, which goes again. keys are those that an S3
// place is to have; nil: those that it has.
func (s *Store) Try(ctx context.Context, schema db.Schema, location string, keys *Credentials) error {
	p, err := s.candidate(ctx, schema, location, keys)
	if err != nil {
		return err
	}
	in := p.newSpool()
	defer in.drop()
	if err := in.fill(strings.NewReader("locus")); err != nil {
		return err
	}
	object := newObject(schema, "trial", in.cid)
	if err := p.put(ctx, 0, object, in); err != nil {
		return err
	}
	err = p.sync(object, in)
	p.settle(0, object)
	defer p.remove(ctx, []string{object})
	if err != nil {
		return err
	}
	r, _, err := p.open(ctx, object)
	if err != nil {
		return err
	}
	defer r.Close()
	c, err := digest(r)
	if err == nil && !c.Equals(in.cid) {
		err = fmt.Errorf("%w: %s gives back other bytes than it was given", ErrStore, p.location)
	}
	return err
}
