package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/embedded"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/tenant"
)

// dataFlags say where truth lies: the Postgres, and the key that what is secret in it is sealed with.
type dataFlags struct {
	DatabaseURL string        `placeholder:"URL" help:"Postgres 15 or newer, as postgres://user:password@host/database; or the word private, for a Postgres of the program's own in the data folder, which one that is there already is found by." env:"LOCUS_DATABASE_URL"`
	Wait        time.Duration `name:"database-wait" help:"How long to wait for a database that does not answer at the start; 0s: one attempt." default:"60s" env:"LOCUS_DATABASE_WAIT"`
	nodeFlags
	replicaFlags
	TenantRoles bool   `help:"Have each tenant's statements run with the rights of a role of its own in Postgres, which reaches no other tenant and nothing of the deployment: a second wall. It costs some speed; say it to all processes. The login needs CREATEROLE." env:"LOCUS_TENANT_ROLES"`
	DataDir     string `placeholder:"DIR" help:"Folder for the private Postgres, the master key and files; default: ${default}." default:"data" type:"path" env:"LOCUS_DATA_DIR"`
	BlobStore   string `placeholder:"STORE" help:"Where tenants without a setting of their own keep files: data: (in the data folder), disk:/folder, or s3://bucket/prefix?endpoint=URL&region=NAME; default: ${default}." default:"data:" env:"LOCUS_BLOB_STORE"`
	MasterKey   string `placeholder:"HEX" help:"Key that seals secrets at rest, as 64 hex digits; several, as ID:HEX separated by commas, while it is being changed ('locus key'). Without it and --master-key-command: the file master-key among systemd's credentials, or else the file master.key in the data folder, made at the first start." env:"LOCUS_MASTER_KEY"`
	KeyCommand  string `name:"master-key-command" placeholder:"PROGRAM" help:"Program, with arguments between blanks, that prints the master key: it asks a key service. No shell is run; it has 30 seconds." env:"LOCUS_MASTER_KEY_COMMAND"`
}

// privateDatabase asks for a Postgres of the program's own. Where there is none yet it has to be said: a server whose URL
// was forgotten would make an empty one, and people would find their accounts gone.
const privateDatabase = "private"

// isPrivate tells that the database is the program's own.
func (f dataFlags) isPrivate() bool { return f.DatabaseURL == "" || f.DatabaseURL == privateDatabase }

// existing is open for commands about what is there: a folder named by mistake gets no database.
func (f dataFlags) existing(ctx context.Context, log *slog.Logger) (*db.DB, func(), error) {
	if f.isPrivate() && !embedded.Exists(f.DataDir) {
		return nil, nil, fmt.Errorf("there is no database in %s: --data-dir or --database-url says where it is, and 'locus init' makes one", f.DataDir)
	}
	return f.open(ctx, log, db.Config{Log: log})
}

// database adds to cfg what the settings say of the database, looked at before anything waits.
func (f dataFlags) database(cfg db.Config) (_ db.Config, err error) {
	if f.Wait < 0 {
		return cfg, fmt.Errorf("--database-wait or LOCUS_DATABASE_WAIT: %s is no time to wait", f.Wait)
	}
	if cfg.Nodes, err = f.nodes(); err != nil {
		return cfg, err
	}
	if cfg.Replicas, err = f.replicas(cfg.Nodes); err != nil {
		return cfg, err
	}
	cfg.ReplicaStaleness = f.ReplicaStaleness
	if f.MasterKey != "" && f.KeyCommand != "" {
		return cfg, errors.New("--master-key and --master-key-command (or LOCUS_MASTER_KEY and LOCUS_MASTER_KEY_COMMAND) both give the master key: leave one of them out")
	}
	if f.MasterKey != "" {
		if _, err := keyring.ParseMaster(f.MasterKey); err != nil {
			return cfg, fmt.Errorf("--master-key or LOCUS_MASTER_KEY: %w", err)
		}
	}
	cfg.URL, cfg.StartTimeout, cfg.TenantRoles = f.DatabaseURL, f.Wait, f.TenantRoles
	if f.Wait == 0 {
		cfg.StartTimeout = -1 // one attempt
	}
	if !f.isPrivate() {
		return cfg, db.CheckURL(f.DatabaseURL)
	}
	if f.DatabaseURL == "" && !embedded.Exists(f.DataDir) {
		return cfg, fmt.Errorf("no database is named, and there is none in %s: --database-url or LOCUS_DATABASE_URL names a Postgres; '--database-url private' makes one in that folder", f.DataDir)
	}
	return cfg, nil
}

// open connects to Postgres, starting the private one where that is needed. close ends what it started.
func (f dataFlags) open(ctx context.Context, log *slog.Logger, cfg db.Config) (_ *db.DB, close func(), err error) {
	if cfg, err = f.database(cfg); err != nil {
		return nil, nil, err
	}
	stop := func() {}
	if f.isPrivate() {
		if cfg.URL, stop, err = f.private(ctx, log); err != nil {
			return nil, nil, err
		}
	}
	d, err := db.Open(ctx, cfg)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return d, func() { d.Close(); stop() }, nil
}

// private gives the URL of the Postgres in the data folder: the one that a running server has, or one of our own.
func (f dataFlags) private(ctx context.Context, log *slog.Logger) (url string, stop func(), err error) {
	server, err := embedded.Start(ctx, f.DataDir, log)
	if errors.Is(err, embedded.ErrInUse) {
		if url, ok := embedded.Find(f.DataDir); ok {
			return url, func() {}, nil
		}
	}
	if err != nil {
		return "", nil, fmt.Errorf("%w\n(--database-url or LOCUS_DATABASE_URL uses a Postgres of your own)", err)
	}
	return server.URL, func() {
		if err := server.Stop(); err != nil {
			log.Error("stop the private Postgres", "err", err)
		}
	}, nil
}

// blobs is how the deployment keeps files. S3's keys come from the environment only: command lines are seen by others.
func (f dataFlags) blobs() blob.Config {
	return blob.Config{
		Location: f.BlobStore,
		Stores: blob.StoreConfig{
			DataDir: f.DataDir,
			S3:      blob.Credentials{AccessKey: os.Getenv("LOCUS_S3_ACCESS_KEY"), SecretKey: os.Getenv("LOCUS_S3_SECRET_KEY")},
		},
	}
}

// keys loads the master key, and sees that it is the database's: a process with another one could serve nobody, and
// would seal new secrets so that the others cannot read them. A new key is made only for a database without tenants.
func (f dataFlags) keys(ctx context.Context, d *db.DB, log *slog.Logger) (*keyring.Keyring, error) {
	master, err := f.master(ctx, d, log)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	keys, err := keyring.New(master, signerCacheBytes)
	if err != nil {
		return nil, err
	}
	list := act.NewMasterKeys(act.NewTenantActs(d, nil, time.Now), keys, nil, 0, log)
	found, err := list.Adopt(ctx, false)
	if err == nil && !found {
		if err = tenant.NewRegistry(d, keys, tenant.Config{}, time.Now, slog.New(slog.DiscardHandler)).CheckKeys(ctx); err == nil {
			_, err = list.Adopt(ctx, true)
		}
	}
	switch {
	case errors.Is(err, act.ErrKeyMissing), errors.Is(err, act.ErrKeyRefused), errors.Is(err, keyring.ErrOtherMaster):
		return nil, fmt.Errorf("%w: %w (%s)", tenant.ErrMasterKey, err, f.keySource())
	case errors.Is(err, tenant.ErrMasterKey):
		return nil, fmt.Errorf("%w (%s)", err, f.keySource())
	}
	return keys, err
}

func (f dataFlags) masterFile() string { return filepath.Join(f.DataDir, "master.key") }

// credential is the file that systemd has put the master key into; "": there is none.
func credential() string {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		file := filepath.Join(dir, "master-key")
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// keySource says where the master key is from, for people.
func (f dataFlags) keySource() string {
	switch file := credential(); {
	case f.MasterKey != "":
		return "--master-key, LOCUS_MASTER_KEY or LOCUS_MASTER_KEY_FILE gives it"
	case f.KeyCommand != "":
		return "--master-key-command or LOCUS_MASTER_KEY_COMMAND gives it"
	case file != "":
		return "the credential " + file + " gives it"
	}
	return "--master-key, LOCUS_MASTER_KEY or the file " + f.masterFile() + " gives it"
}

// given reads the master key that there is. Errors: also [fs.ErrNotExist], where there is none.
func (f dataFlags) given(ctx context.Context) (*keyring.Master, error) {
	switch file := credential(); {
	case f.MasterKey != "":
		return keyring.ParseMaster(f.MasterKey)
	case f.KeyCommand != "":
		return keyring.CommandMaster(ctx, strings.Fields(f.KeyCommand))
	case file != "":
		return keyring.ReadMaster(file)
	}
	return keyring.LoadMaster(f.masterFile())
}

// givenAgain reads it once more while the process serves, from where the configuration says now.
func (f dataFlags) givenAgain(l *logs) func(context.Context) (*keyring.Master, error) {
	return func(ctx context.Context) (*keyring.Master, error) {
		if f.MasterKey != "" && !l.fixed("--master-key") {
			said, err := l.again()
			if err != nil {
				return nil, err
			}
			f.MasterKey = said.values["LOCUS_MASTER_KEY"]
		}
		return f.given(ctx)
	}
}

func (f dataFlags) master(ctx context.Context, d *db.DB, log *slog.Logger) (*keyring.Master, error) {
	path := f.masterFile()
	master, err := f.given(ctx)
	if f.MasterKey != "" || f.KeyCommand != "" || credential() != "" || !errors.Is(err, fs.ErrNotExist) {
		return master, err
	}
	n, err := d.Control().CountTenants(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for tenants: %w", err)
	}
	if n > 0 {
		return nil, fmt.Errorf("this database has tenants, so it has one already: give it by --master-key or LOCUS_MASTER_KEY, or put it into %s", path)
	}
	if err := os.MkdirAll(f.DataDir, 0o755); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	if master, err = keyring.LoadOrCreateMaster(path); err == nil {
		log.Warn("made a new master key: keep a copy of it apart from the database, and give it to every node", "file", path)
	}
	return master, err
}

// signerCacheBytes bounds the decrypted signing keys in memory: some 50,000.
const signerCacheBytes = 40 << 20
