package blob

import (
	"log/slog"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/blob/store"
	"github.com/auroralocus/locus/internal/keyring"
)

// Config of a deployment's blobs.
type Config struct {
	// Location is the store of tenants without a setting of their own: data: (the folder blobs in DataDir), disk:/folder,
	// or s3://bucket/prefix?endpoint=https://host&region=…. Default data:.
	Location string
	// StoreTime is how long a store may take for one upload once it is here; the time for large ones is added.
	// Default 20 s.
	StoreTime time.Duration
	// Stores says how they are opened.
	Stores StoreConfig
}

// Blobs are those of a deployment. Any number of processes may have them on the same database and stores.
type Blobs struct {
	// Stores are where the bytes are.
	Stores *Stores

	db  *db.DB
	log *slog.Logger
	now func() time.Time
	cfg Config

	recorder *recorder
	counts   struct{ uploads, reads tally }
}

// New makes them. Stores are opened when they are first needed: see [Stores.Ready].
func New(d *db.DB, keys *keyring.Keyring, now func() time.Time, log *slog.Logger, cfg Config) *Blobs {
	if cfg.Location == "" {
		cfg.Location = store.DataLocation
	}
	if cfg.StoreTime == 0 {
		cfg.StoreTime = 20 * time.Second
	}
	return &Blobs{
		Stores: newStores(d, keys, now, log, cfg), db: d, log: log, now: now, cfg: cfg,
		recorder: &recorder{db: d, log: log, now: now, groups: map[db.Schema]*arrivals{}},
	}
}

// Close waits for uploads that are being recorded, and for the disks.
func (b *Blobs) Close() {
	b.recorder.close()
	b.Stores.set.Close()
}
