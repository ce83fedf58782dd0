package console

import (
	"net/http"
	"strconv"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/doctor"
)

// registerRecovery is the page of what is needed when everything is lost: the master keys, and what was proved restorable.
func (s *Server) registerRecovery() {
	s.get(Root+"/recovery", support, (*Visit).recovery)
}

// proofsPerPage is how many tenants are listed.
const proofsPerPage = 50

// recoveryPage is that page.
type recoveryPage struct {
	Keys    act.KeyStatus
	Unfit   *problem // why the keys of the process that answers are not the deployment's
	Proofs  act.Proofs
	Days    int // how long a proof counts
	Tenants []act.TenantProof
	First   bool // it is the first page of them
	Next    string
}

// KeyTag is how the state of a key is shown.
func (*recoveryPage) KeyTag(state string) string {
	switch state {
	case "seals":
		return "success"
	case "opens", "announced":
		return "warning"
	}
	return ""
}

// Behind are the processes that lack a key, or go by an older list of them.
func (p *recoveryPage) Behind() []act.KeyProcess {
	var out []act.KeyProcess
	for _, one := range p.Keys.Processes {
		if len(one.Lacks) > 0 || !one.Follows {
			out = append(out, one)
		}
	}
	return out
}

// Stale says whether a tenant was proved, and too long ago.
func (p *recoveryPage) Stale(t act.TenantProof) bool {
	return t.ProvedAt != nil && t.ProvedAt.Before(p.Proofs.Since)
}

func (v *Visit) recovery() error {
	after := int64(0)
	if text := v.Query("after"); text != "" {
		var err error
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 {
			return notFound
		}
	}
	p := &recoveryPage{Days: int(doctor.ProvedFor.Hours() / 24), First: after == 0}
	var err error
	if v.s.Masters != nil {
		// What is sealed is not counted: that reads much of a large deployment.
		p.Keys, err = v.s.Masters.Status(v.ctx(), false, nil)
		if err != nil { // whoever looks here may look for why
			said, hidden := problemOf(v.ctx(), err)
			if hidden {
				return err
			}
			p.Unfit = said
		}
	}
	if p.Proofs, err = act.ReadProofs(v.ctx(), v.s.DB, v.s.Now().Add(-doctor.ProvedFor)); err != nil {
		return err
	}
	var more bool
	if p.Tenants, more, err = act.PageTenantProofs(v.ctx(), v.s.DB, after, proofsPerPage); err != nil {
		return err
	}
	if more {
		p.Next = v.with("after", strconv.FormatInt(p.Tenants[len(p.Tenants)-1].TenantID, 10))
	}
	return v.Show(http.StatusOK, "recovery", p)
}
