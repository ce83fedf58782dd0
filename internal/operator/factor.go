package operator

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/auroralocus/locus/db"
	"github.com/auroralocus/locus/db/controldb"
	"github.com/auroralocus/locus/internal/account"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/passkey"
)

// kinds of factors, as they are stored.
const (
	kindApp     = 1
	kindPasskey = 2
)

// Factor is a second factor of an operator.
type Factor struct {
	ID         []byte
	Passkey    bool // or else an app that shows codes
	Name       string
	CreatedAt  time.Time
	LastUsedAt *time.Time
	row        controldb.OperatorFactor
}

// Factors are those of an operator, the oldest first.
func Factors(ctx context.Context, q *controldb.Queries, who Ref) ([]Factor, error) {
	rows, err := q.ListOperatorFactors(ctx, controldb.ListOperatorFactorsParams{Who: string(who), MaxRows: MaxFactors})
	if err != nil {
		return nil, fmt.Errorf("second factors of %s: %w", who, err)
	}
	out := make([]Factor, len(rows))
	for i, r := range rows {
		out[i] = Factor{r.FactorID, r.Kind == kindPasskey, r.Name, r.CreatedAt, r.LastUsedAt, r}
	}
	return out, nil
}

// Binding is what the secret of an operator's app is sealed for.
func Binding(who Ref) keyring.Binding {
	return keyring.Binding{Schema: "control", Owner: string(who), Purpose: "operator-app"}
}

// AddApp keeps an app that shows codes, by a code that it shows now. Errors: [ErrCode], [ErrManyFactors],
// [passkey.ErrName].
func AddApp(ctx context.Context, q *controldb.Queries, keys *keyring.Keyring, now time.Time, who Ref, name string, secret []byte, code string) error {
	name, err := passkey.CheckName(name)
	if err != nil {
		return err
	}
	step, ok := account.MatchTOTP(secret, now, strings.TrimSpace(code))
	if !ok {
		return ErrCode
	}
	sealed, err := keys.Seal(Binding(who), secret)
	if err != nil {
		return fmt.Errorf("seal the app of %s: %w", who, err)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return insert(ctx, q, controldb.InsertOperatorFactorParams{Who: string(who), FactorID: id, Kind: kindApp, Name: name, Sealed: sealed, Counter: step, CreatedAt: now})
}

// AddPasskey keeps a new passkey. Errors: [ErrManyFactors], [ErrAnswered], [passkey.ErrName].
func AddPasskey(ctx context.Context, q *controldb.Queries, now time.Time, who Ref, name string, made *passkey.New) error {
	name, err := passkey.CheckName(name)
	if err != nil {
		return err
	}
	k, question := made.Kept()
	if err := answered(ctx, q, now, question); err != nil {
		return err
	}
	return insert(ctx, q, controldb.InsertOperatorFactorParams{
		Who: string(who), FactorID: k.ID, Kind: kindPasskey, Name: name, PublicKey: k.Public, Aaguid: k.AAGUID,
		Transports: k.Transports, Flags: k.Flags, Counter: k.Count, CreatedAt: now,
	})
}

func insert(ctx context.Context, q *controldb.Queries, p controldb.InsertOperatorFactorParams) error {
	p.MaxRows = MaxFactors
	n, err := q.InsertOperatorFactor(ctx, p)
	if err != nil {
		return fmt.Errorf("keep a second factor of %s: %w", p.Who, err)
	}
	if n == 0 {
		return ErrManyFactors
	}
	return nil
}

func answered(ctx context.Context, q *controldb.Queries, now time.Time, question []byte) error {
	n, err := q.InsertOperatorAnswer(ctx, controldb.InsertOperatorAnswerParams{Digest: question, EndsAt: now.Add(passkey.QuestionKept)})
	if err != nil {
		return fmt.Errorf("use up a passkey's answer: %w", err)
	}
	if n == 0 {
		return ErrAnswered
	}
	return nil
}

// RemoveFactor takes one away. Errors: [ErrLastFactor].
func RemoveFactor(ctx context.Context, q *controldb.Queries, who Ref, id []byte) error {
	n, err := q.DeleteOperatorFactor(ctx, controldb.DeleteOperatorFactorParams{Who: string(who), FactorID: id})
	if err != nil {
		return fmt.Errorf("remove a second factor of %s: %w", who, err)
	}
	if n == 0 {
		return ErrLastFactor
	}
	return nil
}

// Reset takes all second factors, sessions and links from an operator: for one who has lost them.
func Reset(ctx context.Context, q *controldb.Queries, who Ref) error {
	if _, err := q.DeleteOperatorFactors(ctx, string(who)); err != nil {
		return fmt.Errorf("reset %s: %w", who, err)
	}
	if _, err := q.DeleteOperatorLinks(ctx, string(who)); err != nil {
		return fmt.Errorf("reset %s: %w", who, err)
	}
	_, err := EndAll(ctx, q, who, nil)
	return err
}

// UseCode uses a code of any of the operator's apps up. Errors: [ErrNoFactor], [ErrCode].
func UseCode(ctx context.Context, q *controldb.Queries, keys *keyring.Keyring, now time.Time, who Ref, code string) error {
	all, err := Factors(ctx, q, who)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return ErrNoFactor
	}
	for _, f := range all {
		if f.Passkey {
			continue
		}
		secret, err := keys.Open(Binding(who), f.row.Sealed)
		if err != nil {
			return fmt.Errorf("open the app of %s: %w", who, err)
		}
		step, ok := account.MatchTOTP(secret, now, strings.TrimSpace(code))
		if !ok {
			continue
		}
		return used(ctx, q, now, f.row, step, 0, ErrCode)
	}
	return ErrCode
}

func used(ctx context.Context, q *controldb.Queries, now time.Time, row controldb.OperatorFactor, counter int64, flags int16, twice error) error {
	n, err := q.UpdateOperatorFactorUsed(ctx, controldb.UpdateOperatorFactorUsedParams{Who: row.Who, FactorID: row.FactorID, Counter: counter, Flags: flags, Now: now})
	if err != nil {
		return fmt.Errorf("use a second factor of %s: %w", row.Who, err)
	}
	if n == 0 {
		return twice
	}
	return nil
}

// Person is an operator as passkeys know it, with those that it has.
func Person(who Ref, name string, have []Factor) passkey.Person {
	p := passkey.Person{DID: who.Handle(), Name: name}
	for _, f := range have {
		if f.Passkey {
			p.Keys = append(p.Keys, keyOf(f.row))
		}
	}
	return p
}

func keyOf(r controldb.OperatorFactor) passkey.Key {
	return passkey.Kept{ID: r.FactorID, Public: r.PublicKey, AAGUID: r.Aaguid, Transports: r.Transports, Flags: r.Flags, Count: r.Counter}.Key()
}

// UsePasskey is whose passkey has answered, and uses the answer up. Errors: [passkey.ErrRefused], [passkey.ErrExpired],
// [passkey.ErrCloned], [passkey.ErrHost], [ErrAnswered].
func UsePasskey(ctx context.Context, q *controldb.Queries, mac *keyring.MAC, now time.Time, p passkey.Party, b passkey.Bound, answer *passkey.Answer) (Ref, error) {
	row, err := q.GetOperatorFactor(ctx, answer.ID())
	if db.IsNoRows(err) || err == nil && row.Kind != kindPasskey {
		return "", fmt.Errorf("%w: no such key", passkey.ErrRefused)
	}
	if err != nil {
		return "", fmt.Errorf("look for a passkey: %w", err)
	}
	who := Ref(row.Who)
	if h := answer.Handle(); len(h) > 0 && !bytes.Equal(h, []byte(who.Handle())) {
		return who, fmt.Errorf("%w: it claims to be another one's", passkey.ErrRefused)
	}
	checked, err := answer.Check(p, mac, now, b, passkey.Person{DID: who.Handle(), Keys: []passkey.Key{keyOf(row)}})
	if err != nil {
		return who, err
	}
	if checked.Cloned {
		return who, passkey.ErrCloned
	}
	if err := answered(ctx, q, now, checked.Question); err != nil {
		return who, err
	}
	return who, used(ctx, q, now, row, checked.Count, checked.Flags, passkey.ErrCloned)
}

// SecretQuestions is the purpose of the key that questions to passkeys are signed with.
const SecretQuestions = "questions"

// Questions is the key that questions to passkeys are signed with. It is made when it is asked for first.
func Questions(ctx context.Context, q *controldb.Queries, keys *keyring.Keyring, now time.Time) (*keyring.MAC, error) {
	sealed, err := q.GetOperatorSecret(ctx, SecretQuestions)
	if db.IsNoRows(err) {
		if sealed, err = keys.GenerateMACKey("control", SecretQuestions); err != nil {
			return nil, fmt.Errorf("make the key of questions: %w", err)
		}
		if err = q.InsertOperatorSecret(ctx, controldb.InsertOperatorSecretParams{Purpose: SecretQuestions, Sealed: sealed, CreatedAt: now}); err == nil {
			sealed, err = q.GetOperatorSecret(ctx, SecretQuestions) // another process may have been first
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key of questions: %w", err)
	}
	return keys.MAC("control", SecretQuestions, sealed)
}
