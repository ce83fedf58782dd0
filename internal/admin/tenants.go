package admin

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// tenantOperations are /v1/tenants.
type tenantOperations struct {
	acts    *act.Acts
	db      *db.DB
	tenants *tenant.Registry
	now     func() time.Time
}

func (o tenantOperations) register(g *group) {
	support(g, get("/v1/tenants", "listTenants", "List tenants, by number."), o.list)
	owner(g, post("/v1/tenants", "createTenant", "Create a tenant, which is served within about a second.").
		saying("A tenant whose creation was interrupted is completed by the same request.").answering(http.StatusCreated), o.create)
	tenantReader(g, get("/v1/tenants/{tenant}", "getTenant", "Show one tenant with all its settings."), o.get)
	tenantChanger(g, patch("/v1/tenants/{tenant}/settings", "setTenant", "Change settings of a tenant. Running servers follow within a second or two.").
		saying("What shares out the deployment, such as quotas, handle domains and stores, is for the owner only: listSettings says which keys."), o.set)
	tenantChanger(g, put("/v1/tenants/{tenant}/smtp", "setTenantMailServer", "Give a tenant a mail server of its own. Its URL is stored sealed and shown nowhere."), o.setSMTP)
	tenantChanger(g, remove("/v1/tenants/{tenant}/smtp", "deleteTenantMailServer", "Have a tenant's mail sent by the deployment's server again."), o.deleteSMTP)
	tenantChanger(g, post("/v1/tenants/{tenant}/rotate-secrets", "rotateTenantSecrets", "Replace the secrets that a tenant signs its tokens with. Nobody is signed out.").
		saying("With endSessions everybody is."), o.rotateSecrets)
	anybody(g, get("/v1/settings", "listSettings", "List what can be set of a tenant."), o.settings)
}

// TenantSummary is a tenant as it is listed.
type TenantSummary struct {
	ID            int64     `json:"id" doc:"Number, which stays when the hostname changes."`
	Hostname      string    `json:"hostname" doc:"Canonical hostname."`
	State         string    `json:"state" doc:"provisioning, active, moving, suspended or deleting."`
	URL           string    `json:"url" doc:"Public origin."`
	Node          int32     `json:"node" doc:"Number of the Postgres server that holds it."`
	CreatedAt     time.Time `json:"createdAt" doc:"When it was made."`
	QuotasReached []string  `json:"quotasReached" doc:"Quotas that it ran into today or yesterday."`
}

// TenantDetail is a tenant with everything.
type TenantDetail struct {
	TenantSummary
	ServiceDID    string            `json:"serviceDid" doc:"Its own DID."`
	Schema        string            `json:"schema" doc:"Its schema in Postgres."`
	HandleDomains []string          `json:"handleDomains" doc:"Domains under which accounts have handles."`
	Settings      map[string]string `json:"settings" doc:"All settings, the defaults too."`
	FormerNames   []string          `json:"formerNames" doc:"Hostnames that it had, which still lead to it."`
	Life          *TenantLife       `json:"life,omitempty" doc:"Why it is not served, and since when; missing while it is."`
}

// TenantLife is why a tenant is not served.
type TenantLife struct {
	SuspendedAt   *time.Time `json:"suspendedAt,omitempty" doc:"When it was suspended."`
	SuspendReason string     `json:"suspendReason,omitempty" doc:"Why."`
	DeletedAt     *time.Time `json:"deletedAt,omitempty" doc:"When it was deleted."`
	DeleteReason  string     `json:"deleteReason,omitempty" doc:"Why."`
	PurgeAt       *time.Time `json:"purgeAt,omitempty" doc:"Until then a deletion can be undone."`
}

func lifeOf(l tenant.Life) *TenantLife {
	if l == (tenant.Life{}) {
		return nil
	}
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return new(t.UTC())
	}
	return &TenantLife{at(l.SuspendedAt), l.SuspendReason, at(l.DeletedAt), l.DeleteReason, at(l.PurgeAt)}
}

// TenantPath names the tenant that an operation is about. Huma finds the defaults of exported types only.
type TenantPath struct {
	Tenant string `path:"tenant" doc:"Hostname or number of the tenant." maxLength:"253"`
}

type tenantOutput struct{ Body TenantDetail }

func (o tenantOperations) detail(ctx context.Context, t *tenant.Tenant) (*tenantOutput, error) {
	reached, err := usage.Reached(ctx, o.db, []int64{t.ID}, o.now())
	if err != nil {
		return nil, err
	}
	life, err := o.tenants.Life(ctx, t)
	if err != nil {
		return nil, err
	}
	former := make([]string, len(t.Former))
	for i, f := range t.Former {
		former[i] = f.Hostname
	}
	settings := map[string]string{}
	for _, f := range tenant.Fields() {
		if f.Key != tenant.KeyHandleDomains {
			settings[f.Key] = f.Text(&t.Settings)
		}
	}
	return &tenantOutput{TenantDetail{
		TenantSummary: summaryOf(t, reached), ServiceDID: t.ServiceDID, Schema: t.Schema.String(),
		HandleDomains: append([]string{}, t.HandleDomains...), Settings: settings,
		FormerNames: former, Life: lifeOf(life),
	}}, nil
}

func summaryOf(t *tenant.Tenant, reached map[int64][]string) TenantSummary {
	return TenantSummary{
		ID: t.ID, Hostname: t.Hostname, State: t.State.String(), URL: t.PublicURL, Node: t.NodeID, CreatedAt: t.CreatedAt.UTC(),
		QuotasReached: append([]string{}, reached[t.ID]...),
	}
}

type listTenantsInput struct {
	State  string `query:"state" enum:"provisioning,active,moving,suspended,deleting" doc:"Only those in this state."`
	Cursor string `query:"cursor" doc:"The cursor of the page before." maxLength:"20" pattern:"^[0-9]*$"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many at most."`
}

type listTenantsOutput struct {
	Body struct {
		Tenants []TenantSummary `json:"tenants" doc:"The page."`
		Cursor  string          `json:"cursor,omitempty" doc:"There may be more: give this for the next page."`
	}
}

func (o tenantOperations) list(ctx context.Context, _ SupportCaller, in *listTenantsInput) (*listTenantsOutput, error) {
	all, err := o.tenants.List(ctx)
	if err != nil {
		return nil, err
	}
	after, _ := strconv.ParseInt("0"+in.Cursor, 10, 64) // digits, by its pattern; too many of them are behind everything
	all = slices.DeleteFunc(all, func(t *tenant.Tenant) bool {
		return t.ID <= after || in.State != "" && t.State.String() != in.State
	})
	slices.SortFunc(all, func(a, b *tenant.Tenant) int { return int(min(1, max(-1, a.ID-b.ID))) })
	out := new(listTenantsOutput)
	if len(all) > in.Limit {
		all = all[:in.Limit]
		out.Body.Cursor = strconv.FormatInt(all[in.Limit-1].ID, 10)
	}
	ids := make([]int64, len(all))
	for i, t := range all {
		ids[i] = t.ID
	}
	reached, err := usage.Reached(ctx, o.db, ids, o.now())
	if err != nil {
		return nil, err
	}
	out.Body.Tenants = make([]TenantSummary, len(all))
	for i, t := range all {
		out.Body.Tenants[i] = summaryOf(t, reached)
	}
	return out, nil
}

type createTenantInput struct {
	Body struct {
		Hostname      string            `json:"hostname" minLength:"1" maxLength:"253" doc:"Canonical hostname of the new PDS." example:"pds.example.com"`
		HandleDomains []string          `json:"handleDomains,omitempty" maxItems:"50" doc:"Domains under which accounts get handles. None: the hostname."`
		AdminPassword string            `json:"adminPassword,omitempty" maxLength:"256" doc:"Password of HTTP Basic user admin on this tenant."`
		Node          string            `json:"node,omitempty" maxLength:"80" doc:"Name of the database that it lies in: see listNodes. None: of those that take new tenants, the one with the fewest."`
		Settings      map[string]string `json:"settings,omitempty" doc:"Settings by key, as text: see listSettings."`
	}
}

func (o tenantOperations) create(ctx context.Context, c OwnerCaller, in *createTenantInput) (*tenantOutput, error) {
	spec := tenant.Spec{
		Hostname: in.Body.Hostname, HandleDomains: in.Body.HandleDomains, Settings: in.Body.Settings, AdminPassword: in.Body.AdminPassword,
	}
	if in.Body.Node != "" {
		n, err := o.tenants.Node(ctx, in.Body.Node)
		if err != nil {
			return nil, err
		}
		spec.Node = n.ID
	}
	t, err := o.acts.CreateTenant(ctx, c.by(), spec)
	if err != nil {
		return nil, err
	}
	return o.detail(ctx, t)
}

func (o tenantOperations) get(ctx context.Context, c TenantReader, _ *TenantPath) (*tenantOutput, error) {
	return o.detail(ctx, c.Tenant)
}

type setTenantInput struct {
	TenantPath
	Body struct {
		Settings      map[string]string `json:"settings,omitempty" doc:"Settings by key, as text; an empty text goes back to the default."`
		AdminPassword string            `json:"adminPassword,omitempty" maxLength:"256" doc:"New password of HTTP Basic user admin."`
	}
}

func (o tenantOperations) set(ctx context.Context, c TenantChanger, in *setTenantInput) (*tenantOutput, error) {
	if len(in.Body.Settings) == 0 && in.Body.AdminPassword == "" {
		return nil, refuse(http.StatusBadRequest, codeInvalid, "There is nothing to set: give settings or adminPassword")
	}
	if c.Role != auth.DeploymentOwner {
		for _, key := range slices.Sorted(maps.Keys(in.Body.Settings)) {
			if tenant.OfDeployment(key) {
				why := "The setting " + key + " is for the owner of the deployment only"
				return nil, errors.Join(refuse(http.StatusForbidden, codeForbidden, "%s", why), o.acts.Refused(ctx, c.by(), "tenant set", c.Tenant.ID, c.Tenant.Hostname, codeForbidden))
			}
		}
	}
	t, err := o.acts.SetTenant(ctx, c.Tenant, c.by(), in.Body.Settings, in.Body.AdminPassword)
	if err != nil {
		return nil, err
	}
	return o.detail(ctx, t)
}

type rotateSecretsInput struct {
	TenantPath
	Body *struct {
		EndSessions bool `json:"endSessions,omitempty" doc:"Refuse what was signed before, instead of taking it for its time: everybody signs in again."`
	}
}

type rotateSecretsOutput struct {
	Body struct {
		SignsFrom time.Time `json:"signsFrom" doc:"From when the new secrets sign: then every server knows them."`
	}
}

func (o tenantOperations) rotateSecrets(ctx context.Context, c TenantChanger, in *rotateSecretsInput) (*rotateSecretsOutput, error) {
	out := &rotateSecretsOutput{}
	var err error
	out.Body.SignsFrom, err = o.acts.RotateSecrets(ctx, c.Tenant, c.by(), in.Body != nil && in.Body.EndSessions)
	if err != nil {
		return nil, err
	}
	return out, nil
}

type setSMTPInput struct {
	TenantPath
	Body struct {
		URL string `json:"url" minLength:"1" maxLength:"2000" doc:"smtp://user:password@host:port or smtps://…"`
	}
}

type noOutput struct{}

func (o tenantOperations) setSMTP(ctx context.Context, c TenantChanger, in *setSMTPInput) (*noOutput, error) {
	return nil, o.acts.SetSMTP(ctx, c.Tenant, c.by(), in.Body.URL)
}

func (o tenantOperations) deleteSMTP(ctx context.Context, c TenantChanger, _ *TenantPath) (*noOutput, error) {
	return nil, o.acts.SetSMTP(ctx, c.Tenant, c.by(), "")
}

// Setting describes one key.
type Setting struct {
	Key     string   `json:"key" doc:"The key."`
	Kind    string   `json:"kind" doc:"bool, int, text, list (comma separated) or one of words."`
	Words   []string `json:"words,omitempty" doc:"The words that there may be."`
	Default string   `json:"default" doc:"What holds when nothing was set."`
	Meaning string   `json:"meaning" doc:"What it does."`
	Owner   bool     `json:"ownerOnly" doc:"Only the deployment's owner may change it."`
}

type settingsOutput struct {
	Body struct {
		Settings []Setting `json:"settings" doc:"All of them."`
	}
}

func (o tenantOperations) settings(context.Context, Caller, *struct{}) (*settingsOutput, error) {
	out := new(settingsOutput)
	for _, f := range tenant.Fields() {
		s := Setting{Key: f.Key, Kind: f.Kind, Default: f.Default, Meaning: f.Doc, Owner: tenant.OfDeployment(f.Key)}
		if strings.Contains(f.Kind, "|") {
			s.Kind, s.Words = "word", strings.Split(f.Kind, "|")
		}
		out.Body.Settings = append(out.Body.Settings, s)
	}
	return out, nil
}
