package account

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	accounts "github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/device"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/passkey"
	"github.com/auroralocus/locus/internal/web"
)

// errTakenDown: accounts that are taken down change nothing here.
var errTakenDown = errors.New("the account is taken down")

// errDiffer: a new password was not entered the same way twice.
var errDiffer = errors.New("the passwords differ")

// errWhy: an appeal has no text, or too much.
var errWhy = errors.New("an appeal says why")

// errAppeal: the service did not take an appeal.
var errAppeal = errors.New("the appeal was not taken")

// errDownloads: as many archives as one account may are being sent.
var errDownloads = &web.Problem{Status: http.StatusTooManyRequests, Key: "account.x.downloads", Wait: time.Minute, Back: root + "/data", Label: "account.nav.data"}

// Wrong is what is wrong with a form, beside it.
type Wrong struct {
	Key    string // of the text
	Args   []any
	Field  string // "": none in particular
	status int
}

// refusal is a line of the table from what acts refuse with to texts.
type refusal struct {
	err        error
	key, field string
	status     int
}

const bad = http.StatusBadRequest

// refusals are the errors that a form answers with a text beside it.
var refusals = []refusal{
	{act.ErrPassword, "password", "password", bad},
	{accounts.ErrCredentials, "password", "password", bad},
	{accounts.ErrPasswordTooLong, "password", "password", bad},
	{act.ErrProofOld, "proof", "password", bad},
	{accounts.ErrFactorOld, "proof", "password", bad},
	{accounts.ErrFactorApp, "app", "factor", bad},
	{accounts.ErrFactorMailed, "mailed", "factor", bad},
	{accounts.ErrTokenInvalid, "token", "code", bad},
	{accounts.ErrTokenExpired, "expired", "code", bad},
	{act.ErrTokenRequired, "required", "code", bad},
	{passkey.ErrRefused, "passkey", "", bad},
	{passkey.ErrExpired, "passkey.late", "", bad},
	{passkey.ErrCloned, "passkey.copy", "", bad},
	{passkey.ErrTaken, "passkey.taken", "", bad},
	{passkey.ErrTooMany, "passkey.many", "", bad},
	{passkey.ErrName, "passkey.name", "", bad},
	{passkey.ErrUnknown, "passkey.gone", "", bad},
	{act.ErrLastWayIn, "lastway", "", bad},
	{accounts.ErrNoAuthenticator, "noapp", "", bad},
	{accounts.ErrAuthenticatorOn, "appon", "", bad},
	{accounts.ErrEmailUnconfirmed, "unconfirmed", "", bad},
	{device.ErrUnknown, "nodevice", "", bad},
	{act.ErrNoApp, "noconnection", "", bad},
	{accounts.ErrBusy, "busy", "", http.StatusServiceUnavailable},
	{accounts.ErrEmailRequired, "email", "address", bad},
	{accounts.ErrEmailUnsupported, "email", "address", bad},
	{act.ErrEmailSame, "emailsame", "address", bad},
	{accounts.ErrEmailTaken, "emailtaken", "address", bad},
	{accounts.ErrEmailOther, "token", "code", bad},
	{accounts.ErrNoEmail, "noemail", "", bad},
	{errDiffer, "differ", "again", bad},
	{accounts.ErrAppPasswordName, "appname", "name", bad},
	{accounts.ErrAppPasswordTaken, "apptaken", "name", bad},
	{accounts.ErrAppPasswords, "appmany", "", bad},
	{identity.ErrHandleTooShort, "handleshort", "handle", bad},
	{identity.ErrHandleTooLong, "handlelong", "handle", bad},
	{identity.ErrHandleReserved, "handlereserved", "handle", bad},
	{identity.ErrHandleRefused, "handlereserved", "handle", bad},
	{accounts.ErrHandleTaken, "handletaken", "handle", bad},
	{accounts.ErrHandleDomain, "handle", "handle", bad},
	{identity.ErrHandleSyntax, "handle", "handle", bad},
	{identity.ErrHandleTLD, "handle", "handle", bad},
	{identity.ErrHandleChars, "handle", "handle", bad},
	{act.ErrHandleElsewhere, "handleelsewhere", "handle", bad},
	{act.ErrDocumentHandle, "document", "", bad},
	{accounts.ErrDIDDocument, "document", "", bad},
	{act.ErrRotationKey, "key", "key", bad},
	{act.ErrRotationKeyThere, "keythere", "key", bad},
	{act.ErrRotationKeys, "keymany", "", bad},
	{act.ErrRotationKeyOurs, "keyours", "", bad},
	{errWhy, "why", "why", bad},
	{errAppeal, "appeal", "", http.StatusBadGateway},
	{errTakenDown, "takendown", "", http.StatusForbidden},
	{act.ErrGone, "takendown", "", http.StatusForbidden},
	{accounts.ErrAwaiting, "awaiting", "", bad},
	{accounts.ErrDeciding, "awaiting", "", bad},
	{identity.ErrDIDUnavailable, "directory", "", http.StatusBadGateway},
	{identity.ErrDIDNotFound, "directory", "", http.StatusBadGateway},
	{identity.ErrDIDTombstoned, "directory", "", http.StatusBadGateway},
	{identity.ErrOperationRate, "directory", "", http.StatusBadGateway},
	{identity.ErrOperation, "directory", "", http.StatusBadGateway},
	{identity.ErrOperationConflict, "directory", "", http.StatusBadGateway},
}

// said is what people are told of an error, beside the form. What is not in the table is a page of its own, or nobody's
// business.
func (l *look) said(err error) (Wrong, bool) {
	var wait *act.WaitError
	var length *accounts.PasswordError
	switch {
	case errors.As(err, &wait):
		l.W.Header().Set("Retry-After", seconds(wait.Wait))
		return Wrong{Key: "account.x.wait", Args: []any{"n", int((wait.Wait + time.Second - 1) / time.Second)}, status: http.StatusTooManyRequests}, true
	case errors.As(err, &length):
		return Wrong{Key: "account.x.length", Args: []any{"n", length.Min}, Field: "new", status: bad}, true
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return Wrong{Key: "account.x." + r.key, Field: r.field, status: r.status}, true
		}
	}
	return Wrong{}, false
}

// seconds is a time as the header Retry-After has it.
func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }
