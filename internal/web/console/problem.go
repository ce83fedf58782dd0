package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/job"
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

// translation is what is said of a sentinel error; an empty text is the error's own.
type translation struct {
	sentinel error
	status   int
	title    string
	text     string
}

// translations is the one table of the dashboard. What is not in it is 500 and says nothing; the log has the cause.
var translations = []translation{
	{tenant.ErrNotFound, 404, "There is no such tenant", ""},
	{tenant.ErrHostnameTaken, 409, "The name is taken", ""},
	{tenant.ErrHandlesExist, 409, "There are handles under it", ""},
	{tenant.ErrBadSetting, 400, "The setting cannot be so", ""},
	{tenant.ErrBadHostname, 400, "The name cannot be used", ""},
	{tenant.ErrState, 409, "Not in this state", ""},
	{tenant.ErrTooNew, 409, "A newer program has changed it", ""},
	{tenant.ErrTenantSuspended, 409, "The tenant is suspended", "It is suspended: resume it first."},
	{tenant.ErrTenantDeleted, 409, "The tenant is deleted", "It was deleted: bring it back first."},
	{tenant.ErrNodeNotFound, 404, "There is no such node", ""},
	{tenant.ErrNodeInUse, 409, "The node is in use", ""},
	{auth.ErrDeploymentToken, 400, "The token cannot be so", ""},
	{auth.ErrDeploymentTokenNotFound, 404, "There is no such token", ""},
	{auth.ErrOperatorName, 400, "The operator cannot be so", ""},
	{auth.ErrOperatorTaken, 409, "There is one of this name", ""},
	{auth.ErrOperatorNotFound, 404, "There is no such operator", ""},
	{auth.ErrOperator, 403, "The token is not good", "It is wrong, has expired or was revoked."},
	{auth.ErrMissing, 403, "The token is not good", "Enter a token."},
	{operator.ErrNotIn, 404, "There is no such operator", "The operator or the session is gone."},
	{operator.ErrLink, 403, "The link is no good any more", "It was used, or is too old. Have another one made: locus dashboard link"},
	{operator.ErrNoFactor, 403, "No second factor yet", "This operator has none: have a link made that sets one up (locus dashboard link)."},
	{operator.ErrCode, 403, "The code is not good", "It is not what the app shows now, or was used before. Wait for the next one."},
	{operator.ErrManyFactors, 409, "Not another one", ""},
	{operator.ErrLastFactor, 409, "The last one stays", ""},
	{operator.ErrHasFactor, 409, "There is a second factor", "This operator can sign in already. For one who has lost it: locus dashboard reset"},
	{operator.ErrAnswered, 403, "The passkey has answered before", "Try again."},
	{passkey.ErrRefused, 403, "The passkey is not good", "It is of nobody here, or its answer was not good."},
	{passkey.ErrExpired, 403, "That took too long", "The passkey was asked too long ago. Try again."},
	{passkey.ErrCloned, 403, "The passkey counts backwards", "There may be a copy of it. Use another second factor, and remove this one."},
	{passkey.ErrHost, 400, "No passkeys here", "Browsers make none for an address. Use an app that shows codes, or give the dashboard a name (--dashboard-url)."},
	{passkey.ErrName, 400, "The name cannot be so", "It has 1 to 50 characters."},
	{mail.ErrServer, 400, "The mail server cannot be so", ""},
	{vault.ErrNone, 409, "There is no store of backups", ""},
	{vault.ErrNotFound, 404, "There is no such backup", ""},
	{vault.ErrStore, 503, "The store of backups does not answer", "The log of the process that answered says why."},
	{act.ErrNoRecipient, 400, "A backup needs a recipient", ""},
	{act.ErrAgeKey, 400, "The key cannot be used", ""},
	{act.ErrManyBackups, 409, "Too many backups", ""},
	{act.ErrMoveNowhere, 409, "There is nowhere to move it", ""},
	{act.ErrLimit, 400, "The limit cannot be so", "A limit is at most 2^50."},
	{job.ErrNotFound, 404, "There is no such job", ""},
	{job.ErrEnded, 409, "The job has ended", ""},
	{job.ErrBusy, 409, "Something else is done to it", ""},
	{usage.ErrPeriod, 400, "The days cannot be so", ""},
	{account.ErrNotFound, 404, "There is no such account", ""},
	{account.ErrBusy, 503, "Not now", "Too much is done at once. Try again in some seconds."},
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
				text = xrpc.Said(err, t.sentinel)
			}
			return &problem{status: t.status, title: t.title, text: text}, t.status >= 500
		}
	}
	var said interface{ Said() string }
	if errors.As(err, &said) {
		return &problem{status: 400, title: "That did not work", text: said.Said()}, false
	}
	if db.IsUnavailable(err) || ctx.Err() != nil {
		return &problem{status: 503, title: "Not now", text: "The database does not answer at the moment. Try again.", wait: 5 * time.Second}, true
	}
	return &problem{status: 500, title: "Something went wrong here", text: "The log of the process that answered has it under the id of this request."}, true
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
