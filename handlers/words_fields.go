package handlers

import "github.com/auroralocus/locus/internal/xrpc"

// Values that the examples of the document are made of.
const (
	exampleDID    = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
	exampleOther  = "did:plc:oky5czdrnfjpqslsw2a5iclo"
	exampleHandle = "alice.pds.example"
	exampleCID    = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"
	exampleFile   = "bafkreibjfgx2gprinfvicegelk5kosd6y2frmqpqzwqkg7usac74l3t2v4"
	exampleURI    = "at://" + exampleDID + "/app.bsky.feed.post/3l5p3vkqkjc2v"
	exampleTime   = "2026-11-28T12:00:00.000Z"
	exampleRev    = "3l5p3vkqkjd2v"
	exampleKey    = "did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF"
	exampleJWT    = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkaWQ6cGxjOmV3dmkifQ.c2lnbmF0dXJl"
	exampleMail   = "alice@example.com"
	exampleInvite = "pds-example-7fk2a-q3xw9"
)

var (
	examplePost     = map[string]any{"$type": "app.bsky.feed.post", "text": "Hello", "createdAt": exampleTime}
	exampleKeys     = map[string]any{"atproto": exampleKey}
	exampleServices = map[string]any{"atproto_pds": map[string]any{"type": "AtprotoPersonalDataServer", "endpoint": "https://pds.example"}}
	exampleDocument = map[string]any{
		"id": exampleDID, "alsoKnownAs": []any{"at://" + exampleHandle},
		"verificationMethod": []any{map[string]any{"id": exampleDID + "#atproto", "type": "Multikey", "controller": exampleDID, "publicKeyMultibase": "zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF"}},
		"service":            []any{map[string]any{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example"}},
	}
	exampleOperation = map[string]any{
		"type": "plc_operation", "prev": exampleCID, "sig": "c2lnbmF0dXJl", "rotationKeys": []any{exampleKey},
		"verificationMethods": exampleKeys, "alsoKnownAs": []any{"at://" + exampleHandle}, "services": exampleServices,
	}
	examplePreference = map[string]any{"$type": "app.bsky.actor.defs#adultContentPref", "enabled": false}
)

// documentFields describe members and parameters by name. A name with a schema or a method before it means something else
// there.
var documentFields = map[string]xrpc.Field{
	"format datetime":      {Example: exampleTime},
	"format did":           {Example: exampleDID},
	"format handle":        {Example: exampleHandle},
	"format at-identifier": {Example: exampleHandle},
	"format nsid":          {Example: "app.bsky.feed.post"},
	"format cid":           {Example: exampleCID},
	"format at-uri":        {Example: exampleURI},
	"format tid":           {Example: exampleRev},
	"format record-key":    {Example: "3l5p3vkqkjc2v"},
	"format uri":           {Example: "https://pds.example/"},
	"format language":      {Example: "en"},
	"format ":              {Example: "text"},

	// identity
	"did":                 {Text: "The account's DID.", Example: exampleDID},
	"dids":                {Text: "The accounts' DIDs.", Example: exampleDID},
	"handle":              {Text: "The account's handle, without an @.", Example: exampleHandle},
	"identifier":          {Text: "Handle or DID.", Example: exampleHandle},
	"didDoc":              {Text: "The DID document: keys, handle and server of the identity.", Example: exampleDocument},
	"alsoKnownAs":         {Text: "Names of the DID, the handle as at://handle first.", Example: "at://" + exampleHandle},
	"rotationKeys":        {Text: "Keys that may change the DID, as did:key, the most powerful first.", Example: exampleKey},
	"verificationMethods": {Text: "Keys of the DID by name; `atproto` signs the repository.", Example: exampleKeys},
	"services":            {Text: "Services of the DID by name; `atproto_pds` is the server that hosts it.", Example: exampleServices},
	"operation":           {Text: "A signed operation of the PLC directory.", Example: exampleOperation},
	"signingKey":          {Text: "A public key, as did:key.", Example: exampleKey},

	// records and repositories
	"repo":             {Text: "Handle or DID of the account whose repository it is.", Example: exampleHandle},
	"collection":       {Text: "The collection: the NSID of the records' type.", Example: "app.bsky.feed.post"},
	"rkey":             {Text: "The record's key within its collection.", Example: "3l5p3vkqkjc2v"},
	"record":           {Text: "The record, with its $type.", Example: examplePost},
	"value":            {Text: "The record, with its $type.", Example: examplePost},
	"records":          {Text: "The records of this page."},
	"uri":              {Text: "The record's address: at://did/collection/rkey.", Example: exampleURI},
	"cid":              {Text: "The content's hash. Another content has another one.", Example: exampleCID},
	"commit":           {Text: "The commit that the change made."},
	"rev":              {Text: "The repository's revision: later ones sort after earlier ones.", Example: exampleRev},
	"head":             {Text: "CID of the newest commit.", Example: exampleCID},
	"root":             {Text: "CID of the newest commit.", Example: exampleCID},
	"validate":         {Text: "true: refuse a record whose lexicon is not known. false: do not check. Absent: check what is known.", Example: true},
	"validationStatus": {Text: "valid, or unknown when there is no lexicon to check the record by.", Example: "valid"},
	"swapCommit":       {Text: "Write only if this is the newest commit.", Example: exampleCID},
	"swapRecord":       {Text: "Write only if the record has this CID now; null: only if there is none.", Example: exampleCID},
	"writes":           {Text: "The changes, in order; all are made or none. At most 200."},
	"results":          {Text: "What came of each change, in their order."},
	"collections":      {Text: "The collections that have records.", Example: "app.bsky.feed.post"},
	"handleIsCorrect":  {Text: "Whether the handle leads to this DID and back.", Example: true},
	"repos":            {Text: "The repositories of this page."},
	"$type":            {Text: "Name of the type, which tells the variants apart."},
	"since":            {Text: "Only what came after this revision.", Example: exampleRev},

	// files
	"blob":                               {Text: "The reference to put into a record.", Example: map[string]any{"$type": "blob", "ref": map[string]any{"$link": exampleFile}, "mimeType": "image/png", "size": 6321}},
	"blobs":                              {Text: "Files that records name and that are not here."},
	"recordUri":                          {Text: "Address of the record that names the file.", Example: exampleURI},
	"mimeType":                           {Text: "The file's media type, as the server found it.", Example: "image/png"},
	"size":                               {Text: "The file's size in bytes.", Example: 6321},
	"Blob.$type":                         {Text: "Always blob.", Example: "blob"},
	"Blob.ref":                           {Text: "The file's CID, as a link."},
	"CidLink.$link":                      {Text: "A CID.", Example: exampleFile},
	"AdminDefsRepoBlobRef.cid":           {Text: "The file's CID.", Example: exampleFile},
	"RepoListMissingBlobsRecordBlob.cid": {Text: "The file's CID.", Example: exampleFile},
	"SyncListBlobsOutputBody.cids":       {Text: "CIDs of the files of this page.", Example: exampleFile},
	"com.atproto.sync.getBlob.cid":       {Text: "The file's CID.", Example: exampleFile},
	"com.atproto.sync.getBlocks.cids":    {Text: "CIDs of the blocks that are asked for.", Example: exampleCID},
	"com.atproto.repo.getRecord.cid":     {Text: "Only if the record has this CID.", Example: exampleCID},

	// paging
	"cursor":  {Text: "Where the next page begins: give the cursor of the last answer. An answer without one is the last.", Example: "3l5p3vkqkjc2v"},
	"limit":   {Text: "Most entries of an answer.", Example: 50},
	"reverse": {Text: "true: oldest key first.", Example: false},
	"sort":    {Text: "recent: newest first. usage: most used first.", Example: "recent"},

	// sessions and accounts
	"accessJwt":          {Text: "The token for every call. It lives two hours; take it as it is, its form may change.", Example: exampleJWT},
	"refreshJwt":         {Text: "The token for refreshSession and deleteSession only. Each refresh gives a new one.", Example: exampleJWT},
	"email":              {Text: "The account's e-mail address.", Example: exampleMail},
	"emailConfirmed":     {Text: "Whether the address was confirmed by a mailed token.", Example: true},
	"emailConfirmedAt":   {Text: "When the address was confirmed.", Example: exampleTime},
	"emailAuthFactor":    {Text: "Whether signing in asks for a mailed code.", Example: false},
	"authFactorToken":    {Text: "The code of the second factor, after AuthFactorTokenRequired.", Example: "A2C4E-6GHJK"},
	"allowTakendown":     {Text: "true: sign in to a taken-down account too, to move it or to appeal.", Example: false},
	"password":           {Text: "The account's password.", Example: "correct horse battery staple"},
	"token":              {Text: "The token from the mail, as it is or as it was typed.", Example: "A2C4E-6GHJK"},
	"tokenRequired":      {Text: "Whether updateEmail wants a mailed token, because the present address is confirmed.", Example: true},
	"active":             {Text: "Whether the account is shown. If not, status says why.", Example: true},
	"status":             {Text: "Why the account is not active: takendown, suspended, deactivated.", Example: "deactivated"},
	"inviteCode":         {Text: "An invite code, where the server asks for one.", Example: exampleInvite},
	"recoveryKey":        {Text: "A did:key of the account's owner that stands above the server's in a new DID.", Example: exampleKey},
	"plcOp":              {Text: "Not used: the server signs the first operation of a DID itself."},
	"verificationCode":   {Text: "Not used: no phone is verified."},
	"verificationPhone":  {Text: "Not used: no phone is verified."},
	"preferences":        {Text: "All of the account's preferences, each with its $type.", Example: []any{examplePreference}},
	"deleteAfter":        {Text: "A hint when the account may be deleted.", Example: exampleTime},
	"activated":          {Text: "Whether the account is active.", Example: true},
	"validDid":           {Text: "Whether the DID document names this server and the account's key.", Example: true},
	"repoCommit":         {Text: "CID of the newest commit.", Example: exampleCID},
	"repoRev":            {Text: "Revision of the newest commit.", Example: exampleRev},
	"repoBlocks":         {Text: "Blocks of the repository: records, tree and commit.", Example: 120},
	"indexedRecords":     {Text: "Records of the repository.", Example: 97},
	"privateStateValues": {Text: "Preferences and other values that only the account sees.", Example: 4},
	"estimatedTimeMs":    {Text: "How long the sign-up may still wait, in milliseconds.", Example: 60000},
	"placeInQueue":       {Text: "How many sign-ups stand before this one.", Example: 3},

	// app passwords and invite codes
	"name":            {Text: "The app password's name.", Example: "my phone"},
	"passwords":       {Text: "The app passwords; the passwords themselves are not kept."},
	"privileged":      {Text: "Whether it also reaches direct messages.", Example: false},
	"createdAt":       {Text: "When it was made.", Example: exampleTime},
	"expiresAt":       {Text: "When it stops working; absent: never.", Example: exampleTime},
	"lastUsedAt":      {Text: "When somebody last signed in with it.", Example: exampleTime},
	"code":            {Text: "The invite code.", Example: exampleInvite},
	"codes":           {Text: "Invite codes."},
	"available":       {Text: "How often the code could be used when it was made.", Example: 1},
	"disabled":        {Text: "Whether the code was made unusable.", Example: false},
	"forAccount":      {Text: "DID of the account that may give the code away.", Example: exampleDID},
	"forAccounts":     {Text: "DIDs of the accounts that may give the codes away.", Example: exampleDID},
	"createdBy":       {Text: "Who made the code: a DID or admin.", Example: "admin"},
	"uses":            {Text: "The accounts that were opened with the code."},
	"usedBy":          {Text: "DID of the account that was opened.", Example: exampleOther},
	"usedAt":          {Text: "When the code was used.", Example: exampleTime},
	"useCount":        {Text: "How often each code can be used.", Example: 1},
	"codeCount":       {Text: "How many codes to make for each account.", Example: 5},
	"includeUsed":     {Text: "false: only codes that can still be used.", Example: true},
	"createAvailable": {Text: "true: first make the codes that the account has earned.", Example: true},

	// the server
	"availableUserDomains":      {Text: "Domains under which handles can be had, each with a dot in front.", Example: ".pds.example"},
	"inviteCodeRequired":        {Text: "Whether opening an account takes an invite code.", Example: false},
	"phoneVerificationRequired": {Text: "Whether opening an account takes a phone number: never.", Example: false},
	"blobUploadLimit":           {Text: "Largest file, in bytes.", Example: 104857600},
	"contact":                   {Text: "How to reach the operator."},
	"links":                     {Text: "The operator's pages."},
	"privacyPolicy":             {Text: "Address of the privacy policy.", Example: "https://pds.example/privacy"},
	"termsOfService":            {Text: "Address of the terms of service.", Example: "https://pds.example/terms"},
	"hostname":                  {Text: "Name of the host.", Example: "pds.example"},
	"hosts":                     {Text: "The hosts of this page."},
	"accountCount":              {Text: "Accounts of the host.", Example: 12},
	"seq":                       {Text: "Number of the newest event of the host.", Example: 4711},
	"aud":                       {Text: "DID of the service that the token is for, or did#service.", Example: "did:web:api.bsky.app"},
	"exp":                       {Text: "When the token ends, in seconds since 1970. Without it: in a minute.", Example: 1795867200},
	"lxm":                       {Text: "NSID of the one method that the token is for.", Example: "com.atproto.repo.uploadBlob"},

	// operators
	"account":          {Text: "Handle or DID of the account.", Example: exampleDID},
	"accounts":         {Text: "The accounts of this page."},
	"infos":            {Text: "What is known of each account that is here."},
	"note":             {Text: "Why, for other operators.", Example: "Gives codes to spammers"},
	"indexedAt":        {Text: "When the account was opened or moved here.", Example: exampleTime},
	"deactivatedAt":    {Text: "When the account was deactivated.", Example: exampleTime},
	"invitedBy":        {Text: "The invite code that the account was opened with."},
	"invites":          {Text: "Invite codes that the account may give away."},
	"invitesDisabled":  {Text: "Whether the account gets no invite codes.", Example: false},
	"inviteNote":       {Text: "What an operator noted when invites were stopped.", Example: "Gives codes to spammers"},
	"relatedRecords":   {Text: "Always absent: this server keeps none.", Example: []any{}},
	"threatSignatures": {Text: "Always absent: this server keeps none.", Example: []any{}},
	"property":         {Text: "What was compared.", Example: "email"},
	"subject":          {Text: "The account, record or file that it is about."},
	"takedown":         {Text: "Whether it is taken down."},
	"deactivated":      {Text: "Whether the account is deactivated."},
	"applied":          {Text: "Whether it holds.", Example: true},
	"ref":              {Text: "A note of the operator's, such as the number of a report.", Example: "report 17"},
	"recipientDid":     {Text: "DID of the account that gets the mail.", Example: exampleDID},
	"senderDid":        {Text: "DID of the operator who sends it, for the log.", Example: exampleOther},
	"content":          {Text: "The mail's text.", Example: "Your report was looked at."},
	"comment":          {Text: "Why, for the log only.", Example: "Answer to report 17"},
	"sent":             {Text: "Whether the mail is in the queue.", Example: true},
	"files":            {Text: "Files that records name: how many, and their bytes."},
	"entries":          {Text: "The entries of this page."},

	// the same names with another meaning
	"AdminSendEmailInputBody.subject":                  {Text: "The mail's subject.", Example: "About your report"},
	"AdminDefsThreatSignature.value":                   {Text: "What it was.", Example: "mail.example"},
	"AdminDisableInviteCodesInputBody.accounts":        {Text: "DIDs of accounts, all of whose codes become unusable.", Example: exampleDID},
	"AdminDisableInviteCodesInputBody.codes":           {Text: "Codes that become unusable.", Example: exampleInvite},
	"AdminGetInviteCodesOutputBody.cursor":             {Text: "Where the next page begins. An answer without one is the last.", Example: "1795867200000::" + exampleInvite},
	"AdminSearchAccountsOutputBody.cursor":             {Text: "Where the next page begins. An answer without one is the last.", Example: "42"},
	"AdminUpdateAccountPasswordInputBody.password":     {Text: "The new password.", Example: "correct horse battery staple"},
	"AdminUpdateAccountHandleInputBody.handle":         {Text: "The new handle.", Example: "alice.example.com"},
	"AdminUpdateAccountEmailInputBody.email":           {Text: "The new e-mail address.", Example: exampleMail},
	"AdminUpdateAccountSigningKeyInputBody.signingKey": {Text: "The new public key, as did:key; reserved here before by reserveSigningKey.", Example: exampleKey},
	"IdentityUpdateHandleInputBody.handle":             {Text: "The new handle.", Example: "alice.example.com"},
	"IdentitySignPlcOperationInputBody.token":          {Text: "The token from the mail of requestPlcOperationSignature.", Example: "A2C4E-6GHJK"},
	"LocusAdminDefsAccountUsage.records":               {Text: "Records: how many, and their bytes."},
	"LocusAdminGetUsageOutputBody.accounts":            {Text: "How many accounts there are, by state."},
	"ServerCreateAccountInputBody.did":                 {Text: "A DID that exists already, to move it here; needs a service token of it."},
	"ServerCreateAccountInputBody.handle":              {Text: "The wanted handle, under one of the server's domains or one of one's own.", Example: exampleHandle},
	"ServerCreateAppPasswordAppPassword.password":      {Text: "The password. It is shown this once.", Example: "abcd-efgh-ijkl-mnop"},
	"ServerCreateAppPasswordInputBody.name":            {Text: "A name for it, which no other of the account's has.", Example: "my phone"},
	"ServerCreateInviteCodesAccountCodes.account":      {Text: "DID of the account, or admin.", Example: exampleDID},
	"ServerCreateInviteCodesAccountCodes.codes":        {Text: "The account's new codes.", Example: exampleInvite},
	"ServerCreateSessionInputBody.identifier":          {Text: "Handle, DID or e-mail address.", Example: exampleHandle},
	"ServerCreateSessionInputBody.password":            {Text: "The password, or an app password.", Example: "correct horse battery staple"},
	"ServerDescribeServerContact.email":                {Text: "The operator's e-mail address.", Example: "help@pds.example"},
	"ServerDescribeServerOutputBody.did":               {Text: "The server's own DID.", Example: "did:web:pds.example"},
	"ServerGetServiceAuthOutputBody.token":             {Text: "The token, signed with the account's key.", Example: exampleJWT},
	"ServerResetPasswordInputBody.password":            {Text: "The new password.", Example: "correct horse battery staple"},
	"ServerResetPasswordInputBody.token":               {Text: "The token from the mail of requestPasswordReset.", Example: "A2C4E-6GHJK"},
	"ServerReserveSigningKeyInputBody.did":             {Text: "The DID that is to move here. Calling again gives the same key.", Example: exampleDID},
	"ServerUpdateEmailInputBody.email":                 {Text: "The new e-mail address.", Example: exampleMail},
	"ServerUpdateEmailInputBody.emailAuthFactor":       {Text: "Whether signing in asks for a mailed code from now on.", Example: false},
	"SyncGetHostStatusOutputBody.status":               {Text: "How the host is: active.", Example: "active"},
	"SyncListHostsHost.status":                         {Text: "How the host is: active.", Example: "active"},
	"SyncListHostsOutputBody.cursor":                   {Text: "Always absent: there is one page."},
	"com.atproto.admin.getSubjectStatus.blob":          {Text: "CID of a file, together with did."},
	"com.atproto.admin.getSubjectStatus.did":           {Text: "DID of an account, or of the file's."},
	"com.atproto.admin.getSubjectStatus.uri":           {Text: "Address of a record."},
	"com.atproto.admin.searchAccounts.email":           {Text: "Part of the e-mail address."},
	"com.atproto.sync.getRecord.rkey":                  {Text: "The record's key. Where there is no such record the archive proves it.", Example: "3l5p3vkqkjc2v"},

	// our own methods, whose lexicons describe them
	"LocusServerGetSecondFactorOutputBody.email":       {Example: false},
	"LocusServerGetSecondFactorOutputBody.backupCodes": {Example: 9},
	"LocusServerDefsBackupCodes.backupCodes":           {Example: "A2C4E-6GHJK"},
	"LocusServerConfirmAuthenticatorInputBody.code":    {Example: "123456"},
	"LocusServerBeginAuthenticatorOutputBody.uri":      {Example: "otpauth://totp/pds.example:" + exampleHandle + "?secret=JBSWY3DPEHPK3PXP&issuer=pds.example"},
	"LocusServerBeginAuthenticatorOutputBody.secret":   {Example: "JBSWY3DPEHPK3PXP"},
	"LocusAdminGetUsageOutputBody.records":             {Example: 97},
	"LocusAdminListUsageOutputBody.cursor":             {Example: "42"},
	"LocusAdminDefsAccountCounts.active":               {Example: 12},
	"LocusAdminDefsAccountCounts.deactivated":          {Example: 1},
	"LocusAdminDefsAuditEntry.subject":                 {Example: exampleDID},
	"LocusAdminDefsAuditEntry.detail":                  {Example: map[string]any{"reason": "report 17"}},
	"LocusAdminDefsAuditEntry.action":                  {Example: "account.takedown"},
	"LocusAdminDefsAuditEntry.outcome":                 {Example: "done"},
	"LocusAdminDefsAuditEntry.role":                    {Example: "admin"},
	"LocusAdminDefsAuditEntry.who":                     {Example: "admin"},
	"LocusAdminDefsAuditEntry.address":                 {Example: "192.0.2.7"},
	"LocusAdminDefsAuditEntry.id":                      {Example: "42"},
	"LocusAdminDefsAuditEntry.requestId":               {Example: "01jdz3v6"},
	"LocusServerGetUsageOutputBody.records":            {Example: map[string]any{"count": 97, "bytes": 34120}},
	"LocusServerGetUsageOutputBody.limit":              {Example: 0},
	"LocusAdminDefsAccountUsage.limit":                 {Example: 0},
	"LocusAdminSetBlobLimitOutputBody.limit":           {Example: 1000000000},
}
