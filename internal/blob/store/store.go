package store

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Objects is what a disk and a bucket do with objects.
type Objects interface {
	// NewSpool is for an upload to come into.
	NewSpool() *Spool
	// Put makes what was spooled an object that is there, whole, for every process. Until Settle it is provisional: what
	// a crash leaves behind of it is removed, unless there is a row for it.
	Put(ctx context.Context, aid int64, object string, s *Spool) error
	// Sync makes what was put durable.
	Sync(object string, s *Spool) error
	// Settle ends the provisional state: the object is durable, and so is its row. It may do so a little later.
	Settle(aid int64, object string)
	// Discard removes a provisional object for which there will be no row.
	Discard(ctx context.Context, aid int64, object string)
	// Doubt leaves a provisional object to the sweep: nobody knows whether there will be a row.
	Doubt(aid int64, object string)
	// Announced tells that Put needs the object's name in the trash first.
	Announced() bool

	// Open gives an object and its size; [ErrMissing]. On a disk it is an *os.File.
	Open(ctx context.Context, object string) (io.ReadSeekCloser, int64, error)
	// Stat gives an object's size; [ErrMissing].
	Stat(ctx context.Context, object string) (int64, error)
	// Confirm says whether the object of a row is settled, or durable anyway, and holds these bytes; [ErrMissing].
	Confirm(ctx context.Context, aid int64, object string) error
	// Presign is a link to an object that works for a while and answers with this type and file name; "": there are none.
	Presign(ctx context.Context, object, mimeType, name string, valid time.Duration) (string, error)
	// Remove deletes objects; those that are not there are no error. It returns what could not be deleted, by name.
	Remove(ctx context.Context, objects []string) map[string]error
	// List calls each for every object below a tenant's schema, in no particular order.
	List(ctx context.Context, schema string, each func(Found) error) error
	// Recover is called once before a store is used: rows get the bytes that a crash of the machine took.
	Recover(ctx context.Context, has Referrer) error
	// Sweep removes what crashed uploads left in the store itself.
	Sweep(ctx context.Context, before time.Time, has Referrer) error
	// Where says for people what the store is.
	Where() string

	labels
	// close ends what goes on in the background. Uploads have ended.
	close()
}

// Referrer says whether a row has an object. When one has, and whole says that its bytes are not there, the row goes.
type Referrer func(ctx context.Context, aid int64, object string, whole func() error) (bool, error)

// Found is an object that a listing saw.
type Found struct {
	Object   string
	Size     int64
	Modified time.Time
}

// Store is a folder or a bucket that is opened.
type Store struct {
	Objects
	Location string

	of    *Set
	label labelled

	recovering sync.Mutex
	recovered  atomic.Bool
}

// ListAll lists a tenant's objects, the quarantine's too.
func (s *Store) ListAll(ctx context.Context, schema string, each func(Found) error) error {
	if err := s.List(ctx, schema, each); err != nil {
		return err
	}
	return s.List(ctx, QuarantineFolder+schema, each)
}

// Config of the stores of a process.
type Config struct {
	// DataDir has the folder of data:, and the one of uploads on their way to S3.
	DataDir string
	// S3 opens S3 stores that have no credentials of their own.
	S3 Credentials
	// StallTime is how long a connection to S3 may be without a byte. Default 15 s.
	StallTime time.Duration
	// AnswerTime is how long one who reads waits for S3 to begin, with all tries. Their client waits too, and is to hear
	// what is wrong before it gives up. Default 20 s.
	AnswerTime time.Duration
	// Journal is how disks keep small uploads.
	Journal JournalConfig
}

// Credentials open an S3 store.
type Credentials struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// Set is the stores that a process has opened.
type Set struct {
	cfg Config
	log *slog.Logger
	// label is the id of the label that the database knows for a store; one that has none yet is given one.
	label func(context.Context, *Store) (string, error)
	// rows says for a location what rows have.
	rows func(location string) Referrer

	mu     sync.Mutex
	stores map[string]*Store // by location, for credentials of their own by both
}

// NewSet makes an empty set. label is the id of the label that the database knows for a store, and may give it one with
// [Store.Label]. rows says for a location what has a row.
func NewSet(cfg Config, log *slog.Logger, label func(context.Context, *Store) (string, error), rows func(location string) Referrer) *Set {
	if cfg.StallTime == 0 {
		cfg.StallTime = 15 * time.Second
	}
	if cfg.AnswerTime == 0 {
		cfg.AnswerTime = 20 * time.Second
	}
	return &Set{cfg: cfg, log: log, label: label, rows: rows, stores: map[string]*Store{}}
}

const (
	// DataLocation is the folder blobs in the data folder.
	DataLocation = "data:"
	diskScheme   = "disk:"
	s3Scheme     = "s3://"
)

// OnS3 says whether a location is one of S3.
func OnS3(location string) bool { return strings.HasPrefix(location, s3Scheme) }

// CheckLocation says whether a text is a location's form; [ErrLocation].
func CheckLocation(text string) error {
	switch {
	case text == DataLocation:
		return nil
	case strings.HasPrefix(text, diskScheme):
		if !filepath.IsAbs(text[len(diskScheme):]) {
			return fmt.Errorf("%w: %s needs an absolute path", ErrLocation, diskScheme)
		}
		return nil
	case OnS3(text):
		_, err := parseS3(text)
		return err
	}
	return fmt.Errorf("%w: %.100q is none of data:, disk:/folder, s3://bucket/prefix?endpoint=URL", ErrLocation, text)
}

// Open gives the store at a location, opened once. It does not look whether the store is there: see [Set.Ready].
// credentials may be nil: those of the configuration.
func (s *Set) Open(location string, credentials *Credentials) (*Store, error) {
	key := location
	if credentials != nil {
		key += " " + credentials.AccessKey + " " + credentials.SecretKey
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.stores[key]; at != nil {
		return at, nil
	}
	if err := CheckLocation(location); err != nil {
		return nil, err
	}
	objects, err := s.objects(location, credentials)
	if err != nil {
		return nil, err
	}
	at := &Store{Location: location, Objects: objects, of: s}
	s.stores[key] = at
	return at, nil
}

func (s *Set) objects(location string, credentials *Credentials) (Objects, error) {
	switch {
	case OnS3(location):
		keys := s.cfg.S3
		if credentials != nil {
			keys = *credentials
		}
		return newS3(location, keys, filepath.Join(s.cfg.DataDir, "uploads"), s.cfg.StallTime, s.cfg.AnswerTime)
	case location == DataLocation:
		return newDisk(filepath.Join(s.cfg.DataDir, "blobs"), s.cfg.Journal), nil
	}
	return newDisk(strings.TrimPrefix(location, diskScheme), s.cfg.Journal), nil
}

// Ready opens a store, sees that it is the one that the database knows, and looks after what a crash left there, once,
// before it is used. Until that works it cannot be used.
func (s *Set) Ready(ctx context.Context, location string, credentials *Credentials) (*Store, error) {
	at, err := s.Open(location, credentials)
	if err != nil {
		return nil, err
	}
	if err := at.Present(ctx); err != nil {
		return nil, err
	}
	if at.recovered.Load() {
		return at, nil
	}
	at.recovering.Lock()
	defer at.recovering.Unlock()
	if at.recovered.Load() {
		return at, nil
	}
	if err := at.Recover(ctx, s.rows(location)); err != nil {
		return nil, fmt.Errorf("recover uploads in %s: %w", location, err)
	}
	at.recovered.Store(true)
	return at, nil
}

// All are the stores that this process has opened.
func (s *Set) All() []*Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Store, 0, len(s.stores))
	for _, at := range s.stores {
		out = append(out, at)
	}
	return out
}

// Close waits for the disks. Uploads have ended.
func (s *Set) Close() {
	for _, at := range s.All() {
		at.close()
	}
}

// SweepOld removes what crashed uploads left in the store, if it is the one that the database knows.
func (s *Store) SweepOld(ctx context.Context, before time.Time) error {
	if err := s.Present(ctx); err != nil {
		return err
	}
	return s.Sweep(ctx, before, s.of.rows(s.Location))
}
