package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/db/tenantdb"
)

// Names of the rows of a tenant's secret table.
const (
	SecretJWT           = "jwt"            // keyring MAC key: session tokens
	SecretDPoP          = "dpop"           // keyring MAC key: DPoP nonces
	SecretPLCRotation   = "plc_rotation"   // keyring rotation key
	SecretAdminPassword = "admin_password" // SHA-256 of the password, sealed
	SecretCredentials   = "credentials"    // keyring MAC key: mailed tokens, app passwords
	SecretCaptcha       = "captcha"        // secret key of the service that tells people from programs, sealed
	SecretSMTP          = "smtp"           // URL of the tenant's own mail server with its password, sealed
)

// Counters of control.counter.
const (
	counterTenant   = "tenant_id"
	counterRevision = "revision"
)

// Spec is what a new tenant is to be.
type Spec struct {
	Hostname string
	// HandleDomains with or without leading dot; none: the hostname itself, where that can be a handle domain.
	HandleDomains []string
	Settings      map[string]string // as for Set, without handle_domains and state
	AdminPassword string            // "": HTTP Basic is refused until one is set
	Node          int32             // the database that it lies in; 0: of those that take new tenants, the one with the fewest
}

// Create makes a tenant: its row and names, its schema, its secrets, and only then its state active. Each step can be
// repeated, and the row stays in state provisioning until the last, so after a crash the same call goes on where that
// one ended (with the settings of the new call). Errors: [ErrBadHostname], [ErrBadSetting], [ErrHostnameTaken],
// [ErrHandlesExist].
func (r *Registry) Create(ctx context.Context, spec Spec) (*Tenant, error) {
	plan, err := r.plan(spec)
	if err != nil {
		return nil, err
	}
	plan.spare = true
	if err := r.db.LearnNodes(ctx); err != nil {
		return nil, err
	}
	done, undo, err := r.handOver(ctx, nil, plan.names)
	if err != nil {
		return nil, err
	}
	row, err := r.reserve(ctx, plan)
	if err != nil {
		return nil, errors.Join(err, undo(ctx))
	}
	schema, err := db.ParseSchema(row.SchemaName)
	if err != nil {
		return nil, err
	}
	schema = schema.On(row.NodeID)
	if err := r.makeSchema(ctx, schema, row.Version); err != nil {
		return nil, err
	}
	if err := r.makeSecrets(ctx, schema, spec.AdminPassword); err != nil {
		return nil, err
	}
	if err := r.db.Control().InsertHandlesListed(ctx, row.TenantID); err != nil { // there are none
		return nil, fmt.Errorf("note the handles of %s: %w", plan.hostname, err)
	}
	if err := r.activate(ctx, row.TenantID); err != nil {
		return nil, err
	}
	if err := done(ctx); err != nil {
		return nil, err
	}
	return r.Get(ctx, plan.hostname)
}

type plan struct {
	hostname string
	names    map[string]int16 // every name and its kind
	settings []byte
	node     int32
	spare    bool // it may have a schema that was made ahead
}

func (r *Registry) plan(spec Spec) (plan, error) {
	hostname, err := checkHostname(spec.Hostname, r.cfg.Names)
	if err != nil {
		return plan{}, err
	}
	domains := spec.HandleDomains
	if len(domains) == 0 {
		if _, err := checkHandleDomain(hostname, r.cfg.Names); err == nil {
			domains = []string{hostname}
		}
	}
	names, err := r.namesOf(hostname, domains)
	if err != nil {
		return plan{}, err
	}
	picked, err := chosen{}.apply(spec.Settings)
	if err != nil {
		return plan{}, err
	}
	if spec.AdminPassword != "" {
		settings, err := picked.settings()
		if err == nil {
			err = checkAdminPassword(&settings, spec.AdminPassword)
		}
		if err != nil {
			return plan{}, err
		}
	}
	stored, err := json.Marshal(picked)
	if err != nil {
		return plan{}, fmt.Errorf("settings: %w", err)
	}
	return plan{hostname: hostname, names: names, settings: stored, node: spec.Node}, nil
}

func (r *Registry) namesOf(hostname string, domains []string, former ...Former) (map[string]int16, error) {
	names := map[string]int16{hostname: nameHost}
	for _, f := range former {
		names[f.Hostname] |= nameFormer
	}
	for _, d := range domains {
		d, err := checkHandleDomain(d, r.cfg.Names)
		if err != nil {
			return nil, err
		}
		names[d] |= nameHandle
	}
	if _, ok := names[r.cfg.Reserved]; ok {
		return nil, fmt.Errorf("%w: %s is where the operator API is", ErrHostnameTaken, r.cfg.Reserved)
	}
	if len(names) > maxNames {
		return nil, fmt.Errorf("%w: a tenant has at most %d names", ErrBadHostname, maxNames)
	}
	return names, nil
}

// reserve claims id, schema name and names, or finds the unfinished creation of the same hostname and takes it over.
func (r *Registry) reserve(ctx context.Context, p plan) (controldb.Tenant, error) {
	var row controldb.Tenant
	err := r.db.ControlTx(ctx, func(q *controldb.Queries) error {
		old, err := q.GetTenantByHostname(ctx, p.hostname)
		if err == nil {
			old, err = q.LockTenant(ctx, old.TenantID)
		}
		switch {
		case err == nil && State(old.State) != Provisioning:
			return fmt.Errorf("%w: there is a tenant %s already", ErrHostnameTaken, p.hostname)
		case err == nil:
			row = old
			return r.renew(ctx, q, old.TenantID, p)
		case !db.IsNoRows(err):
			return fmt.Errorf("look for tenant %s: %w", p.hostname, err)
		}
		node, err := r.nodeFor(ctx, q, p.node)
		if err != nil {
			return err
		}
		id, version, err := r.takeID(ctx, q, node, p.spare)
		if err != nil {
			return fmt.Errorf("take a tenant id: %w", err)
		}
		revision, err := q.LockNextCounter(ctx, counterRevision)
		if err != nil {
			return fmt.Errorf("take a revision: %w", err)
		}
		row = controldb.Tenant{
			TenantID: id, Hostname: p.hostname, SchemaName: schemaName(id), ServiceDID: r.serviceDID(p.hostname),
			NodeID: node, State: int16(Provisioning), Settings: p.settings, Revision: revision, CreatedAt: r.now().UTC().Truncate(time.Microsecond),
		}
		err = q.InsertTenant(ctx, controldb.InsertTenantParams{
			TenantID: row.TenantID, Hostname: row.Hostname, SchemaName: row.SchemaName, ServiceDID: row.ServiceDID, NodeID: row.NodeID,
			State: row.State, Version: row.Version, Settings: row.Settings, Revision: row.Revision, CreatedAt: row.CreatedAt,
		})
		if err != nil {
			return r.taken(err, p.hostname)
		}
		if version > 0 {
			row.Version = version
			if err := r.db.NoteVersion(ctx, q, row.SchemaName, version); err != nil {
				return err
			}
		}
		return r.insertNames(ctx, q, id, p.names)
	})
	return row, err
}

// nodeFor is the database that a new tenant goes to, of those that this process can reach.
func (r *Registry) nodeFor(ctx context.Context, q *controldb.Queries, wanted int32) (int32, error) {
	known := r.db.KnownNodes()
	if wanted != 0 {
		if !slices.Contains(known, wanted) {
			return 0, fmt.Errorf("%w: %d", db.ErrNoNode, wanted)
		}
		return wanted, nil
	}
	node, err := q.GetNodeForNewTenant(ctx, known)
	if db.IsNoRows(err) {
		return 0, fmt.Errorf("%w: of the databases that this process knows, none takes new tenants ('locus node list')", db.ErrNoNode)
	}
	if err != nil {
		return 0, fmt.Errorf("choose a node: %w", err)
	}
	return node, nil
}

// renew gives an unfinished creation the names and settings of the new call.
func (r *Registry) renew(ctx context.Context, q *controldb.Queries, id int64, p plan) error {
	revision, err := q.LockNextCounter(ctx, counterRevision)
	if err != nil {
		return fmt.Errorf("take a revision: %w", err)
	}
	if _, err := q.UpdateTenantSettings(ctx, controldb.UpdateTenantSettingsParams{TenantID: id, Settings: p.settings, Revision: revision}); err != nil {
		return fmt.Errorf("store settings: %w", err)
	}
	return r.replaceNames(ctx, q, id, p.names)
}

// replaceNames keeps what is known of former names.
func (r *Registry) replaceNames(ctx context.Context, q *controldb.Queries, id int64, names map[string]int16) error {
	had, err := q.ListHostnamesOfTenant(ctx, controldb.ListHostnamesOfTenantParams{TenantID: id, MaxRows: maxNames})
	if err != nil {
		return fmt.Errorf("replace hostnames: %w", err)
	}
	if _, err := q.DeleteHostnamesOfTenant(ctx, id); err != nil {
		return fmt.Errorf("replace hostnames: %w", err)
	}
	if err := r.insertNames(ctx, q, id, names); err != nil {
		return err
	}
	for _, n := range had {
		if n.FormerSince == nil {
			continue
		}
		if _, err := q.UpdateHostnameFormer(ctx, controldb.UpdateHostnameFormerParams{Hostname: n.Hostname, TenantID: id, Since: n.FormerSince}); err != nil {
			return fmt.Errorf("replace hostnames: %w", err)
		}
	}
	return nil
}

func (r *Registry) insertNames(ctx context.Context, q *controldb.Queries, id int64, names map[string]int16) error {
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted) // two creations take names in the same order and cannot deadlock
	for _, name := range sorted {
		err := q.InsertHostname(ctx, controldb.InsertHostnameParams{Hostname: name, TenantID: id, Kind: names[name]})
		if err != nil {
			return r.taken(err, name)
		}
	}
	return nil
}

func (r *Registry) taken(err error, name string) error {
	if _, ok := db.IsUnique(err); ok {
		return fmt.Errorf("%w: %s", ErrHostnameTaken, name)
	}
	return fmt.Errorf("insert %s: %w", name, err)
}

// errSchemaInUse: the next free id has a schema with somebody's data in it, as after restoring an old control schema.
var errSchemaInUse = errors.New("the schema is there already and not empty")

// makeSchema makes the schema, or takes over what an earlier call or [Registry.KeepSpares] made: it came into being in one
// transaction, so it is whole. A schema that was ever used is not taken over. version is what control has of it.
func (r *Registry) makeSchema(ctx context.Context, schema db.Schema, version int64) error {
	if version == r.version { // not to be tried: an attempt to make it waits for the disk
		if err := r.unused(ctx, schema); !db.IsUndefined(err) {
			return err
		}
		// It is not there, as after its database alone was restored.
	}
	err := r.db.CreateTenantSchema(ctx, schema)
	if !errors.Is(err, db.ErrSchemaExists) {
		return err
	}
	if err := r.db.MigrateTenant(ctx, schema); err != nil {
		return err
	}
	return r.unused(ctx, schema)
}

// unused refuses a schema that a tenant was served from.
func (r *Registry) unused(ctx context.Context, schema db.Schema) error {
	head, err := r.db.Tenant(schema).Q().GetStreamHead(ctx)
	if err != nil {
		return fmt.Errorf("look into %s: %w", schema, err)
	}
	if head.LastSeq != 0 || head.NextAID != 1 {
		return fmt.Errorf("create tenant in %s: %w", schema, errSchemaInUse)
	}
	return nil
}

// makeSecrets inserts what is not there yet: two calls that run at once end with one set of keys.
func (r *Registry) makeSecrets(ctx context.Context, schema db.Schema, adminPassword string) error {
	now := r.now().UTC()
	var rows []tenantdb.InsertSecretParams
	for _, purpose := range []string{SecretJWT, SecretDPoP, SecretCredentials} {
		sealed, err := r.keys.GenerateMACKey(schema.String(), purpose)
		if err != nil {
			return fmt.Errorf("make secret %s: %w", purpose, err)
		}
		rows = append(rows, tenantdb.InsertSecretParams{Purpose: purpose, Sealed: sealed, CreatedAt: now})
	}
	sealed, didKey, err := r.keys.GenerateRotationKey(schema.String())
	if err != nil {
		return fmt.Errorf("make rotation key: %w", err)
	}
	rows = append(rows, tenantdb.InsertSecretParams{Purpose: SecretPLCRotation, Sealed: sealed, Public: didKey, CreatedAt: now})
	return r.db.Tenant(schema).Tx(ctx, func(q *tenantdb.Queries) error {
		if err := q.UpdateStreamBegins(ctx); err != nil {
			return fmt.Errorf("begin the stream: %w", err)
		}
		for _, row := range rows {
			if err := q.InsertSecret(ctx, row); err != nil {
				return fmt.Errorf("store secret %s: %w", row.Purpose, err)
			}
		}
		if adminPassword == "" {
			return nil
		}
		return r.storeAdminPassword(ctx, q, schema, adminPassword)
	})
}

func (r *Registry) activate(ctx context.Context, id int64) error {
	return r.db.ControlTx(ctx, func(q *controldb.Queries) error {
		row, err := q.LockTenant(ctx, id)
		if err != nil {
			return fmt.Errorf("lock tenant %d: %w", id, err)
		}
		if State(row.State) != Provisioning {
			return nil // the other of two calls was first
		}
		return r.setState(ctx, q, id, Active)
	})
}

func (r *Registry) setState(ctx context.Context, q *controldb.Queries, id int64, state State) error {
	revision, err := q.LockNextCounter(ctx, counterRevision)
	if err != nil {
		return fmt.Errorf("take a revision: %w", err)
	}
	if _, err := q.UpdateTenantState(ctx, controldb.UpdateTenantStateParams{TenantID: id, State: int16(state), Revision: revision}); err != nil {
		return fmt.Errorf("set state %s: %w", state, err)
	}
	return nil
}
