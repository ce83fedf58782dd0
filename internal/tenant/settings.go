package tenant

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Signup is who may open an account.
type Signup string

// The sign-up policies.
const (
	SignupOpen   Signup = "open"
	SignupInvite Signup = "invite"
	SignupClosed Signup = "closed"
	// SignupApproval lets anybody ask; an operator decides.
	SignupApproval Signup = "approval"
)

// Settings are what an operator may choose for one tenant, defaults filled in. In control.tenant.settings only what
// was chosen is stored, so a better default reaches everyone. [Fields] documents each.
type Settings struct {
	DisplayName string
	Signup      Signup

	HandleMinLength      int
	HandleMaxLength      int
	HandleReserve        []string
	HandleRelease        []string
	HandleRefuse         []string
	EmailBlockDisposable bool
	EmailBlockedDomains  []string
	BlobUploadLimit      int64
	BlobStore            string
	BlobTemporaryHours   int
	BlobAccountLimit     int64
	BlobTenantLimit      int64
	RecordAccountCount   int64
	RecordAccountBytes   int64
	RecordTenantCount    int64
	RecordTenantBytes    int64
	BlobClearLocation    bool
	BlobRedirect         string
	ImageVariants        bool
	AcceptRepoImports    bool
	MaxRepoImportSize    int64
	SessionDIDDoc        bool
	RecordValidation     string
	Crawlers             []string

	FirehoseRetentionHours        int
	FirehoseSubscribersMax        int
	FirehoseSubscribersPerAddress int

	HomeURL           string
	LogoURL           string
	PrivacyPolicyURL  string
	TermsOfServiceURL string
	SupportURL        string
	ContactEmail      string
	MailFrom          string
	MailLanguage      string
	BrandColor        string
	BrandTextColor    string
	RecoveryDIDKey    string

	PasswordMinLength int

	RateLimits            string
	RateLimitPercent      int
	RateLimitBypassAddrs  []string
	RateLimitBypassSHA256 string
	InviteIntervalHours   int
	InviteEpoch           string
	ModServiceDID         string
}

// InviteRequired says whether createAccount needs a code.
func (s *Settings) InviteRequired() bool { return s.Signup == SignupInvite }

// The ways unchecked records are treated (record_validation).
const (
	ValidateKnown    = "known"
	ValidateRequired = "required"
	ValidateOff      = "off"
)

// Whether calls are counted (rate_limits).
const (
	RateLimitsAuto = "auto"
	RateLimitsOn   = "on"
	RateLimitsOff  = "off"
)

// MinPassword is the fewest characters that any password has which somebody sets here; a tenant may ask for more.
const MinPassword = 8

// Defaults are the settings of a tenant for which nothing was chosen.
func Defaults() Settings {
	return Settings{
		Signup:               SignupInvite,
		HandleMinLength:      3,
		HandleMaxLength:      18,
		EmailBlockDisposable: true,
		BlobUploadLimit:      5 << 20,
		BlobTemporaryHours:   24,
		RecordAccountCount:   4_000_000,
		RecordAccountBytes:   2 << 30,
		ImageVariants:        true,
		AcceptRepoImports:    true,
		RecordValidation:     ValidateKnown,
		Crawlers:             []string{"https://bsky.network"},
		RateLimits:           RateLimitsAuto,
		PasswordMinLength:    MinPassword,
		RateLimitPercent:     100,

		FirehoseRetentionHours:        72,
		FirehoseSubscribersMax:        1000,
		FirehoseSubscribersPerAddress: 50,
	}
}

// Field documents one setting, for `locus tenant set` and `show`.
type Field struct {
	Key     string
	Kind    string // bool, int, text, list (comma separated), or the words allowed, joined by |
	Default string // in the form Set takes
	Doc     string

	at    func(*Settings) any // pointer: *bool, *int, *int64, *string or *[]string
	check func(value any) error
}

// Keys of Set that are not settings but belong to the tenant's row.
const (
	KeyHandleDomains = "handle_domains"
	KeyState         = "state"
)

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
	{Key: "blob_clear_location", Doc: "Whether the place where a JPEG, PNG or WebP was taken is removed from it at upload. Its CID is then another than that of the file sent.", at: func(s *Settings) any { return &s.BlobClearLocation }},
	{Key: "blob_redirect", Doc: "Where getBlob sends people instead of answering itself, with {did} and {cid} in it: https://cdn.example/{did}/{cid}; presigned: to the S3 store itself; empty: nowhere.", at: func(s *Settings) any { return &s.BlobRedirect }, check: aRedirect},
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
	{Key: "mail_language", Doc: "Language of mail to people whose own is not among ours (en, de, fr …).", at: func(s *Settings) any { return &s.MailLanguage }, check: maxText(20)},
	{Key: "brand_color", Doc: "Colour behind the name in mail and on pages: #rrggbb.", at: func(s *Settings) any { return &s.BrandColor }, check: aColor},
	{Key: "brand_text_color", Doc: "Colour of the name itself: #rrggbb.", at: func(s *Settings) any { return &s.BrandTextColor }, check: aColor},
	{Key: "recovery_did_key", Doc: "did:key that stands above the tenant's own rotation key in the DIDs made here.", at: func(s *Settings) any { return &s.RecoveryDIDKey }, check: aDIDKey},
	{Key: "password_min_length", Doc: "Fewest characters of a password that somebody sets, of accounts and of HTTP Basic user admin; those that are set stay.", at: func(s *Settings) any { return &s.PasswordMinLength }, check: between(MinPassword, 64)},
	{Key: "rate_limits", Kind: "auto|on|off", Doc: "Whether calls are limited as docs/limits.md tells. auto: except on development servers.", at: func(s *Settings) any { return &s.RateLimits }},
	{Key: "rate_limit_percent", Doc: "How much of each limit applies: 200 allows twice as much.", at: func(s *Settings) any { return &s.RateLimitPercent }, check: between(1, 100_000)},
	{Key: "rate_limit_bypass_addresses", Doc: "Addresses and networks (10.0.0.0/8) that are not limited.", at: func(s *Settings) any { return &s.RateLimitBypassAddrs }, check: eachNetwork},
	{Key: "rate_limit_bypass_sha256", Doc: "SHA-256, in hex, of the secret that header x-ratelimit-bypass may give to be not limited.", at: func(s *Settings) any { return &s.RateLimitBypassSHA256 }, check: aSHA256},
	{Key: "invite_interval_hours", Doc: "Accounts get an invite code to give away for each such time they are there, five unused at most; 0: none.", at: func(s *Settings) any { return &s.InviteIntervalHours }, check: between(0, 24*366*10)},
	{Key: "invite_epoch", Doc: "Time before this (2026-01-31T00:00:00Z) does not count for invite_interval_hours.", at: func(s *Settings) any { return &s.InviteEpoch }, check: aTime},
	{Key: "mod_service_did", Doc: "DID of the moderation service that may call admin methods with the role moderator; with #atproto_labeler its labeler's key counts.", at: func(s *Settings) any { return &s.ModServiceDID }, check: aServiceDID},
}

// Fields lists every key that Set takes, in the order to show them in.
func Fields() []Field {
	defaults := Defaults()
	out := []Field{
		{Key: KeyHandleDomains, Kind: "list", Default: "", Doc: "Domains under which accounts may have handles. One under which accounts have handles is not given up, nor taken by another tenant."},
		{Key: KeyState, Kind: "active|suspended", Default: "active", Doc: "Suspended: every request is refused, nothing is lost."},
	}
	for _, f := range fields {
		f.Kind = f.kind()
		f.Default = f.Text(&defaults)
		out = append(out, f)
	}
	return out
}

func (f Field) kind() string {
	if f.Kind != "" {
		return f.Kind
	}
	switch f.at(new(Settings)).(type) {
	case *bool:
		return "bool"
	case *int, *int64:
		return "int"
	case *[]string:
		return "list"
	}
	return "text"
}

// Text is the setting's value in the form that Set takes.
func (f Field) Text(s *Settings) string {
	if f.at == nil {
		return ""
	}
	switch p := f.at(s).(type) {
	case *bool:
		return strconv.FormatBool(*p)
	case *int:
		return strconv.Itoa(*p)
	case *int64:
		return strconv.FormatInt(*p, 10)
	case *[]string:
		return strings.Join(*p, ",")
	case *string:
		return *p
	}
	return ""
}

func findField(key string) (Field, bool) {
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Key == key })
	if i < 0 {
		return Field{}, false
	}
	return fields[i], true
}

func (f Field) badValue(err error) error {
	return fmt.Errorf("%w: %s: %w", ErrBadSetting, f.Key, err)
}

// parse sets the field of s from text.
func (f Field) parse(s *Settings, text string) error {
	text = strings.TrimSpace(text)
	switch p := f.at(s).(type) {
	case *bool:
		v, err := strconv.ParseBool(text)
		if err != nil {
			return f.badValue(errors.New("must be true or false"))
		}
		*p = v
	case *int:
		v, err := strconv.Atoi(text)
		if err != nil {
			return f.badValue(errors.New("must be a whole number"))
		}
		*p = v
	case *int64:
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return f.badValue(errors.New("must be a whole number"))
		}
		*p = v
	case *[]string:
		*p = splitList(text)
	case *string:
		*p = text
	}
	return f.validate(s)
}

func (f Field) validate(s *Settings) error {
	p := f.at(s)
	if text, ok := p.(*string); ok && strings.Contains(f.Kind, "|") && !slices.Contains(strings.Split(f.Kind, "|"), *text) {
		return f.badValue(fmt.Errorf("must be one of %s", strings.ReplaceAll(f.Kind, "|", ", ")))
	}
	if f.check == nil {
		return nil
	}
	if err := f.check(p); err != nil {
		return f.badValue(err)
	}
	return nil
}

func splitList(text string) []string {
	out := []string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

// chosen is the stored form: what was set, by key. Keys of a newer version are kept as they are.
type chosen map[string]json.RawMessage

func parseChosen(stored []byte) (chosen, error) {
	c := chosen{}
	if len(stored) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(stored, &c); err != nil {
		return nil, fmt.Errorf("stored settings: %w", err)
	}
	return c, nil
}

// settings fills in what was chosen over the defaults. A value that no longer passes leaves the default, and the error
// says so: one bad row must not take a tenant down.
func (c chosen) settings() (Settings, error) {
	s := Defaults()
	var bad []error
	for _, key := range slices.Sorted(maps.Keys(c)) {
		f, ok := findField(key)
		if !ok {
			continue // of a newer version, which runs beside this one
		}
		next := s
		if list, ok := f.at(&next).(*[]string); ok {
			*list = nil // or it would be decoded into the default's memory
		}
		if err := json.Unmarshal(c[key], f.at(&next)); err != nil {
			bad = append(bad, f.badValue(err))
			continue
		}
		if err := f.validate(&next); err != nil {
			bad = append(bad, err)
			continue
		}
		s = next
	}
	return s, errors.Join(bad...)
}

// apply sets keys from their text; an empty text goes back to the default, or empties a list. Nothing is changed on
// error.
func (c chosen) apply(patch map[string]string) (chosen, error) {
	out := maps.Clone(c)
	var bad []error
	for _, key := range slices.Sorted(maps.Keys(patch)) {
		f, ok := findField(key)
		if !ok {
			bad = append(bad, fmt.Errorf("%w: unknown key %.60q", ErrBadSetting, key))
			continue
		}
		if patch[key] == "" && f.kind() != "list" {
			delete(out, key)
			continue
		}
		var s Settings
		if err := f.parse(&s, patch[key]); err != nil {
			bad = append(bad, err)
			continue
		}
		value, err := json.Marshal(f.at(&s))
		if err != nil {
			return nil, f.badValue(err)
		}
		out[key] = value
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	s, err := out.settings()
	if err != nil {
		return nil, err
	}
	if s.HandleMinLength > s.HandleMaxLength {
		return nil, fmt.Errorf("%w: handle_min_length %d is above handle_max_length %d", ErrBadSetting, s.HandleMinLength, s.HandleMaxLength)
	}
	return out, nil
}

func between(lo, hi int64) func(any) error {
	return func(p any) error {
		v := int64(0)
		switch p := p.(type) {
		case *int:
			v = int64(*p)
		case *int64:
			v = *p
		}
		if v < lo || v > hi {
			return fmt.Errorf("must be from %d to %d", lo, hi)
		}
		return nil
	}
}

func maxText(n int) func(any) error {
	return func(p any) error {
		if len(*p.(*string)) > n {
			return fmt.Errorf("must have at most %d bytes", n)
		}
		return nil
	}
}

func eachText(size, count int) func(any) error {
	return func(p any) error {
		list := *p.(*[]string)
		if len(list) > count {
			return fmt.Errorf("must have at most %d entries", count)
		}
		for i, item := range list {
			if item == "" || len(item) > size {
				return fmt.Errorf("entries must have 1 to %d bytes", size)
			}
			list[i] = strings.ToLower(item)
		}
		return nil
	}
}

func aURL(p any) error { return checkURL(*p.(*string)) }

func eachURL(p any) error {
	list := *p.(*[]string)
	if len(list) > 20 {
		return errors.New("must have at most 20 entries")
	}
	for _, item := range list {
		if item == "" {
			return errors.New("must hold no empty entry")
		}
		if err := checkURL(item); err != nil {
			return err
		}
	}
	return nil
}

func checkURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || len(text) > 512 || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
		return fmt.Errorf("%.100q is not an http(s) URL", text)
	}
	return nil
}

func anEmail(p any) error {
	text := *p.(*string)
	if text == "" {
		return nil
	}
	if a, err := mail.ParseAddress(text); err != nil || a.Address != text || len(text) > 254 {
		return fmt.Errorf("%.100q is not a mail address", text)
	}
	return nil
}

// aBlobStore looks at the form only; blob.CheckLocation knows the rest.
func aBlobStore(p any) error {
	text := *p.(*string)
	if text == "" || text == "data:" || len(text) <= 500 && (strings.HasPrefix(text, "disk:/") || strings.HasPrefix(text, "s3://")) {
		return nil
	}
	return errors.New("must be data:, disk:/folder or s3://bucket/prefix?endpoint=URL")
}

func aRedirect(p any) error {
	text := *p.(*string)
	if text == "" || text == "presigned" {
		return nil
	}
	if !strings.Contains(text, "{did}") || !strings.Contains(text, "{cid}") {
		return errors.New("must have {did} and {cid} in it")
	}
	return checkURL(strings.NewReplacer("{did}", "did", "{cid}", "cid").Replace(text))
}

func aDIDKey(p any) error {
	text := *p.(*string)
	if text != "" && (!strings.HasPrefix(text, "did:key:z") || len(text) > 256) {
		return fmt.Errorf("%.100q is not a did:key", text)
	}
	return nil
}

var colorForm = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func aColor(p any) error {
	if s := *p.(*string); s != "" && !colorForm.MatchString(s) {
		return errors.New("must be a colour like #1f4b99")
	}
	return nil
}
