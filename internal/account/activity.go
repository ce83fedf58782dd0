package account

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/tenantdb"
)

// Event is what happened to an account, as its owner reads it. Texts are the pages' to make.
type Event string

// Ways to sign in.
const (
	EventSignIn Event = "signin" // by Via
	EventSignUp Event = "signup"
)

// What was done to an account, each by the name of its notice in package mail. It is written in the transaction that does
// it.
const (
	EventPassword        Event = "password_changed"
	EventPasswordReset   Event = "password_reset" // by a mailed code
	EventPasswordRemoved Event = "password_removed"
	EventEmail           Event = "email_changed"
	EventHandle          Event = "handle_changed"
	EventAppOn           Event = "app_factor_on"
	EventAppOff          Event = "app_factor_off"
	EventEmailOn         Event = "email_factor_on"
	EventEmailOff        Event = "email_factor_off"
	EventBackupCodes     Event = "backup_codes"
	EventPasskeyAdded    Event = "passkey_added"
	EventPasskeyRemoved  Event = "passkey_removed"
	EventPasskeyCloned   Event = "passkey_cloned" // one counted backwards, and was refused
	EventOAuthOnlyOn     Event = "oauth_only_on"
	EventOAuthOnlyOff    Event = "oauth_only_off"
	EventTrusted         Event = "trusted" // a browser
	EventDistrusted      Event = "distrusted"
	EventAppPassword     Event = "app_password"
	EventAppPasswordGone Event = "app_password_revoked"
	EventAppEnded        Event = "app_ended" // what an app was allowed
	EventSignedOut       Event = "signed_out"
	EventRotationKeyOn   Event = "rotation_key_on"
	EventRotationKeyOff  Event = "rotation_key_off"
	EventIdentity        Event = "identity" // an operation on it was signed
	EventDeactivated     Event = "deactivated"
	EventDeletionSet     Event = "deletion_set"
	EventActivated       Event = "activated"
)

// Via is how somebody signed in.
type Via string

// The ways.
const (
	ViaPassword Via = "password"     // on a page
	ViaPasskey  Via = "passkey"      // on a page
	ViaAPI      Via = "api"          // createSession with the main password
	ViaApp      Via = "app_password" // createSession with the password of an app
	ViaOAuth    Via = "oauth"        // an app was let in on a page
)

// Activity is one line of an account's log.
type Activity struct {
	At      time.Time `json:"t"`           // the last time
	What    Event     `json:"w"`           //
	Via     Via       `json:"v,omitempty"` // of sign-ins
	Address string    `json:"a,omitempty"`
	Agent   string    `json:"g,omitempty"` // in words
	Detail  string    `json:"d,omitempty"` // a name, a handle, a client's id
	Times   int       `json:"n,omitempty"` // of the same sign-ins in a row; 0 is once
}

// same says whether two sign-ins differ by their time only.
func (a Activity) same(b Activity) bool {
	return a.What == b.What && a.Via == b.Via && a.Address == b.Address && a.Agent == b.Agent && a.Detail == b.Detail
}

const (
	maxSignIns = 50
	maxActs    = 100
	maxSeen    = 100
	// maxText bounds each text of a line, in characters.
	maxText = 200
	// unseen is after how long a device is a new one again.
	unseen = 180 * 24 * time.Hour
	// maxDeviceMails is how many new devices an account's owner is told of by mail in a day.
	maxDeviceMails = 3
)

// Log is what is written down of one account: sign-ins, and acts beside them, so that an app that signs in all day pushes
// nothing out that matters.
type Log struct {
	SignIns []Activity  `json:"s,omitempty"` // newest first
	Acts    []Activity  `json:"c,omitempty"` // likewise
	Seen    []seen      `json:"k,omitempty"` // devices
	Mailed  []time.Time `json:"m,omitempty"` // of new devices, in the last day

	aid int64
}

type seen struct {
	Key string    `json:"k"`
	At  time.Time `json:"t"`
}

// LockLog reads an account's log; nobody else changes it until the transaction ends. It comes late in a transaction:
// after the rows of actor and account, before events.
func LockLog(ctx context.Context, q *tenantdb.Queries, aid int64) (*Log, error) {
	body, err := q.LockActivity(ctx, aid)
	if err != nil {
		return nil, fmt.Errorf("lock log of actor %d: %w", aid, err)
	}
	return readLog(aid, body)
}

// ReadLog reads an account's log.
func ReadLog(ctx context.Context, q *tenantdb.Queries, aid int64) (*Log, error) {
	body, err := q.GetActivity(ctx, aid)
	if err != nil && !db.IsNoRows(err) {
		return nil, fmt.Errorf("log of actor %d: %w", aid, err)
	}
	return readLog(aid, body)
}

func readLog(aid int64, body string) (*Log, error) {
	l := &Log{aid: aid}
	if body == "" {
		return l, nil
	}
	if err := json.Unmarshal([]byte(body), l); err != nil {
		return nil, fmt.Errorf("log of actor %d is damaged: %w", aid, err)
	}
	return l, nil
}

// Store writes a log that was locked.
func (l *Log) Store(ctx context.Context, q *tenantdb.Queries) error {
	body, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("log of actor %d: %w", l.aid, err)
	}
	if err := q.UpdateActivity(ctx, tenantdb.UpdateActivityParams{AID: l.aid, Body: string(body)}); err != nil {
		return fmt.Errorf("store log of actor %d: %w", l.aid, err)
	}
	return nil
}

// Add writes a line about something that was done.
func (l *Log) Add(a Activity) {
	l.Acts = slices.Insert(l.Acts, 0, a.bounded())
	l.Acts = l.Acts[:min(len(l.Acts), maxActs)]
}

// SignedIn writes a line about a sign-in. device is what tells devices apart. tell says that it was a new one, and that
// its owner is to hear of it by mail; the first one ever is not told of, nor is one too many in a day.
func (l *Log) SignedIn(a Activity, device string) (tell bool) {
	a = a.bounded()
	if len(l.SignIns) > 0 && l.SignIns[0].same(a) {
		a.Times = max(l.SignIns[0].Times, 1) + 1
		l.SignIns[0] = a
	} else {
		l.SignIns = slices.Insert(l.SignIns, 0, a)
		l.SignIns = l.SignIns[:min(len(l.SignIns), maxSignIns)]
	}
	first := len(l.SignIns) == 1 && a.Times == 0
	if !l.see(device, a.At) || first || a.What == EventSignUp {
		return false
	}
	l.Mailed = slices.DeleteFunc(l.Mailed, func(t time.Time) bool { return a.At.Sub(t) >= 24*time.Hour })
	if len(l.Mailed) >= maxDeviceMails {
		return false
	}
	l.Mailed = append(l.Mailed, a.At)
	return true
}

// see notes a device, and says whether it was not seen for long.
func (l *Log) see(device string, now time.Time) (fresh bool) {
	sum := sha256.Sum256([]byte(device))
	key := base64.RawStdEncoding.EncodeToString(sum[:12])
	i := slices.IndexFunc(l.Seen, func(s seen) bool { return s.Key == key })
	if i >= 0 {
		fresh = now.Sub(l.Seen[i].At) >= unseen
		l.Seen = slices.Delete(l.Seen, i, i+1)
	} else {
		fresh = true
	}
	l.Seen = slices.Insert(l.Seen, 0, seen{key, now})
	l.Seen = l.Seen[:min(len(l.Seen), maxSeen)]
	return fresh
}

func (a Activity) bounded() Activity {
	a.At = a.At.UTC().Truncate(time.Second)
	a.Address, a.Agent, a.Detail = cut(a.Address, maxText), cut(a.Agent, maxText), cut(a.Detail, maxText)
	return a
}
