// Package mail makes one message and hands it to an SMTP server. It knows no database: mail/outbox keeps what waits.
//
// A [Note] says what is to be told; [Render] makes it a [Message] in a language of lang/ and with the looks of a tenant.
// To add a language, add its file there: a test holds every file to the same keys.
package mail

import "errors"

var (
	// ErrKind: there is no text for this kind of note.
	ErrKind = errors.New("unknown kind of mail")
	// ErrServer: the URL of an SMTP server is malformed. The text says why and holds no password.
	ErrServer = errors.New("bad SMTP server URL")
	// ErrRefused: the server refused the message, or its recipient, for good.
	ErrRefused = errors.New("message refused")
	// ErrUnreachable: no session with the server came about, so it has not accepted anything.
	ErrUnreachable = errors.New("SMTP server cannot be used")
)

// Kind is what a mail is about, as the keys of the catalogues have it.
type Kind string

// The kinds of mail.
const (
	KindConfirmEmail  Kind = "confirm_email"
	KindUpdateEmail   Kind = "update_email"
	KindResetPassword Kind = "reset_password"
	KindDeleteAccount Kind = "delete_account"
	KindPLCOperation  Kind = "plc_operation"
	KindSignIn        Kind = "sign_in"
	KindFactorChange  Kind = "factor_change" // a change of second factors, or of what they protect
	KindNewEmail      Kind = "new_email"     // to an address that an account is going to have
	// Notices of what was changed: they carry no code.
	KindAppFactorOn     Kind = "app_factor_on"
	KindAppFactorOff    Kind = "app_factor_off"
	KindEmailFactorOn   Kind = "email_factor_on"
	KindEmailFactorOff  Kind = "email_factor_off"
	KindBackupCodes     Kind = "backup_codes"
	KindDeletionSet     Kind = "deletion_set" // the account was deactivated, with a date
	KindDeactivated     Kind = "deactivated"  // without one
	KindActivated       Kind = "activated"
	KindPassword        Kind = "password_changed"
	KindEmailChanged    Kind = "email_changed"    // to the address that was; Detail is the new one
	KindHandleChanged   Kind = "handle_changed"   // Detail is the new one
	KindAppPassword     Kind = "app_password"     // Detail is its name
	KindRotationKeyOn   Kind = "rotation_key_on"  // Detail is the key
	KindRotationKeyOff  Kind = "rotation_key_off" // likewise
	KindPasskeyAdded    Kind = "passkey_added"
	KindPasskeyRemoved  Kind = "passkey_removed"
	KindPasskeyCloned   Kind = "passkey_cloned" // one was refused: it counted backwards
	KindPasswordRemoved Kind = "password_removed"
	KindOAuthOnlyOn     Kind = "oauth_only_on"
	KindOAuthOnlyOff    Kind = "oauth_only_off"
	KindNewDevice       Kind = "new_device" // the account was signed in to from one that was not seen for long; Detail is program and address
	// What became of a sign-up that waited for approval. These carry no code.
	KindSignupApproved Kind = "signup_approved"
	KindSignupRejected Kind = "signup_rejected"
	KindMoveApproved   Kind = "move_approved" // of an account that comes from another server
	// KindMessage carries its own subject and text: the operator writes to an account.
	KindMessage Kind = "message"
)

// Note is what a mail tells, before it has a form.
type Note struct {
	Kind    Kind   `json:"kind"`
	Lang    string `json:"lang,omitempty"`   // of [Languages]; anything else is English
	Handle  string `json:"handle,omitempty"` // whom it greets
	Code    string `json:"code,omitempty"`   // the token
	Date    string `json:"date,omitempty"`   // of KindDeletionSet and KindNewDevice, as it is shown
	Detail  string `json:"detail,omitempty"` // what was changed, or what to
	Subject string `json:"subject,omitempty"`
	Text    string `json:"text,omitempty"` // of KindMessage: paragraphs between empty lines, or HTML, of which what a letter needs is kept; of decisions: the reason
}

// Brand is how a tenant looks in its mail.
type Brand struct {
	Name      string // shown to people
	Host      string
	LogoURL   string
	Color     string // #rrggbb behind the name
	TextColor string // #rrggbb of the name
	HelpURL   string
}

// Message is a mail ready to be sent.
type Message struct {
	Subject string
	Text    string
	HTML    string
}
