package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
)

// keyOperations are /v1/master-keys. No key ever goes through them: the processes have theirs from elsewhere.
type keyOperations struct {
	masters  *act.MasterKeys
	jobs     *job.Runner
	counting chan struct{} // one at a time
}

// countTime is how long what is sealed is counted for an answer. 'locus key status' takes all the time that it needs.
const countTime = 20 * time.Second

func (o keyOperations) register(g *group) {
	owner(g, get("/v1/master-keys", "listMasterKeys", "Show the deployment's master keys, and which processes have them.").
		saying("With count also how much is sealed under each, and how old the tenants' token secrets are: that asks every tenant. What is not counted in 20 seconds is not told, and counted is false. The keys themselves are never shown."), o.list)
	owner(g, post("/v1/master-keys/rotate", "rotateMasterKey", "Put one master key in the place of another, while all processes serve.").
		saying("Every process needs the new key first, behind the one in use; it waits for them. The answer is the job that does it: getJob watches it. It can be cancelled until the new key seals.").answering(http.StatusAccepted), o.rotate)
}

// MasterKey is a master key of the deployment.
type MasterKey struct {
	ID          int        `json:"id" doc:"Its number."`
	Fingerprint string     `json:"fingerprint" doc:"Tells keys of one number apart, and nothing about the key."`
	State       string     `json:"state" enum:"given,announced,seals,opens,refused" doc:"given: the process that answers has it, and the deployment has not heard of it. announced: processes are to know it. seals: everything new is sealed under it. opens: what it sealed is being resealed. refused: nothing opens by it any more."`
	Since       *time.Time `json:"since,omitempty" doc:"Since when it is in that state."`
	Values      *int64     `json:"values,omitempty" doc:"Values that are sealed under it: with count."`
	Here        bool       `json:"here" doc:"The process that answers has it."`
	ProvedAt    *time.Time `json:"copyProvedAt,omitempty" doc:"When a copy of it was last proved ('locus key check'). Left out: never."`
	ProvedBy    string     `json:"copyProvedBy,omitempty" doc:"Who did."`
}

// KeyProcess is a process that serves, as far as master keys go.
type KeyProcess struct {
	Address string `json:"address" doc:"Where it listens."`
	Version string `json:"version" doc:"Of its program."`
	Says    bool   `json:"says" doc:"It says which keys it has: older versions do not."`
	Lacks   []int  `json:"lacks" doc:"Keys of the deployment that it has not."`
	Follows bool   `json:"follows" doc:"It goes by the list of keys as it is now."`
}

// SecretAge says how old a tenant's token secrets are.
type SecretAge struct {
	TenantID int64     `json:"tenantId" doc:"Number of the tenant."`
	Hostname string    `json:"hostname" doc:"Its hostname."`
	Since    time.Time `json:"since" doc:"When the secret was made that its session tokens are signed with."`
}

// ListKeysInput is public for Huma.
type ListKeysInput struct {
	Count bool `query:"count" doc:"Count what is sealed under each key."`
}

type keysOutput struct {
	Body struct {
		Keys       []MasterKey      `json:"keys" doc:"All of them, also those that are refused."`
		Counted    bool             `json:"counted" doc:"What is sealed was counted."`
		Unknown    map[string]int64 `json:"unknown,omitempty" doc:"Values under keys that are in no list, by the key's number."`
		Tenants    int              `json:"tenants" doc:"Tenants that were counted."`
		LeftBehind int64            `json:"leftBehind" doc:"Copies that moved tenants left behind, which are not counted."`
		Processes  []KeyProcess     `json:"processes" doc:"The processes that serve."`
		Secrets    []SecretAge      `json:"tokenSecrets" doc:"With count: the tenants whose token secrets are the oldest, those first, at most 100. rotateTenantSecrets replaces them."`
	}
}

// status gives the count up when its time is over, and tells the rest.
func (o keyOperations) status(ctx context.Context, count bool) (act.KeyStatus, error) {
	quiet := func(string, int64, int64) {}
	if !count {
		return o.masters.Status(ctx, false, quiet)
	}
	inner, cancel := context.WithTimeout(db.InBackground(ctx), countTime)
	defer cancel()
	select {
	case o.counting <- struct{}{}:
		defer func() { <-o.counting }()
		is, err := o.masters.Status(inner, true, quiet)
		if inner.Err() == nil || ctx.Err() != nil {
			return is, err
		}
	case <-inner.Done():
	}
	return o.masters.Status(ctx, false, quiet)
}

func (o keyOperations) list(ctx context.Context, _ OwnerCaller, in *ListKeysInput) (*keysOutput, error) {
	is, err := o.status(ctx, in.Count)
	if err != nil {
		return nil, err
	}
	out := new(keysOutput)
	b := &out.Body
	b.Counted, b.Tenants, b.LeftBehind = is.Counted, is.Tenants, is.Left
	b.Keys = make([]MasterKey, len(is.Keys))
	for i, k := range is.Keys {
		b.Keys[i] = MasterKey{ID: k.ID, Fingerprint: k.Fingerprint, State: k.State, Here: k.Here, ProvedAt: k.CopyProvedAt, ProvedBy: k.CopyProvedBy}
		if !k.Since.IsZero() {
			b.Keys[i].Since = &k.Since
		}
		if is.Counted {
			b.Keys[i].Values = &k.Values
		}
	}
	for id, n := range is.Unknown {
		if b.Unknown == nil {
			b.Unknown = map[string]int64{}
		}
		b.Unknown[strconv.Itoa(id)] = n
	}
	b.Processes = make([]KeyProcess, len(is.Processes))
	for i, p := range is.Processes {
		b.Processes[i] = KeyProcess(p)
	}
	b.Secrets = make([]SecretAge, len(is.Secrets))
	for i, s := range is.Secrets {
		b.Secrets[i] = SecretAge(s)
	}
	return out, nil
}

type rotateKeyInput struct {
	Body *struct {
		To           int  `json:"to,omitempty" minimum:"1" maximum:"255" doc:"Number of the key that is to seal from now on. Left out: the one that is given and was never in use."`
		WaitSeconds  int  `json:"waitSeconds,omitempty" minimum:"1" maximum:"604800" default:"900" doc:"How long to wait for processes that do not know the new key; then nothing has changed."`
		LeaveDamaged bool `json:"leaveDamaged,omitempty" doc:"Refuse the old key although something sealed under it does not open: it was damaged before, and is lost."`
	}
}

func (o keyOperations) rotate(ctx context.Context, c OwnerCaller, in *rotateKeyInput) (*jobOutput, error) {
	var want act.KeyRotation
	if in.Body != nil {
		want = act.KeyRotation{To: in.Body.To, Wait: time.Duration(in.Body.WaitSeconds) * time.Second, Leave: in.Body.LeaveDamaged}
	}
	spec, err := o.masters.StartRotation(ctx, c.by(), o.jobs, want)
	if err != nil {
		return nil, err
	}
	j, err := o.masters.StartDeploymentJob(ctx, c.by(), o.jobs, "master key", spec)
	if err != nil {
		return nil, err
	}
	return &jobOutput{jobOf(j)}, nil
}
