package console

import (
	"net/http"
	"slices"
	"strings"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/syntax"
)

// registerTakedowns is where records and files are looked up and taken down, by what a report names. Accounts have pages of
// their own. Reports themselves are with the tenant's moderation service.
func (s *Server) registerTakedowns() {
	s.look("/takedowns", supporter, func(v *Visit) error { return v.takedowns(http.StatusOK) })
	s.send("/takedowns", moderator, (*Visit).takeDown)
}

// takedownsPage is what is known of one subject, and what was decided last.
type takedownsPage struct {
	Subject string
	Found   bool // it is there
	Account string
	Down    bool
	Ref     string
	Reports string        // the service that they go to
	Log     []audit.Entry // for those who may read it
}

// maxSubject bounds what is looked up, in bytes: the at:// URI of a record may have 2311.
const maxSubject = 2400

// decisionsShown is how many decisions the page has.
const decisionsShown = 20

func (v *Visit) takedowns(status int) error {
	p := &takedownsPage{Subject: strings.TrimSpace(v.Query("subject")), Reports: v.Tenant.Settings.ReportService}
	if v.Form.Values != nil {
		p.Subject = v.Form.Text("subject")
	}
	if p.Subject != "" {
		s, err := v.subject(p.Subject)
		if err == nil {
			err = p.read(v, s)
		}
		if p, hidden := problemOf(v.ctx(), err); err != nil {
			if hidden {
				return err
			}
			if v.wrong == nil {
				v.wrong, status = p, p.status
			}
		}
	}
	if v.May(admin) {
		var err error
		if p.Log, _, err = audit.Newest(v.ctx(), v.q(), audit.Filter{Action: "com.atproto.admin.updateSubjectStatus"}, decisionsShown, roleName); err != nil {
			return err
		}
	}
	return v.Show(status, "tenant_takedowns", p)
}

// subject is what a text names: an account, a record of it, or a file of it.
type subject struct {
	did  string
	path string // of a record
	cid  string // of a file
}

var errSubject = &problem{status: http.StatusBadRequest, title: "This names nothing", text: "Enter the at:// URI of a record with a DID in it, DID/CID of a file, or an account's DID, handle or address."}

// subject reads a text. Errors: those of looking an account up.
func (v *Visit) subject(text string) (s subject, err error) {
	switch did, rest, ok := strings.Cut(text, "/"); {
	case len(text) > maxSubject:
		return s, errSubject
	case strings.HasPrefix(text, "at://"):
		s.did, s.path, err = act.RecordSubject(text)
		return s, err
	case ok:
		if _, err := act.BlobCID(rest); err != nil || !syntax.DID.Is(did) {
			return s, errSubject
		}
		return subject{did: did, cid: rest}, nil
	}
	who, err := account.ByIdentifier(v.ctx(), v.q(), named(text))
	if err != nil {
		return s, err
	}
	return subject{did: who.DID}, nil
}

// read finds out whether a subject is taken down.
func (p *takedownsPage) read(v *Visit, s subject) error {
	q := v.q()
	state, err := account.StateOf(v.ctx(), q, s.did)
	if err != nil {
		return err
	}
	p.Account = s.did
	down := state.Takedown
	switch {
	case s.path != "":
		down, _, err = account.RecordTakedown(v.ctx(), q, state.AID, s.path)
	case s.cid != "":
		c, bad := act.BlobCID(s.cid)
		if bad != nil {
			return bad
		}
		down, err = account.BlobTakedown(v.ctx(), q, state.AID, c.Bytes())
	}
	if err != nil {
		return err
	}
	p.Found, p.Down, p.Ref = true, down.Applied, down.Ref
	return nil
}

// takeDown takes a subject down or brings it back.
func (v *Visit) takeDown() error {
	text := v.Form.Text("subject")
	do := v.Form.Get("do")
	if !slices.Contains([]string{"takedown", "restore"}, do) {
		return errNoForm
	}
	s, err := v.subject(text)
	mark := &act.Mark{Applied: do == "takedown"}
	if mark.Applied {
		mark.Ref = v.Form.Text("ref")
	}
	switch {
	case err != nil:
	case s.path != "":
		err = v.s.Acts.SetRecordStatus(v.ctx(), v.Tenant, v.By(), text, mark)
	case s.cid != "":
		err = v.s.Acts.SetBlobStatus(v.ctx(), v.Tenant, v.By(), s.did, s.cid, mark)
	default:
		err = v.s.Acts.SetAccountStatus(v.ctx(), v.Tenant, v.By(), s.did, mark, nil)
	}
	if err != nil {
		return v.refusedForm(err, v.takedowns)
	}
	if mark.Applied {
		return v.Done(v.TenantPath("/takedowns"), "%s is taken down.", text)
	}
	return v.Done(v.TenantPath("/takedowns"), "%s is back.", text)
}
