package tenant

// Field documents one setting, for `locus tenant set` and `show`.
type Field struct {
	Key     string
	Kind    string // bool, int, text, list (comma separated), or the words allowed, joined by |
	Default string // in the form Set takes
	Doc     string

	at    func(*Settings) any // pointer: *bool, *int, *int64, *string or *[]string
	check func(value any) error
}

// KeyHandleDomains is the key of Set that is no setting but belongs to the tenant's row.
const KeyHandleDomains = "handle_domains"

// ofDeployment are the keys that only the deployment's owner changes: what a tenant may take of what all share, which names
// are its own, and which other machines are called for it.
var ofDeployment = map[string]bool{
	KeyHandleDomains: true,
	"blob_store":     true, "blob_tenant_limit": true, "blob_upload_limit": true, "blob_redirect": true, "max_repo_import_size": true,
	"record_tenant_count": true, "record_tenant_bytes": true,
	"account_tenant_count": true, "storage_tenant_bytes": true, "request_tenant_day": true,
	"firehose_retention_hours": true, "firehose_subscribers_max": true, "firehose_subscribers_per_address": true,
	"rate_limits": true, "rate_limit_percent": true, "rate_limit_bypass_addresses": true, "rate_limit_bypass_sha256": true,
	"app_view": true, "report_service": true, "moderation_service": true, "crawlers": true,
}

// OfDeployment tells whether only the deployment's owner may change a key of Set.
func OfDeployment(key string) bool { return ofDeployment[key] }

var fields = []Field{
	{Key: "display_name", Doc: "Name shown to people in mail and on pages.", at: func(s *Settings) any { return &s.DisplayName }, check: maxText(100)},
	{Key: "signup", Kind: "open|invite|approval|closed", Doc: "Who may open an account: anybody, holders of an invite code, whom an operator approves (docs/moderation.md), nobody.", at: func(s *Settings) any { return (*string)(&s.Signup) }},
	{Key: "handle_min_length", Doc: "Fewest characters in front of a handle domain.", at: func(s *Settings) any { return &s.HandleMinLength }, check: between(1, 63)},
	{Key: "handle_max_length", Doc: "Most characters in front of a handle domain.", at: func(s *Settings) any { return &s.HandleMaxLength }, check: between(1, 63)},
	{Key: "handle_reserve", Doc: "Names that users cannot take, besides the built-in list (admin, support, www …).", at: func(s *Settings) any { return &s.HandleReserve }, check: eachText(63, 1000)},
	{Key: "handle_release", Doc: "Names of the built-in list that users may take after all.", at: func(s *Settings) any { return &s.HandleRelease }, check: eachText(63, 1000)},
	{Key: "handle_refuse", Doc: "Words that no handle may contain, separators ignored.", at: func(s *Settings) any { return &s.HandleRefuse }, check: eachText(63, 1000)},
	{Key: "email_block_disposable", Doc: "Whether addresses of known throw-away mail services are refused.", at: func(s *Settings) any { return &s.EmailBlockDisposable }},
	{Key: "email_blocked_domains", Doc: "More mail domains that are refused.", at: func(s *Settings) any { return &s.EmailBlockedDomains }, check: eachText(253, 1000)},
	{Key: "blob_upload_limit", Doc: "Largest blob, in bytes.", at: func(s *Settings) any { return &s.BlobUploadLimit }, check: between(1<<10, 10<<30)},
	{Key: "blob_store", Doc: "Where new blobs go: data:, disk:/folder or s3://bucket/prefix?endpoint=URL&region=NAME; empty: the deployment's. `locus blob move` takes what is there along.", at: func(s *Settings) any { return &s.BlobStore }, check: aBlobStore},
	{Key: "blob_temporary_hours", Doc: "How long an uploaded blob waits for a record to name it, in hours.", at: func(s *Settings) any { return &s.BlobTemporaryHours }, check: between(1, 24*365)},
	{Key: "blob_account_limit", Doc: "What one account's blobs may take, in bytes; 0: no limit. An account may have a limit of its own.", at: func(s *Settings) any { return &s.BlobAccountLimit }, check: between(0, 1<<50)},
	{Key: "blob_tenant_limit", Doc: "What all accounts' blobs may take together, in bytes; 0: no limit.", at: func(s *Settings) any { return &s.BlobTenantLimit }, check: between(0, 1<<60)},
	{Key: "record_account_count", Doc: "How many records one account may have; 0: no limit. An account may have a limit of its own.", at: func(s *Settings) any { return &s.RecordAccountCount }, check: between(0, 1<<50)},
	{Key: "record_account_bytes", Doc: "What one account's records may take, in bytes; 0: no limit. An account may have a limit of its own.", at: func(s *Settings) any { return &s.RecordAccountBytes }, check: between(0, 1<<50)},
	{Key: "record_tenant_count", Doc: "How many records all accounts may have together; 0: no limit.", at: func(s *Settings) any { return &s.RecordTenantCount }, check: between(0, 1<<60)},
	{Key: "record_tenant_bytes", Doc: "What all accounts' records may take together, in bytes; 0: no limit.", at: func(s *Settings) any { return &s.RecordTenantBytes }, check: between(0, 1<<60)},
	{Key: "account_tenant_count", Doc: "How many accounts the tenant may have, those that wait for approval included; 0: no limit.", at: func(s *Settings) any { return &s.AccountTenantCount }, check: between(0, 1<<40)},
	{Key: "storage_tenant_bytes", Doc: "What all accounts' records and blobs may take together, in bytes; 0: no limit.", at: func(s *Settings) any { return &s.StorageTenantBytes }, check: between(0, 1<<60)},
	{Key: "request_tenant_day", Doc: "How many requests the tenant may get on a day (UTC). Beyond it nothing new is taken; reading, deleting and moving away go on; 0: no limit.", at: func(s *Settings) any { return &s.RequestTenantDay }, check: between(0, 1<<50)},
	{Key: "blob_clear_location", Doc: "Whether the place where a JPEG, PNG or WebP was taken is removed from it at upload. Its CID is then another than that of the file sent.", at: func(s *Settings) any { return &s.BlobClearLocation }},
	{Key: "blob_redirect", Doc: "Where getBlob sends people instead of answering itself, with {did} and {cid} in it: https://cdn.example/{did}/{cid}; presigned: to the S3 store itself; empty: nowhere.", at: func(s *Settings) any { return &s.BlobRedirect }, check: aRedirect},
	{Key: "isolated", Doc: "Whether the tenant is a copy for trying things out: it tells no relay of its events, sends no mail, changes no DID and calls no other service. 'locus tenant clone' sets it.", at: func(s *Settings) any { return &s.Isolated }},
	{Key: "image_variants", Doc: "Whether smaller copies of pictures are served under /img/.", at: func(s *Settings) any { return &s.ImageVariants }},
	{Key: "accept_repo_imports", Doc: "Whether accounts may be moved here from another server.", at: func(s *Settings) any { return &s.AcceptRepoImports }},
	{Key: "max_repo_import_size", Doc: "Largest repository taken in, in bytes; 0: no limit.", at: func(s *Settings) any { return &s.MaxRepoImportSize }, check: between(0, 1<<40)},
	{Key: "session_did_doc", Doc: "Whether session answers carry the DID document.", at: func(s *Settings) any { return &s.SessionDIDDoc }},
	{Key: "record_validation", Kind: "known|required|off", Doc: "Records written without saying `validate`: checked when the lexicon is known, refused when it is not, or never checked.", at: func(s *Settings) any { return &s.RecordValidation }},
	{Key: "crawlers", Doc: "Relays that are told about new events; empty: none.", at: func(s *Settings) any { return &s.Crawlers }, check: eachURL},
	{Key: "firehose_retention_hours", Doc: "How long events stay in the stream, for consumers that come back.", at: func(s *Settings) any { return &s.FirehoseRetentionHours }, check: between(1, 24*366)},
	{Key: "firehose_subscribers_max", Doc: "Most subscribers of the stream at once, in each server process.", at: func(s *Settings) any { return &s.FirehoseSubscribersMax }, check: between(0, 100_000)},
	{Key: "firehose_subscribers_per_address", Doc: "Most of them from one address (of IPv6: one /64; four times as many from one /48); trusted proxies are not counted.", at: func(s *Settings) any { return &s.FirehoseSubscribersPerAddress }, check: between(1, 100_000)},
	{Key: "home_url", Doc: "Web page of the operator.", at: func(s *Settings) any { return &s.HomeURL }, check: aURL},
	{Key: "logo_url", Doc: "Logo for mail and pages.", at: func(s *Settings) any { return &s.LogoURL }, check: aURL},
	{Key: "privacy_policy_url", Doc: "Shown by describeServer.", at: func(s *Settings) any { return &s.PrivacyPolicyURL }, check: aURL},
	{Key: "terms_of_service_url", Doc: "Shown by describeServer.", at: func(s *Settings) any { return &s.TermsOfServiceURL }, check: aURL},
	{Key: "support_url", Doc: "Where people ask for help.", at: func(s *Settings) any { return &s.SupportURL }, check: aURL},
	{Key: "contact_email", Doc: "Shown by describeServer.", at: func(s *Settings) any { return &s.ContactEmail }, check: anEmail},
	{Key: "mail_from", Doc: "Sender of the tenant's mail.", at: func(s *Settings) any { return &s.MailFrom }, check: anEmail},
	{Key: "mail_language", Doc: "Language of mail to people whose own is not among ours: en, de, fr, es, pt-BR, nl, ja. Pages follow it too.", at: func(s *Settings) any { return &s.MailLanguage }, check: maxText(20)},
	{Key: "brand_color", Doc: "Colour behind the name in mail and on pages: #rrggbb.", at: func(s *Settings) any { return &s.BrandColor }, check: aColor},
	{Key: "brand_text_color", Doc: "Colour of the name itself: #rrggbb.", at: func(s *Settings) any { return &s.BrandTextColor }, check: aColor},
	{Key: "error_color", Doc: "Colour of what went wrong, on pages: #rrggbb. Each of these is made lighter or darker where it could not be read.", at: func(s *Settings) any { return &s.ErrorColor }, check: aColor},
	{Key: "warning_color", Doc: "Colour of warnings on pages.", at: func(s *Settings) any { return &s.WarningColor }, check: aColor},
	{Key: "info_color", Doc: "Colour of hints on pages.", at: func(s *Settings) any { return &s.InfoColor }, check: aColor},
	{Key: "success_color", Doc: "Colour of what went well, on pages.", at: func(s *Settings) any { return &s.SuccessColor }, check: aColor},
	{Key: "background_light", Doc: "Background of pages by day: a light #rrggbb.", at: func(s *Settings) any { return &s.BackgroundLight }, check: aColor},
	{Key: "background_dark", Doc: "Background of pages for people who want it dark: a dark #rrggbb.", at: func(s *Settings) any { return &s.BackgroundDark }, check: aColor},
	{Key: "page_links", Doc: `More links at the foot of pages, as JSON: [{"href":"https://example.com/rules","title":"Rules","titles":{"de":"Regeln"},"rel":"help"}].`, at: func(s *Settings) any { return &s.PageLinks }, check: someLinks},
	{Key: "recovery_did_key", Doc: "did:key that stands above the tenant's own rotation key in the DIDs made here.", at: func(s *Settings) any { return &s.RecoveryDIDKey }, check: aDIDKey},
	{Key: "password_min_length", Doc: "Fewest characters of a password that somebody sets, of accounts and of HTTP Basic user admin; those that are set stay.", at: func(s *Settings) any { return &s.PasswordMinLength }, check: between(MinPassword, 64)},
	{Key: "device_remember_days", Doc: "How many days somebody stays signed in on a browser that they asked to be remembered on.", at: func(s *Settings) any { return &s.DeviceRememberDays }, check: between(1, 180)},
	{Key: "oauth_forbidden_hosts", Doc: "Hosts whose apps may not ask people for access: example.com, or *.example.com for all names below it. What they have cannot be refreshed (docs/oauth.md).", at: func(s *Settings) any { return &s.OAuthForbiddenHosts }, check: eachText(254, 1000)},
	{Key: "oauth_trusted_clients", Doc: "client_id of apps that the operator knows: their name and logo are shown, and they need not ask each time.", at: func(s *Settings) any { return &s.OAuthTrustedClients }, check: eachClient},
	{Key: "captcha", Kind: "none|hcaptcha|turnstile", Doc: "Service that tells people from programs on the page where an account is opened. `locus tenant captcha` sets it with its keys. Apps that open accounts by the API are not asked.", at: func(s *Settings) any { return &s.Captcha }},
	{Key: "captcha_site_key", Doc: "The service's public key for the tenant's host.", at: func(s *Settings) any { return &s.CaptchaSiteKey }, check: maxText(200)},
	{Key: "rate_limits", Kind: "auto|on|off", Doc: "Whether calls are limited as docs/limits.md tells. auto: except on development servers.", at: func(s *Settings) any { return &s.RateLimits }},
	{Key: "rate_limit_percent", Doc: "How much of each limit applies: 200 allows twice as much.", at: func(s *Settings) any { return &s.RateLimitPercent }, check: between(1, 100_000)},
	{Key: "rate_limit_bypass_addresses", Doc: "Addresses and networks (10.0.0.0/8) that are not limited.", at: func(s *Settings) any { return &s.RateLimitBypassAddrs }, check: eachNetwork},
	{Key: "rate_limit_bypass_sha256", Doc: "SHA-256, in hex, of the secret that header x-ratelimit-bypass may give to be not limited.", at: func(s *Settings) any { return &s.RateLimitBypassSHA256 }, check: aSHA256},
	{Key: "invite_interval_hours", Doc: "Accounts get an invite code to give away for each such time they are there, five unused at most; 0: none.", at: func(s *Settings) any { return &s.InviteIntervalHours }, check: between(0, 24*366*10)},
	{Key: "invite_epoch", Doc: "Time before this (2026-01-31T00:00:00Z) does not count for invite_interval_hours.", at: func(s *Settings) any { return &s.InviteEpoch }, check: aTime},
	{Key: "mod_service_did", Doc: "DID of the moderation service that may call admin methods with the role moderator; with #atproto_labeler its labeler's key counts.", at: func(s *Settings) any { return &s.ModServiceDID }, check: aServiceDID},
	{Key: "app_view", Doc: "Service that answers what this server has no method for: did:web:api.example#bsky_appview=https://api.example; none; empty: the deployment's (docs/proxying.md).", at: func(s *Settings) any { return &s.AppView }, check: aService(ServiceAppView)},
	{Key: "report_service", Doc: "Service that reports go to: did:plc:…#atproto_labeler=https://mod.example; none; empty: the deployment's.", at: func(s *Settings) any { return &s.ReportService }, check: aService(ServiceLabeler)},
	{Key: "moderation_service", Doc: "Service that the methods of moderators (tools.ozone) go to, in the same form. It gets no power here: that is mod_service_did.", at: func(s *Settings) any { return &s.ModerationService }, check: aService(ServiceLabeler)},
	{Key: "cdn_pattern", Doc: "Where pictures in answers of the app view are, with %s for the kind, the DID and the CID: https://cdn.example/img/%s/plain/%s/%s@jpeg; none: here; empty: the deployment's.", at: func(s *Settings) any { return &s.CDNPattern }, check: aPicturePattern},
	{Key: "service_token_audience", Kind: "did|reference", Doc: "What tokens for other services name as their audience: the service's DID, or the DID with its #id. Services that have not been updated refuse the second.", at: func(s *Settings) any { return &s.ServiceTokenAudience }},
}
