package passkey

import (
	"crypto/sha256"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/auroralocus/locus/internal/keyring"
)

// Kept is a key as it is kept by a room with rows of its own: operators are in no tenant.
type Kept struct {
	ID, Public, AAGUID []byte
	Transports         string
	Flags              int16
	Count              int64
}

// Kept is what is to be kept of a new key, and the digest of the question that it answers, which must be used up with it.
func (n *New) Kept() (k Kept, question []byte) {
	c := n.credential
	return Kept{
		ID: c.ID, Public: c.PublicKey, AAGUID: c.Authenticator.AAGUID, Transports: transports(c.Transport),
		Flags: int16(c.Flags.ProtocolValue()), Count: int64(c.Authenticator.SignCount),
	}, questionDigest(n.challenge)
}

// Key is a kept key, for a [Person].
func (k Kept) Key() Key {
	return Key{ID: k.ID, public: k.Public, aaguid: k.AAGUID, transports: k.Transports, flags: protocol.AuthenticatorFlags(k.Flags), count: uint32(k.Count)}
}

// ID is which key has answered, if it is the one that it claims to be.
func (a *Answer) ID() []byte { return a.parsed.RawID }

// Checked is what came of an answer to be stored, with the digest of the question, which must be used up with it.
type Checked struct {
	Flags    int16
	Count    int64
	Cloned   bool
	Question []byte
}

// QuestionKept is how long a question's digest must be known, from when it was answered.
const QuestionKept = askTime + usedKept

// Check looks at an answer of a person's only key, and stores nothing. Errors: [ErrRefused], [ErrExpired], [ErrHost].
func (a *Answer) Check(p Party, mac *keyring.MAC, now time.Time, b Bound, who Person) (Checked, error) {
	w, err := p.webauthn()
	if err != nil {
		return Checked{}, err
	}
	text := a.parsed.Response.CollectedClientData.Challenge
	if err := b.check(mac, now, text); err != nil {
		return Checked{}, err
	}
	c, err := a.validate(w, webauthn.SessionData{Challenge: text, RelyingPartyID: p.ID, UserVerification: protocol.VerificationRequired}, b, who)
	if err != nil {
		return Checked{}, refused(err)
	}
	return Checked{int16(c.Flags.ProtocolValue()), int64(c.Authenticator.SignCount), c.Authenticator.CloneWarning, questionDigest(text)}, nil
}

func questionDigest(text string) []byte {
	sum := sha256.Sum256([]byte("passkey_challenge\x00" + text))
	return sum[:]
}
