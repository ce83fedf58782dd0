package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/limit"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/operator"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
	"github.com/auroralocus/locus/internal/xrpc"
)

// problem is an error that becomes a page, or a notice above a form.
type problem struct {
	status int
	title  string
	text   string
	wait   time.Duration
}

func (p *problem) Error() string { return p.title + ": " + p.text }

var (
	notFound     = &problem{status: 404, title: "There is nothing here", text: "The address is another one, or what was here is gone."}
	errNotIn     = &problem{status: 401, title: "Sign in", text: "Nobody is signed in on this browser, or not for long enough."}
	errSetup     = &problem{status: 403, title: "A second factor first", text: "Set up a passkey or an app that shows codes."}
	errForbidden = &problem{status: 403, title: "You may not do this", text: "It is for operators of another role. The page of operators says who may what."}
	errForeign   = &problem{status: 403, title: "This came from another page", text: "A form was sent from somewhere else than this dashboard. Nothing was done."}
	errFramed    = &problem{status: 403, title: "Not within another page", text: "Open the dashboard in a tab of its own."}
	errNoForm    = &problem{status: 400, title: "This is no form", text: "What came was cut off, or not sent by a page of ours. Nothing was done."}
	errLarge     = &problem{status: 413, title: "This is too large", text: "A form has at most 128 KiB. Nothing was done."}
	errStale     = &problem{status: 403, title: "The page was too old", text: "Nothing was done. Open it again and send it once more; cookies must be on."}
	errTooMany   = &problem{status: 429, title: "Too many tries", text: "Too many bad tries came from your address, or too many requests. Wait five minutes.", wait: limit.FailWindow}
	errBusy      = &problem{status: 503, title: "Not now", text: "Too many people want to sign in at once. Try again in some seconds.", wait: 5 * time.Second}
)

// translation is what is said of a sentinel error; an empty text is the error's own, as a sentence.
type translation struct {
	sentinel error
	status   int
	title    string
	text     string
}

// translations is the one table of the dashboard. What is not in it is 500 and says nothing; the log has the cause.
var translations = []translation{
	{tenant.ErrNotFound, 404, "There is no such tenant", "No tenant has this hostname, and none had it before."},
	{tenant.ErrHostnameTaken, 409, "The name is taken", ""},
	{tenant.ErrHandlesExist, 409, "There are handles under it", ""},
	{tenant.ErrBadSetting, 400, "The setting cannot be so", ""},
	{tenant.ErrBadHostname, 400, "The name cannot be used", ""},
	{tenant.ErrState, 409, "Not in this state", ""},
	{tenant.ErrReplacing, 409, "They were replaced a moment ago", "The newest secrets do not sign yet. Try again in 15 seconds."},
	{tenant.ErrManyReplaced, 409, "Too many are still good", ""},
	{tenant.ErrTooNew, 409, "A newer program has changed it", "A newer version of the server has changed the tenant's tables. Update this server."},
	{tenant.ErrBehind, 409, "Not brought up to date yet", "The tenant's tables are of an older version. A server brings them up to date: look again in some minutes."},
	{tenant.ErrTenantSuspended, 409, "The tenant is suspended", "It is suspended: resume it first."},
	{tenant.ErrTenantDeleted, 409, "The tenant is deleted", "It was deleted: bring it back first."},
	{tenant.ErrNodeNotFound, 400, "There is no such database", "The overview lists those that there are."},
	{tenant.ErrNodeInUse, 409, "The node is in use", ""},
	{auth.ErrDeploymentToken, 400, "The token cannot be so", ""},
	{auth.ErrDeploymentTokenNotFound, 404, "There is no such token", "It was revoked, has expired, or never was."},
	{auth.ErrOperatorName, 400, "The operator cannot be so", ""},
	{auth.ErrOperatorTaken, 409, "There is one of this name", ""},
	{auth.ErrOperatorNotFound, 404, "There is no such operator", "It was removed, or never was."},
	{auth.ErrOperator, 403, "The token is not good", "It is wrong, has expired or was revoked."},
	{auth.ErrMissing, 403, "The token is not good", "Enter a token."},
	{operator.ErrNotIn, 404, "There is no such operator", "The operator or the session is gone."},
	{operator.ErrLink, 403, "The link is no good any more", "It was used, or is too old. Have another one made: locus dashboard link"},
	{operator.ErrNoFactor, 403, "No second factor yet", "This operator has none: have a link made that sets one up (locus dashboard link)."},
	{operator.ErrCode, 403, "The code is not good", "It is not what the app shows now, or was used before. Wait for the next one."},
	{operator.ErrManyFactors, 409, "Not another one", "This one is there already, or there are ten, which is the most."},
	{operator.ErrLastFactor, 409, "The last one stays", "Add another second factor first: without any you could not come in again."},
	{operator.ErrHasFactor, 409, "There is a second factor", "This operator can sign in already. For one who has lost it: locus dashboard reset"},
	{operator.ErrAnswered, 403, "The passkey has answered before", "Try again."},
	{passkey.ErrRefused, 403, "The passkey is not good", "It is of nobody here, or its answer was not good."},
	{passkey.ErrExpired, 403, "That took too long", "The passkey was asked too long ago. Try again."},
	{passkey.ErrCloned, 403, "The passkey counts backwards", "There may be a copy of it. Use another second factor, and remove this one."},
	{passkey.ErrHost, 400, "No passkeys here", "Browsers make none for an address. Use an app that shows codes, or give the dashboard a name (--dashboard-url)."},
	{passkey.ErrName, 400, "The name cannot be so", "It has 1 to 50 characters."},
	{mail.ErrServer, 400, "The mail server cannot be so", ""},
	{vault.ErrNone, 409, "There is no store of backups", "--backup-store (LOCUS_BACKUP_STORE) names a folder or a bucket."},
	{vault.ErrNotFound, 404, "There is no such backup", "It was deleted, its time was over, or it never was."},
	{vault.ErrStore, 503, "The store of backups does not answer", "The log of the process that answered says why."},
	{act.ErrNoRecipient, 400, "A backup needs a recipient", "It would not be encrypted. Enter a public key of age, or tick that this is meant."},
	{act.ErrAgeKey, 400, "The key cannot be used", ""},
	{act.ErrManyBackups, 409, "Too many backups", ""},
	{act.ErrNotYours, 403, "It is not yours", "Somebody of the deployment made this backup: an owner of the deployment deletes it."},
	{act.ErrLiving, 409, "There is such a tenant already", "Enter another hostname. A backup can also take the place of the tenant that is there."},
	{act.ErrOtherTenant, 409, "The backup is of another tenant", "Enter the hostname, if it is meant to take the place of this one."},
	{act.ErrRate, 400, "The rate cannot be so", ""},
	{act.ErrMoveNowhere, 409, "It cannot be moved so", ""},
	{act.ErrNoApp, 409, "The app is not signed in", "Its session has ended already."},
	{act.ErrKeyMissing, 409, "A master key is missing here", "The deployment uses a master key that this server was not given: give it to the server (docs/keys.md)."},
	{act.ErrKeyRefused, 409, "The master key is an old one", "This server was given a key that the deployment uses no more: give it the one that is in use (docs/keys.md)."},
	{keyring.ErrOtherMaster, 409, "Another master key has this number", "The key that this server was given is not the deployment's key of the same number."},
	{act.ErrLimit, 400, "The limit cannot be so", "A limit is at most 2^50."},
	{job.ErrNotFound, 404, "There is no such job", "Jobs are forgotten some time after their end."},
	{job.ErrEnded, 409, "The job has ended", "There is nothing to cancel any more."},
	{job.ErrBusy, 409, "Something else is done to it", ""},
	{usage.ErrPeriod, 400, "The days cannot be so", ""},
	{account.ErrNotFound, 404, "There is no such account", "The tenant has none of this DID, handle or address."},
	{account.ErrBusy, 503, "Not now", "Too much is done at once. Try again in some seconds."},
	{db.ErrNoNode, 409, "This server cannot reach the database", "It was not told how: its configuration has to name the database (docs/databases.md)."},
	{db.ErrInUse, 409, "The tenant is in use", "Something else works on its tables. Try again in a minute."},
	{db.ErrUnknownOutcome, 503, "It may have happened", "The database's answer was lost: look before you try again."},
}

// problemOf is what is said of an error; hidden says that it does not tell the cause.
func problemOf(ctx context.Context, err error) (p *problem, hidden bool) {
	if errors.As(err, &p) {
		return p, false
	}
	for _, t := range slices.Concat(translations, tenantTranslations) {
		if errors.Is(err, t.sentinel) {
			text := t.text
			if text == "" {
				text = sentence(xrpc.Plain(err, t.sentinel), t.sentinel.Error())
			}
			return &problem{status: t.status, title: t.title, text: text}, t.status >= 500
		}
	}
	var said interface{ Said() string }
	if errors.As(err, &said) {
		return &problem{status: 400, title: "That did not work", text: sentence(said.Said(), "")}, false
	}
	if db.IsUnavailable(err) || ctx.Err() != nil {
		return &problem{status: 503, title: "Not now", text: "The database does not answer at the moment. Try again.", wait: 5 * time.Second}, true
	}
	return &problem{status: 500, title: "Something went wrong here", text: "The log of the process that answered has it under the id of this request."}, true
}

// sentence makes one of an error's text: what comes behind the sentinel, where that is more than a name, because the title
// says what the sentinel says.
func sentence(text, sentinel string) string {
	if rest, ok := strings.CutPrefix(text, sentinel+": "); ok && strings.Contains(rest, " ") {
		text = rest
	}
	if text == "" {
		return ""
	}
	if first, _, _ := strings.Cut(text, " "); !strings.ContainsAny(first, "._:'\"`#-") { // a hostname, a setting or a flag stays as it is
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "…") {
		text += "."
	}
	return text
}

// problem answers with the page of an error. Who is not signed in is led to where one does that.
func (v *Visit) problem(err error) {
	p, hidden := problemOf(v.R.Context(), err)
	if hidden && !(errors.Is(err, context.Canceled) && v.R.Context().Err() != nil) {
		v.s.Log.Error("dashboard request failed", "id", v.requestID, "method", v.R.Method, "path", v.R.URL.Path, "status", p.status, "err", err)
	}
	if p.wait > 0 {
		v.W.Header().Set("Retry-After", strconv.Itoa(int((p.wait+time.Second-1)/time.Second)))
	}
	switch {
	case p == errNotIn:
		err = v.entrance(http.StatusUnauthorized, nil)
	case p == errSetup:
		err = v.redirect(pathSetup)
	default:
		err = v.Show(p.status, "problem", p)
	}
	if err != nil {
		v.s.Log.Error("dashboard page failed", "id", v.requestID, "path", v.R.URL.Path, "err", err)
		http.Error(v.W, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

// refusedForm shows a page again with what was wrong with its form: show is the page. What nobody can mend by entering
// something else is a page of its own.
func (v *Visit) refusedForm(err error, show func(status int) error) error {
	p, hidden := problemOf(v.R.Context(), err)
	if hidden || p.status == http.StatusNotFound || p.status == http.StatusTooManyRequests {
		return err
	}
	v.wrong = p
	return show(p.status)
}

// Title, Text and ID are for the template.
func (p *problem) Title() string { return p.title }

// Text says what to do.
func (p *problem) Text() string { return p.text }
