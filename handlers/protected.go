package handlers

import (
	"strings"

	"github.com/auroralocus/locus/internal/xrpc"

	"github.com/auroralocus/locus/internal/auth"
	"github.com/auroralocus/locus/internal/tenant"
)

// protectedMethods are never called elsewhere in an account's name: no service token is made for them and they are not
// proxied. In lower case, because names are compared without regard to it.
var protectedMethods = lowerSet(
	"com.atproto.admin.sendEmail",
	"com.atproto.identity.requestPlcOperationSignature",
	"com.atproto.identity.signPlcOperation",
	"com.atproto.identity.updateHandle",
	"com.atproto.server.activateAccount",
	"com.atproto.server.confirmEmail",
	"com.atproto.server.createAppPassword",
	"com.atproto.server.deactivateAccount",
	"com.atproto.server.getAccountInviteCodes",
	"com.atproto.server.getSession",
	"com.atproto.server.listAppPasswords",
	"com.atproto.server.requestAccountDelete",
	"com.atproto.server.requestEmailConfirmation",
	"com.atproto.server.requestEmailUpdate",
	"com.atproto.server.revokeAppPassword",
	"com.atproto.server.updateEmail",
)

const methodCreateAccount = "com.atproto.server.createAccount"

func lowerSet(names ...string) map[string]bool {
	out := map[string]bool{}
	for _, n := range names {
		out[strings.ToLower(n)] = true
	}
	return out
}

// isProtected says whether a method is never called elsewhere. Our own methods are about this server only.
func isProtected(nsid string) bool {
	n := strings.ToLower(nsid)
	return protectedMethods[n] || strings.HasPrefix(n, xrpc.OwnNamespace)
}

// needsMain says whether a method gives power over others: no app password makes a token for it, whatever else it may. An
// account can be somebody's moderation service, here or elsewhere, and its apps are not.
func needsMain(nsid string) bool {
	n := strings.ToLower(nsid)
	for _, power := range []string{"com.atproto.admin.", "tools.ozone.", "chat.bsky.moderation."} {
		if strings.HasPrefix(n, power) {
			return true
		}
	}
	return false
}

// hasToBeNamed says whether the scope transition:generic does not open a method. Of what gives power over others it opens
// the moderators' own tools: their pages sign in with it.
func hasToBeNamed(nsid string) bool {
	return needsMain(nsid) && !strings.HasPrefix(strings.ToLower(nsid), "tools.ozone.")
}

// moderationMethods answer the tenant's moderation service about any account, and to everybody else about themselves. In
// lower case.
var moderationMethods = lowerSet("app.bsky.actor.getPreferences")

// moderates says whether a token of the account for a method, to this server, would be its moderation service's.
func moderates(t *tenant.Tenant, did, aud, nsid string) bool {
	service, _, _ := strings.Cut(t.Settings.ModServiceDID, "#")
	return did == service && auth.ForUs(t, aud) && (nsid == "" || moderationMethods[strings.ToLower(nsid)])
}

// isPrivileged says whether a method needs the main password or a privileged app password, wherever it is called: private
// messages, and moving the account.
func isPrivileged(nsid string) bool {
	n := strings.ToLower(nsid)
	return strings.HasPrefix(n, "chat.bsky.") || n == strings.ToLower(methodCreateAccount)
}
