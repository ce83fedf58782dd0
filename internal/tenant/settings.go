package tenant

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
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

// Settings are what an operator may choose for one tenant, defaults filled in. In control.tenant.settings only what was
// chosen is stored, so a better default reaches everyone. [Fields] documents each.
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
	AccountTenantCount   int64
	StorageTenantBytes   int64
	RequestTenantDay     int64
	BlobClearLocation    bool
	BlobRedirect         string
	Isolated             bool
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
	ErrorColor        string
	WarningColor      string
	InfoColor         string
	SuccessColor      string
	BackgroundLight   string
	BackgroundDark    string
	PageLinks         string
	RecoveryDIDKey    string

	DeviceRememberDays  int
	OAuthForbiddenHosts []string
	OAuthTrustedClients []string

	PasswordMinLength int

	Captcha        string
	CaptchaSiteKey string

	RateLimits            string
	RateLimitPercent      int
	RateLimitBypassAddrs  []string
	RateLimitBypassSHA256 string
	InviteIntervalHours   int
	InviteEpoch           string
	ModServiceDID         string

	AppView              string
	ReportService        string
	ModerationService    string
	CDNPattern           string
	ServiceTokenAudience string
}

// The services that tell people from programs at a sign-up (captcha).
const (
	CaptchaNone      = "none"
	CaptchaHCaptcha  = "hcaptcha"
	CaptchaTurnstile = "turnstile"
)

// What service tokens name as their audience (service_token_audience).
const (
	AudienceDID       = "did"
	AudienceReference = "reference"
)

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
		DeviceRememberDays:   7,
		RateLimitPercent:     100,

		ServiceTokenAudience: AudienceDID,
		Captcha:              CaptchaNone,

		FirehoseRetentionHours:        72,
		FirehoseSubscribersMax:        1000,
		FirehoseSubscribersPerAddress: 50,
	}
}

// Fields lists every key that Set takes, in the order to show them in.
func Fields() []Field {
	defaults := Defaults()
	out := []Field{
		{Key: KeyHandleDomains, Kind: "list", Default: "", Doc: "Domains under which accounts may have handles. One under which accounts have handles is not given up, nor taken by another tenant."},
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
	for key := range patch {
		if strings.HasPrefix(key, "brand_") || strings.HasPrefix(key, "background_") {
			return out, s.looksGood() // colours of long ago stay, until somebody changes one
		}
	}
	return out, nil
}

// OAuthClientRefused says whether an app may not ask for access here, by the host of its client_id.
func (s *Settings) OAuthClientRefused(clientID string) bool {
	u, err := url.Parse(clientID)
	if err != nil || len(s.OAuthForbiddenHosts) == 0 {
		return false // who has no proper id is refused for that
	}
	host := strings.ToLower(u.Hostname())
	return slices.ContainsFunc(s.OAuthForbiddenHosts, func(f string) bool {
		below, all := strings.CutPrefix(f, "*.")
		return f == host || all && strings.HasSuffix(host, "."+below)
	})
}
