package console

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/tenant"
)

// registerOperators are the pages of the deployment's operators, which are its tokens.
func (s *Server) registerOperators() {
	s.get(Root+"/operators", owner, (*Visit).operators)
	s.post(Root+"/operators/new", owner, (*Visit).newOperator)
	s.post(Root+"/operators/revoke", owner, (*Visit).revokeOperator)
	s.post(Root+"/operators/link", owner, (*Visit).linkOperator)
	s.post(Root+"/operators/reset", owner, (*Visit).resetOperator)
}

// tokensPerPage is how many are listed.
const tokensPerPage = 50

// operatorsPage is a page of the list. What was just made is shown this one time.
type operatorsPage struct {
	Operators []listedOperator
	Roles     []auth.DeploymentRole
	Next      string
	Secret    string
	Link      string
	Ends      time.Time
}

type listedOperator struct {
	auth.DeploymentToken
	Tenant string
	You    bool
}

func (v *Visit) operators() error { return v.operatorsWith(http.StatusOK, new(operatorsPage)) }

func (v *Visit) operatorsAs(status int) error { return v.operatorsWith(status, new(operatorsPage)) }

func (v *Visit) operatorsWith(status int, p *operatorsPage) error {
	p.Roles = auth.DeploymentRoles
	after := v.Query("after")
	if len(after) > 60 {
		return notFound
	}
	page, more, err := auth.ListDeploymentTokens(v.ctx(), v.s.DB, after, tokensPerPage)
	if err != nil {
		return err
	}
	for _, t := range page {
		l := listedOperator{DeploymentToken: t, You: operator.OfToken(t.TokenID) == v.User.Ref}
		if t.TenantID != 0 {
			l.Tenant = strconv.FormatInt(t.TenantID, 10) + ", gone"
			if of, err := v.s.Tenants.ByID(v.ctx(), t.TenantID); err == nil {
				l.Tenant = of.Hostname
			}
		}
		p.Operators = append(p.Operators, l)
	}
	if more {
		p.Next = Root + "/operators?after=" + page[len(page)-1].TokenID
	}
	return v.Show(status, "operators", p)
}

func (v *Visit) newOperator() error {
	role, err := auth.ParseDeploymentRole(v.Form.Get("role"))
	if err != nil {
		return v.refusedForm(err, v.operatorsAs)
	}
	n := act.NewDeploymentToken{Label: v.Form.Text("label"), Role: role}
	if days := v.Form.Text("days"); days != "" {
		number, err := strconv.Atoi(days)
		if err != nil || number < 1 || number > 3650 {
			return v.refusedForm(&problem{status: 400, title: "The days cannot be so", text: "It is 1 to 3650 days, or nothing: until it is revoked."}, v.operatorsAs)
		}
		n.Life = time.Duration(number) * 24 * time.Hour
	}
	if host := v.Form.Text("tenant"); host != "" {
		n.Tenant, err = v.s.Tenants.Get(v.ctx(), host)
		if errors.Is(err, tenant.ErrNotFound) { // what was typed can be mended
			err = &problem{status: http.StatusBadRequest, title: "There is no such tenant", text: "Enter the hostname of a tenant of this deployment. No operator was made."}
		}
		if err != nil {
			return v.refusedForm(err, v.operatorsAs)
		}
	}
	secret, what, err := v.s.Acts.AddDeploymentToken(v.ctx(), v.By(), n)
	if err != nil {
		return v.refusedForm(err, v.operatorsAs)
	}
	p := &operatorsPage{Secret: secret}
	if v.Form.On("dashboard") {
		if err := v.link(p, operator.OfToken(what.TokenID)); err != nil {
			return err
		}
	}
	return v.operatorsWith(http.StatusOK, p)
}

// link makes the link by which an operator comes in.
func (v *Visit) link(p *operatorsPage, who operator.Ref) error {
	code, ends, err := v.s.Acts.DashboardLink(v.ctx(), v.By(), who)
	p.Link, p.Ends = v.origin+pathEnter+"?code="+code, ends
	return err
}

func (v *Visit) linkOperator() error {
	p := new(operatorsPage)
	if err := v.link(p, operator.OfToken(v.Form.Get("token"))); err != nil {
		return v.refusedForm(err, v.operatorsAs)
	}
	return v.operatorsWith(http.StatusOK, p)
}

func (v *Visit) revokeOperator() error {
	id := v.Form.Get("token")
	if operator.OfToken(id) == v.User.Ref {
		return v.refusedForm(&problem{status: 409, title: "This is you", text: "Another owner, or 'locus token revoke', ends your own token."}, v.operatorsAs)
	}
	if err := v.s.Acts.RevokeDeploymentToken(v.ctx(), v.By(), id); err != nil {
		return v.refusedForm(err, v.operatorsAs)
	}
	if err := v.s.Acts.DashboardClean(v.ctx(), operator.OfToken(id)); err != nil && !errors.Is(err, operator.ErrNotIn) {
		return err
	}
	return v.Done(Root+"/operators", "The token is revoked, and nobody is signed in by it.")
}

func (v *Visit) resetOperator() error {
	id := v.Form.Get("token")
	if err := v.s.Acts.DashboardReset(v.ctx(), v.By(), operator.OfToken(id)); err != nil {
		return v.refusedForm(err, v.operatorsAs)
	}
	return v.Done(Root+"/operators", "All second factors and sessions of this operator are gone. A link lets it in again.")
}
