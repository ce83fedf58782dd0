package console

import (
	"net/http"
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/act"
)

// registerMail is a tenant's mail of the last week. Addresses and subjects are shown, texts and codes to nobody.
func (s *Server) registerMail() {
	s.look("/mail", supporter, func(v *Visit) error { return v.mail(http.StatusOK) })
	s.send("/mail/retry", admin, func(v *Visit) error {
		return v.mailed(v.s.Acts.RetryMail(v.ctx(), v.Tenant, v.By(), v.Form.Text("id")), "The message is tried now. Look again in some seconds.")
	})
	s.send("/mail/drop", admin, func(v *Visit) error {
		return v.mailed(v.s.Acts.DropMail(v.ctx(), v.Tenant, v.By(), v.Form.Text("id")), "The message is removed.")
	})
	s.send("/mail/try", admin, func(v *Visit) error {
		to := v.Form.Text("to")
		if name, host, ok := strings.Cut(to, "@"); !ok || name == "" || host == "" || len(to) > maxSearch || strings.ContainsAny(to, "\r\n <>,") {
			return v.mailed(&problem{status: http.StatusBadRequest, title: "The address cannot be so", text: "Enter one mail address."}, "")
		}
		return v.mailed(v.s.Acts.TryMail(v.ctx(), v.Tenant, v.By(), to), "The mail server took the message to "+to+". Whether it arrives is for SPF, DKIM and the receiver to say.")
	})
}

// mailPerPage is how many messages are listed.
const mailPerPage = 50

// mailPage is a page of the list, newest first.
type mailPage struct {
	Part  string
	Parts []string
	Mail  []act.Queued
	ahead
}

// Waits says whether a message can be retried and dropped.
func (*mailPage) Waits(e act.Queued) bool { return e.State == "waiting" }

// Tag is how a state is shown.
func (*mailPage) Tag(e act.Queued) string {
	switch e.State {
	case "sent":
		return "success"
	case "given up":
		return "error"
	}
	return "warning"
}

func (v *Visit) mail(status int) error {
	p := &mailPage{Part: v.Query("part"), Parts: act.MailParts}
	if !slices.Contains(p.Parts, p.Part) {
		p.Part = ""
	}
	from, next := v.sought("after"), ""
	var err error
	if p.Mail, next, err = v.s.Acts.Mail(v.ctx(), v.Tenant, p.Part, from, mailPerPage); err != nil {
		return err
	}
	p.ahead = v.goes("/mail", "after", from, next)
	return v.Show(status, "tenant_mail", p)
}

func (v *Visit) mailed(err error, said string) error {
	if err != nil {
		return v.refusedForm(err, v.mail)
	}
	return v.Done(v.TenantPath("/mail"), "%s", said)
}
