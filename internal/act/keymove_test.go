package act_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/job"
	"github.com/auroralocus/locus/internal/keyring"
	"github.com/auroralocus/locus/internal/process"
	"github.com/auroralocus/locus/internal/tenant"
)

// steps notes what a job says that it does.
type steps struct {
	mu   sync.Mutex
	said []string
}

func (s *steps) note(j job.Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, j.Step)
}

func (s *steps) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.said {
		if strings.Contains(one, text) {
			return true
		}
	}
	return false
}

// done is how a job that is done elsewhere ended.
type done struct {
	job job.Job
	err error
}

// begin does a job beside the test.
func begin(ctx context.Context, jobs *job.Runner, spec job.Spec, each func(job.Job)) <-chan done {
	out := make(chan done, 1)
	go func() {
		j, err := jobs.Do(ctx, spec, each)
		out <- done{j, err}
	}()
	return out
}

// moves begins to move a tenant, and stops where the copy is made, until go on is called. With fails it fails there.
func (m *keyed) moves(to string, fails bool) (copied <-chan struct{}, goOn func(), ended <-chan done) {
	m.t.Helper()
	reached, wait := make(chan struct{}), make(chan struct{})
	var once sync.Once
	p := m.process()
	p.jobs.Register(p.MoveJob(func(_ context.Context, step string) error {
		if step != "copied" {
			return nil
		}
		once.Do(func() { close(reached) })
		<-wait
		if fails {
			return errors.New("the move fails")
		}
		return nil
	}))
	spec, err := p.StartMove(m.t.Context(), m.now2(), act.Operator{}, to, time.Hour)
	if err != nil {
		m.t.Fatal(err)
	}
	return reached, sync.OnceFunc(func() { close(wait) }), begin(m.t.Context(), p.jobs, spec, nil)
}

// newKey puts another key behind those of the file, and says how everybody is rotated to it.
func (m *keyed) newKey(p *rotating) (keyring.Key, job.Spec) {
	m.t.Helper()
	key, err := keyring.AppendMaster(filepath.Join(m.dir, "master.key"), 0)
	if err != nil {
		m.t.Fatal(err)
	}
	spec, err := p.masters.StartRotation(m.t.Context(), act.Operator{}, p.jobs, act.KeyRotation{})
	if err != nil {
		m.t.Fatal(err)
	}
	return key, spec
}

// rotated holds that everything everywhere is under the key and opens by it alone, and that the one before is refused.
func (m *keyed) rotated(where string, p *rotating, key keyring.Key) {
	m.t.Helper()
	if left := m.under(key.ID - 1); len(left) > 0 {
		m.t.Errorf("%s: under key %d is left: %v", where, key.ID-1, left)
	}
	is, err := p.masters.Status(m.t.Context(), true, none)
	if err != nil || is.Keys[key.ID-2].State != "refused" || is.Keys[key.ID-2].Values != 0 || is.Keys[key.ID-1].State != "seals" || is.Unknown != nil || is.Tenants != 2 {
		m.t.Errorf("%s: %+v, %v", where, is, err)
	}
	m.allOpens(where, p)
}

// A tenant is moved from one database to another while the master key is replaced: whether the move began before or while
// everything is resealed, the rotation waits for it, what it took along is resealed, too, and a move that has failed holds
// nothing up.
func TestKeyRotationMoves(t *testing.T) {
	t.Parallel()
	dbtest.Plain(t, "it moves between servers that are no cluster")
	m := newKeyedOnTwo(t)
	m.write()
	m.fill()
	before := m.public()
	const home = tenant.HomeName

	p := m.rotating()
	copied, goOn, moved := m.moves("second", false)
	<-copied
	m.seconds.Add(1) // so that the new key seals later
	key, spec := m.newKey(p)
	var said steps
	turned := begin(t.Context(), p.jobs, spec, said.note)
	m.await("the rotation waits for the move", func() bool { return said.has("moves that began before") })
	if is, err := p.masters.Status(t.Context(), false, none); err != nil || is.Keys[0].State != "opens" {
		t.Errorf("%+v, %v", is, err)
	}
	goOn()
	if end := <-moved; end.err != nil {
		t.Fatal(end.err)
	}
	if end := <-turned; end.err != nil {
		t.Fatal(end.err)
	}
	m.rotated("moved before", p, key)
	if now := m.now2(); now.NodeID != m.second {
		t.Errorf("the tenant is on node %d", now.NodeID)
	}

	// The move begins behind the new key, and before its tenant is resealed.
	p = m.rotating()
	var back <-chan done
	p.jobs.Register(p.masters.RotateKind(func(step string) error {
		if step == "reseal" {
			copied, goOn, back = m.moves(home, false)
			<-copied
		}
		return nil
	}))
	key, spec = m.newKey(p)
	var more steps
	turned = begin(t.Context(), p.jobs, spec, more.note)
	m.await("the rotation waits for the tenant", func() bool { return more.has("being moved: localhost") })
	goOn()
	if end := <-back; end.err != nil {
		t.Fatal(end.err)
	}
	if end := <-turned; end.err != nil {
		t.Fatal(end.err)
	}
	m.rotated("moved meanwhile", p, key)
	if now := m.now2(); now.NodeID == m.second {
		t.Errorf("the tenant is on node %d", now.NodeID)
	}

	// A move has failed, and nobody has begun another one.
	copied, goOn, moved = m.moves("second", true)
	<-copied
	goOn()
	if end := <-moved; end.err == nil {
		t.Fatal("the move does not fail")
	}
	p = m.rotating()
	key, spec = m.newKey(p)
	if _, err := p.jobs.Do(t.Context(), spec, nil); err != nil {
		t.Fatal(err)
	}
	m.allOpens("after a move that failed", p)
	if left := m.underIn(m.conn, key.ID-1); len(left) > 0 {
		t.Errorf("after a move that failed: %v", left)
	}
	_, goOn, moved = m.moves("second", false) // begins with another copy
	goOn()
	if end := <-moved; end.err != nil {
		t.Fatal(end.err)
	}
	m.rotated("moved after all", p, key)
	m.holds("at the end", tenant.Active, "")
	if now := m.publicIn(m.further); !slices.Equal(before, now) {
		t.Errorf("keys are others than before: %v, %v", before, now)
	}
}

// A rotation that is cancelled before the new key seals leaves everything as it was, and may be begun again. Behind that
// it goes on to its end, whoever cancels it. Then nobody opens anything by the old key: not who has both, not who reads
// the keys again, and not who begins with the old one alone.
func TestKeyRotationCancelled(t *testing.T) {
	t.Parallel()
	m := newKeyedOnTwo(t)
	m.fill()
	ctx := t.Context()
	p := m.rotating()
	first, err := m.given(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.New(first, 0)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	held := first
	other := act.NewMasterKeys(p.TenantActs, ring, func(context.Context) (*keyring.Master, error) {
		mu.Lock()
		defer mu.Unlock()
		return held, nil
	}, -time.Second, slog.New(slog.DiscardHandler))
	self := process.New(p.parts.DB, m.now, slog.New(slog.DiscardHandler))
	self.Holds(other)
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- self.Run(serving, "other:1", "test") }()
	defer func() { stop(); <-served }()
	m.await("the other process", func() bool {
		list, err := process.Alive(ctx, p.parts.DB, m.now())
		return err == nil && len(list) == 1 && len(list[0].Keys) == 1
	})
	b := keyring.Binding{Schema: "control", Purpose: "x"}
	old, err := ring.Seal(b, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}

	key, spec := m.newKey(p)
	_, err = p.jobs.Do(ctx, spec, func(j job.Job) {
		if strings.Contains(j.Step, "other:1") && !j.Cancel {
			_, _ = p.jobs.Cancel(ctx, j.ID)
		}
	})
	if !errors.Is(err, job.ErrCancelled) {
		t.Errorf("cancelled while it waits: %v", err)
	}
	if is, err := p.masters.Status(ctx, false, none); err != nil || is.Keys[0].State != "seals" || is.Keys[1].State != "given" || m.keys.Current() != 1 {
		t.Errorf("after that: %+v, %v", is, err)
	}
	both, err := m.given(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	held = both
	mu.Unlock()
	p.jobs.Register(p.masters.RotateKind(func(step string) error {
		if step != "reseal" {
			return nil
		}
		open, err := p.jobs.List(ctx, job.Filter{Open: true, Max: 1})
		if err != nil || len(open) != 1 {
			return err
		}
		if open[0].Cancel {
			return nil // it goes on
		}
		_, err = p.jobs.Cancel(ctx, open[0].ID)
		time.Sleep(1500 * time.Millisecond) // it hears of it within a second
		return err
	}))
	if spec, err = p.masters.StartRotation(ctx, act.Operator{}, p.jobs, act.KeyRotation{}); err != nil {
		t.Fatal(err)
	}
	var said steps
	if j, err := p.jobs.Do(ctx, spec, said.note); err != nil || j.State != job.Done || !j.Cancel {
		t.Fatalf("cancelled too late: %+v, %v", j, err)
	}
	m.rotated("begun again", p, key)
	for name, keys := range map[string]*keyring.Keyring{"who rotated": m.keys, "another process": ring} {
		if _, err := keys.Open(b, old); !errors.Is(err, keyring.ErrRefusedMaster) {
			t.Errorf("%s opens by the old key: %v", name, err)
		}
		if keys.Current() != key.ID {
			t.Errorf("%s seals by key %d", name, keys.Current())
		}
	}
	if _, err := other.Reload(ctx); err != nil { // as by SIGHUP, with both keys still in the file
		t.Error(err)
	}
	if _, err := ring.Open(b, old); !errors.Is(err, keyring.ErrRefusedMaster) {
		t.Errorf("after another look at the file it opens by the old key: %v", err)
	}
	for name, text := range map[string]*keyring.Master{"the old key": first, "both keys, the old one first": both} {
		fresh, err := keyring.New(text, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = act.NewMasterKeys(p.TenantActs, fresh, nil, -time.Second, slog.New(slog.DiscardHandler)).Adopt(ctx, false)
		if alone := text == first; alone != errors.Is(err, act.ErrKeyMissing) {
			t.Errorf("who begins with %s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if _, err := fresh.Open(b, old); !errors.Is(err, keyring.ErrRefusedMaster) {
			t.Errorf("who begins with %s opens by the old key: %v", name, err)
		}
	}
	if _, err := p.masters.StartRotation(ctx, act.Operator{}, p.jobs, act.KeyRotation{To: 1}); !errors.Is(err, act.ErrKeyRefused) {
		t.Errorf("back to the old key: %v", err)
	}
}

// Of two rotations that begin at the same moment, with two new keys, one comes to its end, and no key is refused under
// which something is sealed.
func TestKeyRotationTwice(t *testing.T) {
	t.Parallel()
	m := newKeyed(t)
	m.fill()
	ctx := t.Context()
	p := m.rotating()
	for range 2 {
		if _, err := keyring.AppendMaster(filepath.Join(m.dir, "master.key"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.masters.StartRotation(ctx, act.Operator{}, p.jobs, act.KeyRotation{}); !errors.Is(err, act.ErrWhichKey) || !strings.Contains(err.Error(), "2, 3") {
		t.Errorf("two new keys: %v", err)
	}
	third, err := p.masters.StartRotation(ctx, act.Operator{}, p.jobs, act.KeyRotation{To: 3})
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.masters.StartRotation(ctx, act.Operator{}, p.jobs, act.KeyRotation{To: 2})
	if err != nil {
		t.Fatal(err)
	}
	sealed, wait := make(chan struct{}), make(chan struct{})
	other := m.rotating()
	other.jobs.Register(other.masters.RotateKind(func(step string) error {
		if step == "reseal" {
			close(sealed)
			<-wait
		}
		return nil
	}))
	var last <-chan done
	p.jobs.Register(p.masters.RotateKind(func(step string) error {
		if step == "refuse" { // everything is under key 2: the other one overtakes it here
			last = begin(ctx, other.jobs, third, nil)
			<-sealed
		}
		return nil
	}))
	if _, err := p.jobs.Do(ctx, second, nil); !errors.Is(err, act.ErrRotating) {
		t.Errorf("the one that was overtaken: %v", err)
	}
	if is, err := p.masters.Status(ctx, false, none); err != nil || is.Keys[1].State != "opens" {
		t.Errorf("%+v, %v", is, err)
	}
	close(wait)
	ended := <-last
	if ended.err != nil {
		t.Fatal(ended.err)
	}
	is, err := p.masters.Status(ctx, true, none)
	if err != nil || is.Keys[0].State != "refused" || is.Keys[1].State != "refused" || is.Keys[2].State != "seals" || is.Keys[1].Values+is.Keys[0].Values != 0 {
		t.Errorf("%+v, %v", is, err)
	}
	m.allOpens("both", p)
}
