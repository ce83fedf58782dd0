package account

import "github.com/auroralocus/locus/internal/limit"

// section is one page: what it shows, and what its forms may ask for.
type section struct {
	name string // in its path; of its text "account.nav."+name, and of its template
	icon string
	data func(*look) (any, error)
	does map[string]deed // by the field "do"
}

func (s *section) path() string {
	if s.name == "overview" {
		return root
	}
	return root + "/" + s.name
}

// deed is something that a form asks for.
type deed struct {
	run    func(*look) error
	proof  bool // the owner must have shown lately who it is
	inline bool // and the form itself asks for it
	always bool // also for accounts that are taken down
	limits []limit.Bucket
}

// sections are the pages, in the order in which they are listed.
var sections []section

func init() { // the table names functions that read it
	sections = []section{
		{name: "overview", icon: "home", data: overviewData},
		{name: "handle", icon: "at", data: handleData, does: map[string]deed{
			"check": {run: checkHandle}, "look": {run: lookAtHandle, limits: lookBuckets}, "take": {run: takeHandle, proof: true, limits: changeBuckets}, "use": {run: useDomain, proof: true, limits: changeBuckets},
		}},
		{name: "email", icon: "mail", data: emailData, does: map[string]deed{
			"send": {run: sendConfirmation, limits: codeBuckets}, "confirm": {run: confirmEmail},
			"request": {run: requestEmail, proof: true}, "change": {run: changeEmail},
		}},
		{name: "password", icon: "lock", data: passwordData, does: map[string]deed{"change": {run: changePassword, proof: true, inline: true}}},
		{name: "passkeys", icon: "passkey", data: passkeysData, does: map[string]deed{
			"add": {run: addPasskey, proof: true}, "rename": {run: renamePasskey}, "remove": {run: removePasskey, proof: true},
			"nopassword": {run: removePassword, proof: true},
		}},
		{name: "second-factor", icon: "shield", data: factorsData, does: map[string]deed{
			"begin": {run: beginApp, proof: true}, "confirm": {run: confirmApp}, "app-off": {run: appOff, proof: true},
			"codes": {run: drawCodes, proof: true}, "mailed-on": {run: mailedOn, proof: true}, "mailed-off": {run: mailedOff, proof: true},
			"distrust": {run: distrust},
		}},
		{name: "devices", icon: "device", data: devicesData, does: map[string]deed{
			"end": {run: endDevice}, "others": {run: endOthers}, "everywhere": {run: signOutEverywhere, proof: true},
		}},
		{name: "apps", icon: "apps", data: appsData, does: map[string]deed{
			"end": {run: endApp}, "endall": {run: endApps}, "only": {run: oauthOnly, proof: true}, "allow": {run: passwordToApps, proof: true},
		}},
		{name: "activity", icon: "list", data: activityData},
		{name: "app-passwords", icon: "key", data: appPasswordsData, does: map[string]deed{
			"make": {run: makeAppPassword, proof: true}, "revoke": {run: revokeAppPassword},
		}},
		{name: "invites", icon: "ticket", data: invitesData, does: map[string]deed{"due": {run: dueInvites}}},
		{name: "data", icon: "download", data: dataData},
		{name: "identity", icon: "globe", data: identityData, does: map[string]deed{
			"add": {run: addKey, proof: true}, "remove": {run: removeKey, proof: true},
		}},
		{name: "moderation", icon: "flag", data: moderationData, does: map[string]deed{"appeal": {run: appeal, always: true}}},
		{name: "leave", icon: "trash", data: leaveData, does: map[string]deed{
			"off": {run: deactivate, proof: true, limits: changeBuckets}, "on": {run: activate, limits: changeBuckets},
			"send": {run: sendDeletionCode, always: true, limits: codeBuckets}, "delete": {run: deleteAccount, always: true},
		}},
	}
}
