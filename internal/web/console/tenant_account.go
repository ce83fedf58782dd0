package console

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/blob"
	"github.com/auroralocus/locus/internal/oauth"
	"github.com/auroralocus/locus/repo/repodb"
)

// registerAccount is the page of one account, and what operators do to it. Who may do what is as in the methods of
// com.atproto.admin that do the same.
func (s *Server) registerAccount() {
	s.look("/accounts/{did}", supporter, func(v *Visit) error { return v.account(http.StatusOK) })
	for _, a := range accountActs {
		s.send("/accounts/{did}/"+a.name, a.class, func(v *Visit) error {
			said, err := a.do(v, v.R.PathValue("did"))
			if err != nil {
				return v.refusedForm(err, v.account)
			}
			return v.Done(v.AccountPath(v.R.PathValue("did")), "%s", said)
		})
	}
	s.send("/accounts/{did}/delete", admin, (*Visit).deleteAccount)
}

// accountActs are what is done to an account and leads back to its page. Each says what was done.
var accountActs = []struct {
	name  string
	class class
	do    func(v *Visit, did string) (string, error)
}{
	{"takedown", moderator, func(v *Visit, did string) (string, error) {
		return "The account is taken down.", v.s.Acts.SetAccountStatus(v.ctx(), v.Tenant, v.By(), did, &act.Mark{Applied: true, Ref: v.Form.Text("ref")}, nil)
	}},
	{"restore", moderator, func(v *Visit, did string) (string, error) {
		return "The account is back.", v.s.Acts.SetAccountStatus(v.ctx(), v.Tenant, v.By(), did, &act.Mark{}, nil)
	}},
	{"deactivate", moderator, func(v *Visit, did string) (string, error) {
		return "The account is deactivated.", v.s.Acts.SetAccountStatus(v.ctx(), v.Tenant, v.By(), did, nil, &act.Mark{Applied: true})
	}},
	{"activate", moderator, func(v *Visit, did string) (string, error) {
		return "The account is active.", v.s.Acts.SetAccountStatus(v.ctx(), v.Tenant, v.By(), did, nil, &act.Mark{})
	}},
	{"keep", moderator, func(v *Visit, did string) (string, error) {
		return "The account is not deleted at that date.", v.s.Acts.KeepAccount(v.ctx(), v.Tenant, v.By(), did, v.Form.On("activate"))
	}},
	{"invites", moderator, (*Visit).setInvites},
	{"end-codes", moderator, func(v *Visit, did string) (string, error) {
		return "The account's invite codes are worthless now.", v.s.Acts.DisableInvites(v.ctx(), v.Tenant, v.By(), nil, []string{did})
	}},
	{"write", supporter, func(v *Visit, did string) (string, error) {
		return "The message waits to be sent.", v.s.Acts.Write(v.ctx(), v.Tenant, v.By(), did, act.Message{Subject: v.Form.Text("subject"), Text: v.Form.Text("text")})
	}},
	{"email", admin, func(v *Visit, did string) (string, error) {
		return "The account has another address. Its owner confirms it.", v.s.Acts.SetEmail(v.ctx(), v.Tenant, v.By(), did, v.Form.Text("email"))
	}},
	{"handle", admin, func(v *Visit, did string) (string, error) {
		return "The account has another handle.", v.s.Acts.ChangeHandle(v.ctx(), v.Tenant, v.By(), did, v.Form.Text("handle"))
	}},
	{"reset", admin, func(v *Visit, did string) (string, error) {
		return "The owner gets a mail with a code for another password.", v.s.Acts.SendPasswordReset(v.ctx(), v.Tenant, v.By(), did)
	}},
	{"sessions", admin, func(v *Visit, did string) (string, error) {
		return "The account is signed out everywhere.", v.s.Acts.EndSessions(v.ctx(), v.Tenant, v.By(), did)
	}},
	{"apps", admin, (*Visit).disconnectApps},
	{"factors", admin, (*Visit).removeFactors},
	{"limits", admin, (*Visit).setLimits},
	{"rotate-key", admin, (*Visit).rotateKey},
}

// accountPage is what is known of an account.
type accountPage struct {
	account.Info
	Waits     bool // for approval
	Usage     accountUsage
	Sessions  account.Sessions
	Factors   account.Factors
	Apps      []oauth.App
	Passwords []account.AppPassword
	Invites   []account.Invite
	Records   []account.TakenDown
	Files     []account.TakenDown
	Log       []audit.Entry // what operators did to it, for those who may read that
}

// accountUsage is what an account has and may have. A limit of 0 is none; Own says that it is the account's own.
type accountUsage struct {
	Records, RecordLimit, RecordBytes, RecordByteLimit int64
	Files, FileBytes, FileByteLimit                    int64
	OwnRecords, OwnRecordBytes, OwnFileBytes           *int64
}

// How much of a list the page of an account has.
const (
	codesShown = 20
	logShown   = 10
)

// Tag is how its state is shown.
func (p *accountPage) Tag() string { return accountTag(p.Status()) }

// TakenDown says whether it is.
func (p *accountPage) TakenDown() bool { return p.Takedown != "" }

// Name is its handle, or its DID.
func (p *accountPage) Name() string {
	if p.Handle != "" {
		return "@" + p.Handle
	}
	return p.DID
}

// Own is a limit of the account's own, as it is entered.
func (accountUsage) Own(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

func (v *Visit) account(status int) error {
	p, err := v.readAccount(v.R.PathValue("did"))
	if err != nil {
		return err
	}
	return v.Show(status, "tenant_account", p)
}

func (v *Visit) readAccount(did string) (*accountPage, error) {
	q := v.q()
	infos, err := account.Infos(v.ctx(), q, []string{did})
	if err != nil {
		return nil, err
	}
	if len(infos) == 0 {
		return nil, account.ErrNotFound
	}
	p := &accountPage{Info: infos[0]}
	err = account.NotAwaiting(v.ctx(), q, p.AID)
	if p.Waits = errors.Is(err, account.ErrAwaiting); err != nil && !p.Waits {
		return nil, err
	}
	if p.Sessions, err = account.CountSessions(v.ctx(), q, v.s.Now(), p.AID); err != nil {
		return nil, err
	}
	if p.Factors, err = account.SecondFactors(v.ctx(), q, p.AID); err != nil {
		return nil, err
	}
	if p.Apps, err = v.s.Acts.ListApps(v.ctx(), v.Tenant, p.AID, nil); err != nil {
		return nil, err
	}
	if p.Passwords, err = account.ListAppPasswords(v.ctx(), q, p.AID); err != nil {
		return nil, err
	}
	theirs, err := account.InvitesFor(v.ctx(), q, []string{did})
	if err != nil {
		return nil, err
	}
	p.Invites = theirs[did][max(0, len(theirs[did])-codesShown):]
	if p.Records, p.Files, err = account.OwnTakedowns(v.ctx(), q, p.AID); err != nil {
		return nil, err
	}
	if p.Usage, err = v.usageOf(p.AID); err != nil {
		return nil, err
	}
	if v.May(admin) {
		p.Log, _, err = audit.Newest(v.ctx(), q, audit.Filter{Subject: did}, logShown, roleName)
	}
	return p, err
}

func roleName(role int16) string { return auth.Role(role).String() }

func (v *Visit) usageOf(aid int64) (accountUsage, error) {
	u, err := v.q().GetAccountUsage(v.ctx(), aid)
	if err != nil {
		return accountUsage{}, err
	}
	set := &v.Tenant.Settings
	limits := repodb.LimitsOf(u.MaxRecords, u.MaxRecordBytes, repodb.Sum{Records: set.RecordAccountCount, Bytes: set.RecordAccountBytes})
	return accountUsage{
		Records: u.Records, RecordLimit: limits.Records, RecordBytes: u.RecordBytes, RecordByteLimit: limits.Bytes,
		Files: u.Blobs, FileBytes: u.Bytes, FileByteLimit: blob.LimitOf(u.MaxBytes, set.BlobAccountLimit),
		OwnRecords: u.MaxRecords, OwnRecordBytes: u.MaxRecordBytes, OwnFileBytes: u.MaxBytes,
	}, nil
}

func (v *Visit) setInvites(did string) (string, error) {
	off := !v.Form.On("on")
	err := v.s.Acts.SetInvites(v.ctx(), v.Tenant, v.By(), did, off, v.Form.Text("note"))
	if off {
		return "The account gets no new invite codes. Those that it has stay good.", err
	}
	return "The account may have invite codes.", err
}

// disconnectApps ends the sessions of one app, or of all of them.
func (v *Visit) disconnectApps(did string) (string, error) {
	client := v.Form.Text("client")
	if len(client) > maxSearch*10 {
		return "", act.ErrNoApp
	}
	who, err := account.ByDID(v.ctx(), v.q(), did)
	if err != nil {
		return "", err
	}
	n, err := v.s.Acts.DisconnectApps(v.ctx(), v.Tenant, v.By(), who, client)
	if n == 1 {
		return "One session of an app has ended. Its tokens are good for nothing, and it has to ask again.", err
	}
	return fmt.Sprintf("%d sessions of apps have ended. Their tokens are good for nothing, and they have to ask again.", n), err
}

func (v *Visit) removeFactors(did string) (string, error) {
	who, err := account.ByDID(v.ctx(), v.q(), did)
	if err != nil {
		return "", err
	}
	return "The account has no second factor any more.", v.s.Acts.RemoveFactors(v.ctx(), v.Tenant, v.By(), who)
}

// setLimits gives the account limits of its own. An empty text goes back to the tenant's setting.
func (v *Visit) setLimits(did string) (string, error) {
	var limits [3]*int64
	for i, name := range []string{"records", "record_bytes", "file_bytes"} {
		n, err := v.integer(name, -1)
		if err != nil {
			return "", err
		}
		if v.Form.Text(name) != "" {
			if n < 0 {
				return "", act.ErrLimit
			}
			limits[i] = &n
		}
	}
	if _, err := v.s.Acts.SetRecordLimits(v.ctx(), v.Tenant, v.By(), did, limits[0], limits[1]); err != nil {
		return "", err
	}
	_, err := v.s.Acts.SetBlobLimit(v.ctx(), v.Tenant, v.By(), did, limits[2])
	return "The account has these limits.", err
}

func (v *Visit) rotateKey(did string) (string, error) {
	key, err := v.s.Acts.RotateSigningKey(v.ctx(), v.Tenant, v.By(), did)
	if errors.Is(err, act.ErrDocumentKey) {
		err = &problem{status: http.StatusConflict, title: "The document does not name it", text: "The owner keeps this DID's document. Let it name " + key + " as the key #atproto, and send this once more."}
	}
	return "The account has another signing key: " + key, err
}

func (v *Visit) deleteAccount() error {
	did := v.R.PathValue("did")
	p, err := v.readAccount(did)
	if err != nil {
		return err
	}
	if typed := named(v.Form.Text("confirm")); typed == "" || typed != p.Handle && typed != p.DID {
		return v.refusedForm(&problem{status: http.StatusBadRequest, title: "Not confirmed", text: "Type the account's handle, or its DID, to confirm that it is the right one. Nothing was done."}, v.account)
	}
	if p.Waits {
		return v.refusedForm(account.ErrAwaiting, v.account)
	}
	acts := v.s.Acts
	if err := acts.DeleteAccount(v.ctx(), v.Tenant, v.By(), did); err != nil {
		return v.refusedForm(err, v.account)
	}
	return v.Done(v.TenantPath("/accounts"), "%s is deleted.", p.Name())
}
