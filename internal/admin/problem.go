package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/archive/vault"
	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/mail"
	"github.com/auroralocus/locus/internal/tenant"
	"github.com/auroralocus/locus/internal/usage"
	"github.com/auroralocus/locus/internal/xrpc"
)

// Problem is every answer that is no success. Programs go by Code, which stays the same from version to version.
// spec: RFC 9457 section 3
type Problem struct {
	Type      string         `json:"type" doc:"Always about:blank: code says which problem it is."`
	Title     string         `json:"title" doc:"The status in words."`
	Status    int            `json:"status" doc:"The status again."`
	Code      string         `json:"code" doc:"Which problem it is, for programs."`
	Detail    string         `json:"detail" doc:"What went wrong and what to do, for people."`
	RequestID string         `json:"requestId,omitempty" doc:"The log has more under it."`
	Errors    []ProblemField `json:"errors,omitempty" doc:"What is wrong with which member of the request."`

	retry time.Duration
}

// ProblemField is one thing that is wrong.
type ProblemField struct {
	Location string `json:"location,omitempty" doc:"Where: body.hostname, query.limit."`
	Message  string `json:"message" doc:"What."`
}

func (p *Problem) Error() string             { return p.Code + ": " + p.Detail }
func (p *Problem) GetStatus() int            { return p.Status }
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// The codes, which clients rely on.
const (
	codeInvalid       = "invalid_request"
	codeNoToken       = "unauthenticated"
	codeForbidden     = "forbidden"
	codeNotFound      = "not_found"
	codeNameTaken     = "name_taken"
	codeBadHostname   = "bad_hostname"
	codeBadSetting    = "bad_setting"
	codeHandlesExist  = "handles_exist"
	codeBadToken      = "bad_token"
	codeBadMail       = "bad_mail_server"
	codeBadPeriod     = "bad_period"
	codeJobEnded      = "job_ended"
	codeBusy          = "busy"
	codeNodeInUse     = "node_in_use"
	codeNodeTaken     = "node_taken"
	codeNoNode        = "node_unknown"
	codeNoRoles       = "roles_refused"
	codeNoStore       = "no_backup_store"
	codeStore         = "backup_store_failed"
	codeNoRecipient   = "no_recipient"
	codeBadKey        = "bad_age_key"
	codeManyBackups   = "too_many_backups"
	codeNowhere       = "move_impossible"
	codeNoNewKey      = "no_new_master_key"
	codeWhichKey      = "which_master_key"
	codeKeyRefused    = "master_key_refused"
	codeKeyMissing    = "master_key_missing"
	codeKeyReused     = "idempotency_key_reused"
	codeKeyBusy       = "idempotency_key_in_use"
	codeTooLarge      = "too_large"
	codeTooMany       = "rate_limited"
	codeState         = "not_in_this_state"
	codeTooNew        = "schema_too_new"
	codeUnavailable   = "unavailable"
	codeUnknownResult = "unknown_outcome"
	codeInternal      = "internal"
)

func refuse(status int, code, format string, args ...any) *Problem {
	detail := format
	if len(args) > 0 {
		detail = fmt.Sprintf(format, args...)
	}
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

func (p *Problem) after(wait time.Duration) *Problem { p.retry = wait; return p }

// translation is the answer to a sentinel error; an empty detail is the error's own text, from the sentinel on.
type translation struct {
	sentinel error
	status   int
	code     string
	detail   string
}

// translations is the one table. What is not in it is 500 and says nothing; the log has the cause.
var translations = []translation{
	{tenant.ErrNotFound, 404, codeNotFound, ""},
	{tenant.ErrHostnameTaken, 409, codeNameTaken, ""},
	{tenant.ErrHandlesExist, 409, codeHandlesExist, ""},
	{tenant.ErrBadSetting, 400, codeBadSetting, ""},
	{tenant.ErrBadHostname, 400, codeBadHostname, ""},
	{tenant.ErrState, 409, codeState, ""},
	{tenant.ErrReplacing, 409, codeBusy, ""},
	{tenant.ErrManyReplaced, 409, codeState, ""},
	{tenant.ErrTooNew, 409, codeTooNew, ""},
	{auth.ErrDeploymentToken, 400, codeBadToken, ""},
	{auth.ErrDeploymentTokenNotFound, 404, codeNotFound, ""},
	{mail.ErrServer, 400, codeBadMail, ""},
	{tenant.ErrNodeNotFound, 404, codeNotFound, ""},
	{tenant.ErrNodeInUse, 409, codeNodeInUse, ""},
	{db.ErrNodeTaken, 409, codeNodeTaken, ""},
	{db.ErrNoNode, 409, codeNoNode, ""},
	{db.ErrNoRoles, 409, codeNoRoles, "The server's database user may not make roles. Let a superuser run: ALTER ROLE its name CREATEROLE"},
	{vault.ErrNone, 409, codeNoStore, ""},
	{vault.ErrNotFound, 404, codeNotFound, ""},
	{vault.ErrStore, 503, codeStore, "The store of backups does not do what it should: the log of the process that answered says why"},
	{act.ErrNoRecipient, 400, codeNoRecipient, ""},
	{act.ErrAgeKey, 400, codeBadKey, ""},
	{act.ErrManyBackups, 409, codeManyBackups, ""},
	{act.ErrNotYours, 403, codeForbidden, ""},
	{act.ErrLiving, 409, codeNameTaken, "There is such a tenant already: replace puts the backup in its place, hostname makes another one"},
	{act.ErrMoveNowhere, 409, codeNowhere, ""},
	{act.ErrNoNewKey, 409, codeNoNewKey, ""},
	{act.ErrWhichKey, 409, codeWhichKey, ""},
	{act.ErrRotating, 409, codeBusy, ""},
	{act.ErrKeyMissing, 503, codeKeyMissing, "The process that answers has not the master keys that the deployment uses: its log says which one it needs"},
	{act.ErrKeyRefused, 409, codeKeyRefused, ""},
	{keyring.ErrOtherMaster, 503, codeKeyMissing, "The process that answers has another master key of a number that the deployment uses: its log says which one"},
	{job.ErrNotFound, 404, codeNotFound, ""},
	{job.ErrEnded, 409, codeJobEnded, ""},
	{job.ErrBusy, 409, codeBusy, ""},
	{usage.ErrPeriod, 400, codeBadPeriod, ""},
	{act.ErrLimit, 400, codeInvalid, "a limit is at most 2^50"},
	{db.ErrUnknownOutcome, 503, codeUnknownResult, "The database's answer was lost: look whether it happened before you try again, or use an Idempotency-Key"},
}

// problemOf is the answer to an error; hidden says that it does not tell the cause.
func problemOf(ctx context.Context, err error) (p *Problem, hidden bool) {
	if errors.As(err, &p) {
		return p, p.Status == http.StatusInternalServerError
	}
	for _, t := range translations {
		if errors.Is(err, t.sentinel) {
			detail := t.detail
			if detail == "" {
				detail = xrpc.Said(err, t.sentinel)
			}
			return refuse(t.status, t.code, "%s", detail), t.status >= 500
		}
	}
	if db.IsUnavailable(err) || ctx.Err() != nil {
		return refuse(http.StatusServiceUnavailable, codeUnavailable, "The database does not answer at the moment, try again").after(5 * time.Second), true
	}
	return refuse(http.StatusInternalServerError, codeInternal, "Something went wrong here: the log of the process that answered has it under the request's id"), true
}

// fromHuma is what Huma finds wrong with a request.
func (c *call) fromHuma(status int, message string, errs ...error) huma.StatusError {
	if status == http.StatusUnprocessableEntity || status == http.StatusUnsupportedMediaType {
		status = http.StatusBadRequest
	}
	code := codeInvalid
	switch status {
	case http.StatusInternalServerError:
		return c.fail(c.req.Context(), fmt.Errorf("%s: %w", message, errors.Join(errs...)))
	case http.StatusRequestEntityTooLarge:
		code = codeTooLarge
	}
	p := refuse(status, code, "%s", message)
	p.RequestID = c.requestID
	for _, err := range errs {
		var d *huma.ErrorDetail
		if errors.As(err, &d) { // without the value: it may be a password
			p.Errors = append(p.Errors, ProblemField{d.Location, d.Message})
		}
	}
	return p
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	h := w.Header()
	if id := h.Get("X-Request-Id"); p.RequestID == "" && id != "" {
		copied := *p
		p = &copied
		p.RequestID = id
	}
	h.Set("Content-Type", problemType)
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.retry+time.Second-1)/time.Second)))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="operator"`)
	}
	b, err := json.Marshal(p)
	if err != nil {
		b = []byte(`{"code":"internal"}`) // invalid UTF-8 in a text of ours
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(b)
}
