package plcdir

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/vectors"
)

// replay runs an audit log through the rules and says whether it stands: every
// operation accepted at its time, and just those nullified that say so.
func replay(lines []auditLine) error {
	var log []entry
	for _, l := range lines {
		op, err := identity.ParseOperation(l.Operation)
		if err != nil {
			return err
		}
		at, err := time.Parse(time.RFC3339, l.CreatedAt)
		if err != nil {
			return err
		}
		if c := op.CID().String(); c != l.CID {
			return fmt.Errorf("cid %s, computed %s", l.CID, c)
		}
		nullified, err := checkNext(l.DID, active(log), op, at)
		if err != nil {
			return err
		}
		for i := range log {
			for _, c := range nullified {
				log[i].nullified = log[i].nullified || log[i].cid == c
			}
		}
		log = append(log, entry{l.CID, op, false, at})
	}
	for i, l := range lines {
		if log[i].nullified != l.Nullified {
			return fmt.Errorf("%s: nullified is %v", l.CID, log[i].nullified)
		}
	}
	return nil
}

type auditLine struct {
	DID       string          `json:"did"`
	Operation json.RawMessage `json:"operation"`
	CID       string          `json:"cid"`
	Nullified bool            `json:"nullified"`
	CreatedAt string          `json:"createdAt"`
}

func TestFixtureLogs(t *testing.T) {
	for _, kind := range []string{"valid", "invalid"} {
		files := vectors.Files(t, "plc", "audit_log", kind, "*.json")
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var lines []auditLine
			if err := json.Unmarshal(b, &lines); err != nil {
				t.Fatal(err)
			}
			if err := replay(lines); (err == nil) != (kind == "valid") {
				t.Errorf("%s is %s: %v", filepath.Base(file), kind, err)
			} else if err != nil {
				t.Logf("%s: %v", filepath.Base(file), err)
			}
		}
		t.Logf("%d %s vectors", len(files), kind)
	}
}

func newKeys(t testing.TB, n int) (keys []*keyring.Signer, didKeys []string) {
	t.Helper()
	ring, err := keyring.New(keyring.GenerateMaster(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		k, err := ring.GenerateSigningKey()
		if err != nil {
			t.Fatal(err)
		}
		keys, didKeys = append(keys, k), append(didKeys, k.PublicDIDKey())
	}
	return keys, didKeys
}

func genesis(t testing.TB, didKeys []string, signer *keyring.Signer, handle string) (string, *didplc.RegularOp) {
	t.Helper()
	did, op, err := identity.NewGenesis(identity.Account{
		RotationKeys: didKeys, SigningKey: signer.PublicDIDKey(), Handle: handle, Endpoint: "https://pds.test",
	}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return did, op
}

func update(t testing.TB, last didplc.Operation, signer *keyring.Signer, handle string) *didplc.RegularOp {
	t.Helper()
	op, err := identity.NewUpdate(last, signer, func(op *didplc.RegularOp) { identity.SetHandle(op, handle) })
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// The rules on our own operations, for clones without the fixtures.
func TestRules(t *testing.T) {
	keys, didKeys := newKeys(t, 3)
	stranger, _ := newKeys(t, 1)
	did, g := genesis(t, didKeys, keys[1], "a.test")
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return t0.Add(d) }
	e := func(op didplc.Operation, d time.Duration) entry { return entry{op.CID().String(), op, false, at(d)} }

	low := update(t, g, keys[2], "b.test")         // by the least key
	mid := update(t, g, keys[1], "c.test")         // the same place, by the middle one
	top := update(t, g, keys[0], "d.test")         // and by the greatest
	after := update(t, low, keys[2], "e.test")     // follows low
	foreign := update(t, g, stranger[0], "f.test") // by nobody
	tomb, err := identity.NewTombstone(g, keys[2])
	if err != nil {
		t.Fatal(err)
	}
	afterTomb := update(t, low, keys[0], "x.test")
	prev := tomb.CID().String()
	afterTomb.Prev = &prev
	highS := highSCopy(t, g)
	padded := *g
	sig := *g.Sig + "=="
	padded.Sig = &sig
	unsigned := *g
	unsigned.Sig = nil

	log := []entry{e(g, 0), e(low, time.Hour), e(after, 2*time.Hour)}
	for _, c := range []struct {
		name      string
		log       []entry
		op        didplc.Operation
		at        time.Duration
		kind      error
		nullified int
	}{
		{"genesis", nil, g, 0, nil, 0},
		{"genesis with high s", nil, highS, 0, identity.ErrOperation, 0},
		{"genesis with padding", nil, &padded, 0, identity.ErrOperation, 0},
		{"genesis unsigned", nil, &unsigned, 0, identity.ErrOperation, 0},
		{"update first", nil, low, 0, identity.ErrOperationConflict, 0},
		{"tombstone first", nil, tomb, 0, identity.ErrOperationConflict, 0},
		{"genesis twice", log[:1], g, time.Hour, identity.ErrOperationConflict, 0},
		{"update", log[:1], low, time.Hour, nil, 0},
		{"update by a stranger", log[:1], foreign, time.Hour, identity.ErrOperation, 0},
		{"update at the same moment", log[:1], low, 0, identity.ErrOperationConflict, 0},
		{"update of something unknown", log[:1], after, time.Hour, identity.ErrOperationConflict, 0},
		{"recovery by the middle key", log, mid, 3 * time.Hour, nil, 2},
		{"recovery by the top key", log, top, 3 * time.Hour, nil, 2},
		{"recovery after 72 hours exactly", log, top, 73 * time.Hour, nil, 2},
		{"recovery too late", log, top, 73*time.Hour + time.Millisecond, identity.ErrOperation, 0},
		{"recovery by the same key", log, update(t, g, keys[2], "g.test"), 3 * time.Hour, identity.ErrOperation, 0},
		{"recovery from an equal", []entry{e(g, 0), e(mid, time.Hour)}, update(t, g, keys[1], "h.test"), 2 * time.Hour, identity.ErrOperation, 0},
		{"recovery by a lesser", []entry{e(g, 0), e(mid, time.Hour)}, low, 2 * time.Hour, identity.ErrOperation, 0},
		{"recovery from the greatest", []entry{e(g, 0), e(top, time.Hour)}, update(t, g, keys[0], "i.test"), 2 * time.Hour, identity.ErrOperation, 0},
		{"tombstone", log[:1], tomb, time.Hour, nil, 0},
		{"after a tombstone", []entry{e(g, 0), e(tomb, time.Hour)}, afterTomb, 2 * time.Hour, identity.ErrOperationConflict, 0},
		{"tombstone undone", []entry{e(g, 0), e(tomb, time.Hour)}, top, 2 * time.Hour, nil, 1},
	} {
		nullified, err := checkNext(did, c.log, c.op, at(c.at))
		if !errors.Is(err, c.kind) || len(nullified) != c.nullified {
			t.Errorf("%s: %v, nullifies %d", c.name, err, len(nullified))
		}
	}
	if _, err := checkNext("did:plc:"+strings.Repeat("a", 24), nil, g, t0); !errors.Is(err, identity.ErrOperation) {
		t.Errorf("genesis of another DID: %v", err)
	}
}

// highSCopy returns the operation with the other valid s of its signature.
func highSCopy(t testing.TB, op *didplc.RegularOp) *didplc.RegularOp {
	t.Helper()
	sig, err := base64.RawURLEncoding.DecodeString(*op.Sig)
	if err != nil {
		t.Fatal(err)
	}
	order := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
		0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41}
	borrow := 0
	for i := 31; i >= 0; i-- {
		d := int(order[i]) - int(sig[32+i]) - borrow
		borrow = 0
		if d < 0 {
			d, borrow = d+256, 1
		}
		sig[32+i] = byte(d)
	}
	text := base64.RawURLEncoding.EncodeToString(sig)
	c := *op
	c.Sig = &text
	return &c
}

func TestForm(t *testing.T) {
	keys, didKeys := newKeys(t, 1)
	_, g := genesis(t, didKeys, keys[0], "a.test")
	many := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("at://n%d.test", i))
		}
		return names
	}
	for name, c := range map[string]struct {
		ok     bool
		change func(*didplc.RegularOp)
	}{
		"as it is":     {true, func(*didplc.RegularOp) {}},
		"ten names":    {true, func(op *didplc.RegularOp) { op.AlsoKnownAs = many(10) }},
		"eleven names": {false, func(op *didplc.RegularOp) { op.AlsoKnownAs = many(11) }},
		"long name":    {false, func(op *didplc.RegularOp) { op.AlsoKnownAs = []string{strings.Repeat("a", 259)} }},
		"longest name": {true, func(op *didplc.RegularOp) { op.AlsoKnownAs = []string{strings.Repeat("ä", 258)} }},
		"a name twice": {false, func(op *didplc.RegularOp) { op.AlsoKnownAs = []string{"at://a.test", "at://a.test"} }},
		"a bad rotation key": {false, func(op *didplc.RegularOp) {
			op.RotationKeys = []string{"did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"}
		}},
		"no rotation key":      {true, func(op *didplc.RegularOp) { op.RotationKeys = []string{} }},
		"eleven rotation keys": {false, func(op *didplc.RegularOp) { op.RotationKeys = slicesRepeat(didKeys[0], 11) }},
		"an Ed25519 method": {true, func(op *didplc.RegularOp) {
			op.VerificationMethods["x"] = "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"
		}},
		"a method without key":  {false, func(op *didplc.RegularOp) { op.VerificationMethods["x"] = "did:key:" }},
		"a method in base64":    {false, func(op *didplc.RegularOp) { op.VerificationMethods["x"] = "did:key:z0OIl" }},
		"a long key":            {false, func(op *didplc.RegularOp) { op.VerificationMethods["x"] = "did:key:z" + strings.Repeat("1", 248) }},
		"a long method id":      {false, func(op *didplc.RegularOp) { op.VerificationMethods[strings.Repeat("i", 33)] = didKeys[0] }},
		"a long service id":     {false, func(op *didplc.RegularOp) { op.Services[strings.Repeat("i", 33)] = didplc.OpService{} }},
		"a long service type":   {false, func(op *didplc.RegularOp) { op.Services["x"] = didplc.OpService{Type: strings.Repeat("i", 257)} }},
		"a long endpoint":       {false, func(op *didplc.RegularOp) { op.Services["x"] = didplc.OpService{Endpoint: strings.Repeat("i", 513)} }},
		"eleven services":       {false, func(op *didplc.RegularOp) { fill(op, 11, 1) }},
		"ten services, 4000 up": {false, func(op *didplc.RegularOp) { fill(op, 10, 500) }},
	} {
		op, err := identity.RegularForm(g)
		if err != nil {
			t.Fatal(err)
		}
		c.change(op)
		if err := checkForm(op); (err == nil) != c.ok || (err != nil && !errors.Is(err, identity.ErrOperation)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkForm(&didplc.LegacyOp{Type: "create"}); !errors.Is(err, identity.ErrOperation) {
		t.Errorf("legacy: %v", err)
	}
}

func slicesRepeat(s string, n int) (out []string) {
	for range n {
		out = append(out, s)
	}
	return out
}

func fill(op *didplc.RegularOp, services, size int) {
	op.Services = map[string]didplc.OpService{}
	for i := range services {
		op.Services[fmt.Sprint("s", i)] = didplc.OpService{Type: "x", Endpoint: strings.Repeat("e", size)}
	}
}

func TestRateLimits(t *testing.T) {
	now := time.Date(2026, 1, 8, 0, 0, 0, 0, time.UTC)
	at := func(n int, ago time.Duration) (log []entry) {
		for range n {
			log = append(log, entry{createdAt: now.Add(-ago)})
		}
		return log
	}
	for _, c := range []struct {
		log []entry
		ok  bool
	}{
		{at(9, time.Minute), true}, {at(10, time.Minute), false}, {at(10, time.Hour), true},
		{at(29, 2*time.Hour), true}, {at(30, 2*time.Hour), false}, {at(30, 24*time.Hour), true},
		{at(99, 48*time.Hour), true}, {at(100, 48*time.Hour), false}, {at(100, 7*24*time.Hour), true},
	} {
		if err := checkRate(c.log, now); (err == nil) != c.ok || (err != nil && !errors.Is(err, identity.ErrOperationRate)) {
			t.Errorf("%d operations %v ago: %v", len(c.log), now.Sub(c.log[0].createdAt), err)
		}
	}
}
