package act

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/archive"
	"github.com/auroralocus/locus/internal/firehose"
	"github.com/auroralocus/locus/internal/tenant"
)

const (
	actTenantBackup  = "tenant backup"
	actTenantRestore = "tenant restore"
	actTenantClone   = "tenant clone"
)

// ErrLiving refuses to put an archive in the place of a tenant that is there.
var ErrLiving = errors.New("there is such a tenant already")

// ErrOtherTenant refuses to put an archive of one tenant in the place of another one.
var ErrOtherTenant = errors.New("the archive is of another tenant")

// Archives keep tenants in files, and make tenants of files. They need what [TenantActs] need, the keys and the files.
type Archives struct {
	db      *db.DB
	tenants *tenant.Registry
	hub     *firehose.Hub
	store   *archive.Store
	now     func() time.Time
	log     *slog.Logger
}

// NewArchives makes them.
func NewArchives(d *db.DB, tenants *tenant.Registry, hub *firehose.Hub, store *archive.Store, now func() time.Time, log *slog.Logger) *Archives {
	return &Archives{d, tenants, hub, store, now, log}
}

// Backup writes an archive of a tenant, while it is served. A line of the tenant's log says so, and is not in the archive.
func (a *Archives) Backup(ctx context.Context, t *tenant.Tenant, by Operator, w io.Writer, o archive.Options) (archive.Header, archive.Manifest, error) {
	kept, err := a.kept(ctx, t)
	if err != nil {
		return archive.Header{}, archive.Manifest{}, err
	}
	h, m, err := a.store.Dump(ctx, t.Schema, kept, w, o)
	if err != nil {
		return h, m, err
	}
	detail := map[string]any{"blobs": o.Blobs, "encrypted": o.Lock.Encrypts(), "lastSeq": h.LastSeq, "rows": m.Rows, "files": m.Blobs, "missing": m.Missing}
	return h, m, a.db.Tenant(t.Schema).Tx(ctx, func(q *tenantdb.Queries) error {
		return record(ctx, q, a.now(), by, actTenantBackup, deed{t.Hostname, detail})
	})
}

func (a *Archives) kept(ctx context.Context, t *tenant.Tenant) (archive.Tenant, error) {
	settings, err := a.tenants.Kept(ctx, t)
	return archive.Tenant{
		Hostname: t.Hostname, ServiceDID: t.ServiceDID, SchemaName: t.Schema.String(), HandleDomains: t.HandleDomains, Settings: settings, CreatedAt: t.CreatedAt.UTC(),
	}, err
}

// Restore says what is to be restored.
type Restore struct {
	// Open opens the archive, decrypted. It is read twice: to prove it, and to load it.
	Open func() (io.ReadCloser, error)
	// Name is what the archive is called, for notes about it.
	Name string
	// Hostname is the tenant's; "": the one that it had.
	Hostname string
	// Replace puts the archive in the place of a tenant that is there.
	Replace bool
	// Node is the database for a tenant that is not there; 0: as for new ones.
	Node     int32
	Settings map[string]string // that are to be other ones than in the archive, of a tenant that is not there
	Progress archive.Progress
	// Job is the piece of work that does it; the log of the tenant has it with the moment of truth.
	Job string

	fresh bool // keys of its own: see [Archives.Clone]
}

// Restored is what came of it.
type Restored struct {
	Tenant   *tenant.Tenant
	Header   archive.Header
	Loaded   archive.Loaded
	Replaced bool
	NextSeq  int64 // of the next event
	Told     int64 // accounts of which consumers were told anew
}

// Restore makes a tenant of an archive, or puts the archive in the place of one. Nothing that is there is changed before
// the archive is loaded and whole. Afterwards the stream goes on behind every number that consumers may know, and tells
// them anew of every account that is not as they know it: of all where nobody knows what they know.
//
// A restore that did not end is begun anew by the same call. Errors: [ErrLiving], [ErrOtherTenant], [db.ErrInUse], those of
// [archive.Store.Check] and [tenant.Registry.Adopt].
func (a *Archives) Restore(ctx context.Context, by Operator, r Restore) (out Restored, err error) {
	if r.Progress == nil {
		r.Progress = func(string, int64, int64) {}
	}
	if err := a.read(r, func(in io.Reader) (err error) {
		out.Header, _, err = a.store.Check(ctx, in, r.Progress)
		return err
	}); err != nil {
		return out, err
	}
	if r.Hostname == "" {
		r.Hostname = out.Header.Tenant.Hostname
	}
	living, err := a.tenants.Get(ctx, r.Hostname)
	switch {
	case errors.Is(err, tenant.ErrNotFound):
		err = a.restoreNew(ctx, by, r, &out)
	case err != nil:
	case living.State == tenant.Provisioning:
		err = a.restoreNew(ctx, by, r, &out)
	case !r.Replace:
		err = fmt.Errorf("%w: %s", ErrLiving, living.Hostname)
	case living.Usable() != nil:
		err = living.Usable()
	default:
		out.Replaced = true
		err = a.restoreOver(ctx, by, living, r, &out)
	}
	return out, err
}

func (a *Archives) read(r Restore, do func(io.Reader) error) error {
	in, err := r.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	return do(in)
}

func (a *Archives) load(ctx context.Context, r Restore, to archive.Target, out *Restored) error {
	to.Progress = r.Progress
	if err := a.store.Clear(ctx, to.Rows); err != nil {
		return err
	}
	err := a.read(r, func(in io.Reader) (err error) {
		out.Header, out.Loaded, err = a.store.Load(ctx, in, to)
		return err
	})
	if err != nil {
		// What was loaded goes; if the process dies before, the next call takes it away.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return errors.Join(err, a.store.Clear(ctx, to.Rows))
	}
	return nil
}

// restoreNew makes a tenant that is not there.
func (a *Archives) restoreNew(ctx context.Context, by Operator, r Restore, out *Restored) (err error) {
	was := out.Header.Tenant
	adopted := tenant.Adopted{Hostname: r.Hostname, HandleDomains: was.HandleDomains, Settings: was.Settings, Change: r.Settings, Node: r.Node}
	moved := !strings.EqualFold(r.Hostname, was.Hostname)
	if moved {
		adopted.HandleDomains = nil // the hostname
	}
	out.Tenant, err = a.tenants.Adopt(ctx, adopted, func(ctx context.Context, t *tenant.Tenant) error {
		to := archive.Target{Rows: t.Schema, Owner: t.Schema, Location: t.Settings.BlobStore}
		if err := a.load(ctx, r, to, out); err != nil {
			return err
		}
		last, err := a.settle(ctx, t.Schema, func(q *tenantdb.Queries) (int64, error) {
			if moved {
				if err := moveHandles(ctx, q, was.HandleDomains, t.Hostname); err != nil {
					return 0, err
				}
			}
			last, err := firehose.JumpPast(ctx, q, out.Header.LastSeq, firehose.JumpBy, a.now())
			if err != nil {
				return 0, err
			}
			return last, record(ctx, q, a.now(), by, actTenantRestore, deed{t.Hostname, restoredDetail(out, last, r.Job)})
		})
		if err != nil {
			return err
		}
		out.NextSeq = last + 1
		if r.fresh {
			if err := a.ownKeys(ctx, t.Schema, r.Progress); err != nil {
				return err
			}
		}
		return a.tellAll(ctx, t.Schema, last, out, r.Progress)
	})
	return err
}

func (a *Archives) settle(ctx context.Context, s db.Schema, do func(q *tenantdb.Queries) (int64, error)) (last int64, err error) {
	err = a.db.Tenant(s).Tx(ctx, func(q *tenantdb.Queries) (err error) {
		last, err = do(q)
		return err
	})
	return last, err
}

// restoredLine is what the log says of a restore.
type restoredLine struct {
	MadeAt   time.Time `json:"madeAt"`
	Of       string    `json:"of"`
	LastSeq  int64     `json:"lastSeq"`
	NextSeq  int64     `json:"nextSeq"`
	Replaced bool      `json:"replaced"`
	Rows     int64     `json:"rows"`
	Files    int64     `json:"files"`
	Missing  int64     `json:"missingFiles"`
	Job      string    `json:"job,omitempty"`
}

func restoredDetail(out *Restored, last int64, by string) restoredLine {
	h := out.Header
	return restoredLine{h.MadeAt, h.Tenant.Hostname, h.LastSeq, last + 1, out.Replaced, out.Loaded.Rows, out.Loaded.Blobs, out.Loaded.BlobsMissing, by}
}

// moveHandles gives handles under the former domains the same name under the tenant's hostname.
func moveHandles(ctx context.Context, q *tenantdb.Queries, domains []string, hostname string) error {
	for _, was := range domains {
		if _, err := q.UpdateHandlesMoved(ctx, tenantdb.UpdateHandlesMovedParams{Was: was, Becomes: hostname}); err != nil {
			return fmt.Errorf("handles under %s: %w", was, err)
		}
	}
	return nil
}

// restoreOver puts the archive in the place of a tenant that is served.
func (a *Archives) restoreOver(ctx context.Context, by Operator, t *tenant.Tenant, r Restore, out *Restored) error {
	h := out.Header.Tenant
	same := h.SchemaName == t.Schema.String() && h.CreatedAt.Equal(t.CreatedAt)
	if !strings.EqualFold(h.Hostname, t.Hostname) && r.Hostname == h.Hostname && !same {
		return fmt.Errorf("%w: of %s", ErrOtherTenant, h.Hostname)
	}
	fresh, was, err := beside(t.Schema)
	if err != nil {
		return err
	}
	// An earlier restore may have ended between its swap and its end.
	if err := a.finish(ctx, t, was, out, r.Progress); err != nil {
		return err
	}
	to := archive.Target{Rows: fresh, Owner: t.Schema, Same: same, Location: t.Settings.BlobStore}
	if err := a.load(ctx, r, to, out); err != nil {
		return err
	}
	if err := a.tenants.ForgetHandles(ctx, t); err != nil {
		return errors.Join(err, a.store.Clear(context.WithoutCancel(ctx), fresh))
	}
	r.Progress("taking the tenant's place", 0, 0)
	var seen, last int64
	err = a.db.SwapTenantSchema(ctx, t.Schema, fresh, was, func(tx *db.LoadTx) (err error) {
		seen, err = tx.Q().GetLastSeq(ctx)
		return err
	}, func(tx *db.LoadTx) (err error) {
		if last, err = firehose.JumpPast(ctx, tx.Q(), max(seen, out.Header.LastSeq), firehose.JumpBy, a.now()); err != nil {
			return err
		}
		return record(ctx, tx.Q(), a.now(), by, actTenantRestore, deed{t.Hostname, restoredDetail(out, last, r.Job)})
	})
	if err != nil {
		return errors.Join(err, a.store.Clear(context.WithoutCancel(ctx), fresh))
	}
	// Committed: the tenant is what the archive was.
	a.hub.Doubt(t.Schema)
	a.log.WarnContext(ctx, "a tenant was replaced by an archive", "hostname", t.Hostname, "archive", out.Header.MadeAt, "next_event", last+1)
	out.NextSeq = last + 1
	// Again: somebody may have read the handles of before the swap.
	if err := errors.Join(a.tenants.ForgetHandles(ctx, t), a.finish(ctx, t, was, out, r.Progress)); err != nil {
		return fmt.Errorf("the archive has taken the place of %s, and this was left undone (run the command again): %w", t.Hostname, err)
	}
	out.Tenant, err = a.tenants.Set(ctx, t.Hostname, nil) // a new revision: processes forget the secrets that they hold
	return err
}

// Complete ends a restore that has put its archive in the place of a tenant, and whose process died then.
func (a *Archives) Complete(ctx context.Context, t *tenant.Tenant, progress archive.Progress) (out Restored, err error) {
	out.Replaced = true
	_, was, err := beside(t.Schema)
	if err == nil {
		err = a.finish(ctx, t, was, &out, progress)
	}
	if err != nil {
		return out, err
	}
	out.Tenant, err = a.tenants.Set(ctx, t.Hostname, nil)
	return out, err
}

// beside are the schemas that a tenant has for a while: the one that is loaded, and the one that was replaced.
func beside(s db.Schema) (fresh, was db.Schema, err error) {
	if fresh, err = db.ParseSchema(s.String() + "_in"); err == nil {
		was, err = db.ParseSchema(s.String() + "_was")
	}
	return fresh.On(s.Node()), was.On(s.Node()), err
}
