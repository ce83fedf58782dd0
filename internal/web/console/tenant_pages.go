package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/auroralocus/locus/db/tenantdb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/audit"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/tenant"
)

// rootTenant is where the pages of one tenant are.
const rootTenant = Root + "/t/{tenant}"

// registerOneTenant are the pages of what a tenant has.
func (s *Server) registerOneTenant() {
	s.registerAccounts()
	s.registerSignups()
	s.registerTakedowns()
	s.registerInvites()
	s.registerMail()
	s.registerSettings()
	s.registerRecords()
}

// look registers a page of what a tenant has in its schema.
func (s *Server) look(path string, c class, h func(*Visit) error) {
	s.get(rootTenant+path, c, inside(h))
}

// send registers a form about that.
func (s *Server) send(path string, c class, h func(*Visit) error) {
	s.post(rootTenant+path, c, inside(h))
}

// inside keeps a page from a tenant whose tables are not there, or not as this program knows them, and from texts that
// Postgres cannot hold.
func inside(h func(*Visit) error) func(*Visit) error {
	return func(v *Visit) error {
		if s := v.Tenant.State; v.Tenant.Usable() != nil || s == tenant.Provisioning || s == tenant.Purging {
			return &problem{status: http.StatusConflict, title: "Not now", text: "The tenant is " + v.Tenant.State.String() + ": its overview says more."}
		}
		if !audit.Searchable(v.R.PathValue("did")) {
			return errNoText
		}
		for _, values := range []url.Values{v.R.URL.Query(), v.Form.Values} {
			for _, list := range values {
				for _, text := range list {
					if !audit.Searchable(text) {
						return errNoText
					}
				}
			}
		}
		return h(v)
	}
}

var errNoText = &problem{status: http.StatusBadRequest, title: "This is no text", text: "It has characters that nothing here can have. Nothing was done."}

// q are the queries of the tenant.
func (v *Visit) q() *tenantdb.Queries { return v.s.DB.Tenant(v.Tenant.Schema).Q() }

// maxSearch bounds what is looked for, in bytes.
const maxSearch = 300

// sought is a parameter of a search, as long as a search may be.
func (v *Visit) sought(name string) string {
	text := v.Query(name)
	if len(text) > maxSearch {
		return strings.ToValidUTF8(text[:maxSearch], "")
	}
	return text
}

// named is how accounts are named inside: handles without the @ in front of them, in lower case.
func named(typed string) string {
	return strings.TrimPrefix(account.Identifier(typed), "@")
}

// ahead are the links of a list that is read in one direction: to its beginning, and on.
type ahead struct{ First, Next string }

// goes says where a list goes on: from what the page before gave, to what this one gives. path is the list's, as a form that
// is refused shows it at its own.
func (v *Visit) goes(path, name, from, next string) (a ahead) {
	q := v.R.URL.Query()
	q.Del(name)
	if from != "" {
		a.First = v.TenantPath(path) + "?" + q.Encode()
	}
	if next != "" {
		q.Set(name, next)
		a.Next = v.TenantPath(path) + "?" + q.Encode()
	}
	return a
}

// integer is a number that was entered; an empty text is what holds then.
func (v *Visit) integer(name string, empty int64) (int64, error) {
	text := v.Form.Text(name)
	if text == "" {
		return empty, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, &problem{status: http.StatusBadRequest, title: "A number is wanted", text: "Enter digits only."}
	}
	return n, nil
}

// tenantTranslations are those of what is in a tenant.
var tenantTranslations = []translation{
	{account.ErrHandleDomain, 400, "The handle cannot be so", "It is under none of the tenant's handle domains."},
	{account.ErrHandleTaken, 409, "The handle is taken", "An account has it. Enter another."},
	{identity.ErrHandleSyntax, 400, "The handle cannot be so", "It is no handle: letters, digits and hyphens with dots between them."},
	{identity.ErrHandleTLD, 400, "The handle cannot be so", "No handle may end so."},
	{identity.ErrHandleTooShort, 400, "The handle is too short", "The setting handle_min_length says how long it must be."},
	{identity.ErrHandleTooLong, 400, "The handle is too long", "The setting handle_max_length says how long it may be."},
	{identity.ErrHandleChars, 400, "The handle cannot be so", "In front of a handle domain there are letters, digits and hyphens only."},
	{identity.ErrHandleRefused, 400, "The handle cannot be so", "It has a word that the setting handle_refuse names."},
	{identity.ErrHandleReserved, 400, "The handle is reserved", "The setting handle_release gives such names free."},
	{identity.ErrDIDUnavailable, 503, "The directory does not answer", "The DID's directory or host does not answer. Nothing was done here: try again."},
	{identity.ErrDIDNotFound, 409, "The DID is not there", "Its directory does not know it."},
	{identity.ErrDIDTombstoned, 409, "The DID has ended", "Its directory says that it is no more."},
	{identity.ErrOperationRate, 429, "Too many operations", "The directory takes no more operations for this DID now. Try again in an hour."},
	{identity.ErrOperation, 409, "The directory refuses", ""},
	{identity.ErrOperationConflict, 409, "The directory refuses", ""},
	{act.ErrHandleElsewhere, 409, "The handle leads elsewhere", "Let DNS (_atproto) or /.well-known/atproto-did of the domain lead to the account's DID first."},
	{act.ErrDocumentHandle, 409, "The document does not name it", "The owner keeps this DID's document: the handle has to stand in its alsoKnownAs first."},
	{act.ErrDocumentKey, 409, "The document does not name it", ""},
	{account.ErrEmailRequired, 400, "The address cannot be so", "Enter a mail address."},
	{account.ErrEmailUnsupported, 400, "The address cannot be so", "It is no mail address that can be written to."},
	{account.ErrEmailTaken, 409, "The address is taken", "Another account has it."},
	{account.ErrEmailOther, 409, "The address was changed", "It was changed in this moment. Look again."},
	{account.ErrNoEmail, 409, "There is no address", "The account has no mail address to write to."},
	{account.ErrPasswordLength, 400, "The password cannot be so", ""},
	{account.ErrAwaiting, 409, "It waits for approval", "Decide on the sign-up first."},
	{account.ErrDeciding, 409, "It is being decided on", "The sign-up is being approved: look again in a few minutes."},
	{account.ErrDIDDocument, 409, "The document does not fit", ""},
	{account.ErrSubjectNotFound, 404, "There is no such thing", "The account has no such record or file."},
	{account.ErrInviteUses, 400, "The code cannot be so", "A code opens at least one account."},
	{act.ErrMailPlace, 400, "There is no such page", "Begin at the first one."},
	{account.ErrCursor, 400, "There is no such page", "Begin at the first one."},
	{act.ErrGone, 409, "It is taken down", "An account that is taken down is not activated: bring it back first."},
	{act.ErrTakedownRef, 400, "The reference cannot be so", ""},
	{act.ErrRecordURI, 400, "This names nothing", ""},
	{act.ErrBlobCID, 400, "This names nothing", ""},
	{act.ErrNoDeletionDate, 409, "There is no date", ""},
	{act.ErrArriving, 409, "It is on its way here", ""},
	{act.ErrRecipient, 404, "There is no such account", ""},
	{act.ErrMessage, 400, "The message cannot be so", ""},
	{act.ErrInviteCount, 400, "So many at once are not made", ""},
	{act.ErrInviteNames, 400, "So many at once are not ended", ""},
	{act.ErrInviteAdmin, 400, "These are the operators'", ""},
	{act.ErrInviteNote, 400, "The remark cannot be so", ""},
	{act.ErrNoMail, 409, "It does not wait", ""},
	{act.ErrTryMail, 409, "The test message was not taken", ""},
	{act.ErrReason, 400, "The reason cannot be so", ""},
	{act.ErrNotWaiting, 409, "It waits for nothing", ""},
	{act.ErrAccountQuota, 409, "The tenant is full", ""},
}
