package act_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/did-method-plc/go-didplc"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/freeport"
	"github.com/auroralocus/locus/internal/identity"
	"github.com/auroralocus/locus/internal/job"
)

// theirs is the reference's PLC directory, in a process of its own.
type theirs struct {
	t    *testing.T
	url  string
	env  []string
	mu   sync.Mutex
	runs *exec.Cmd
}

// plcEnv names the folder in which npm has installed it.
const plcEnv = "LOCUS_TEST_PLC"

func (d *theirs) start(perSecond int) {
	d.t.Helper()
	u := d.url[len("http://127.0.0.1:"):]
	cmd := exec.Command("node", filepath.Join(os.Getenv(plcEnv), "directory.cjs"), u)
	cmd.Env = append(append(os.Environ(), d.env...), fmt.Sprintf("PER_SECOND=%d", perSecond), "LOG_ENABLED=false")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.mu.Lock()
	d.runs = cmd
	d.mu.Unlock()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if r, err := http.Get(d.url + "/_health"); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			d.t.Fatal("the directory does not answer")
		}
	}
}

// dies ends it at once, whatever it does.
func (d *theirs) dies() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.runs != nil {
		_ = d.runs.Process.Kill()
		_ = d.runs.Wait()
		d.runs = nil
	}
}

// operations are those of a DID, the oldest first.
func (d *theirs) operations(did string) (ops []didplc.RegularOp) {
	d.t.Helper()
	r, err := http.Get(d.url + "/" + did + "/log")
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&ops); err != nil || r.StatusCode != http.StatusOK {
		d.t.Fatalf("%s: %d, %v", did, r.StatusCode, err)
	}
	return ops
}

// turnstile lets so many operations through to the directory, and holds the next ones until more may go. Without it a quick
// machine would be done with all before anybody looks.
type turnstile struct {
	mu      sync.Mutex
	through int // that were taken
	most    int
	holds   bool
	more    chan struct{}
}

// let has so many operations go through in all.
func (s *turnstile) let(most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most, s.holds = most, false
	if s.more != nil {
		close(s.more)
	}
	s.more = make(chan struct{})
}

// held tells how many went through when it holds one.
func (s *turnstile) held() (through int, holds bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.through, s.holds
}

func (s *turnstile) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost {
		return http.DefaultTransport.RoundTrip(r)
	}
	for {
		s.mu.Lock()
		if s.through < s.most {
			s.through++
			s.mu.Unlock()
			break
		}
		s.holds = true
		more := s.more
		s.mu.Unlock()
		select {
		case <-more:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		s.mu.Lock()
		s.through--
		s.mu.Unlock()
	}
	return answer, err
}

// A tenant of hundreds of accounts is renamed at the reference's directory, which refuses who asks too often, dies in the
// middle and comes back; somebody cancels the rename, and it goes on and comes to its end. Each DID was changed once.
// LOCUS_TEST_PLC names the folder with the directory: CI installs it.
func TestRenameAtTheirDirectory(t *testing.T) {
	if os.Getenv(plcEnv) == "" {
		return
	}
	const accounts = 200
	m := newMortal(t)
	addr, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	d := &theirs{t: t, url: "http://" + addr, env: []string{"DATABASE_URL=" + dbtest.EmptyURL(t)}}
	t.Cleanup(d.dies)
	d.start(1_000_000)
	ours := m.parts.Directory
	m.parts.Directory = identity.NewPLCClient(d.url, http.DefaultClient)
	m.Acts = act.New(m.parts)
	for _, did := range m.dids {
		op, err := ours.Last(t.Context(), did)
		if err == nil {
			err = m.parts.Directory.Submit(t.Context(), did, op)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := len(m.dids); i < accounts; i++ { // one by one: of two at once the directory may answer one with 500
		did, err := m.account(i)
		if err != nil {
			t.Fatal(err)
		}
		m.dids = append(m.dids, did)
	}

	gate := new(turnstile)
	gate.let(accounts / 3)
	process := m.process()
	process.parts.Directory = identity.NewPLCClient(d.url, &http.Client{Transport: gate})
	process.Acts, process.jobs = act.New(process.parts), job.New(process.parts.DB, m.now, slog.New(slog.DiscardHandler))
	for _, k := range process.TenantJobs() {
		process.jobs.Register(k)
	}
	spec, err := act.RenameTenant(m.now2(), act.Operator{}, "other.test", true, 1000)
	if err != nil {
		t.Fatal(err)
	}
	run, end := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = process.jobs.Run(run) })
	defer running.Wait()
	defer end()
	begun, err := process.jobs.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	until := func(what string, is func(job.Job) bool) job.Job {
		t.Helper()
		for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
			j, err := process.jobs.Get(t.Context(), begun.ID)
			if err != nil {
				t.Fatal(err)
			}
			if is(j) {
				return j
			}
			if j.Ended() || time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, j)
			}
			if j.State == job.Waiting {
				m.seconds.Add(1) // what waits for its next attempt
			}
		}
	}
	holds := func(job.Job) bool {
		_, holds := gate.held()
		return holds
	}
	until("a third is done", holds)
	dead, _ := gate.held()
	d.dies()
	gate.let(accounts * 7 / 12)
	time.Sleep(time.Second)
	d.start(250) // and is strict from now on
	until("it goes on", holds)
	half, _ := gate.held()
	if _, err := process.jobs.Cancel(t.Context(), begun.ID); err != nil {
		t.Fatal(err)
	}
	var got act.RenameResult
	j := until("it is cancelled", job.Job.Ended)
	// The directory is asked, and not the turnstile: what it took as it died was never answered.
	taken := int64(0)
	d.dies()
	d.start(1_000_000)
	for _, did := range m.dids {
		taken += int64(len(d.operations(did)) - 1)
	}
	d.dies()
	d.start(250)
	if j.State != job.Cancelled || j.Into(&got) != nil || got.Hostname != "other.test" || got.Accounts > taken || got.LeftCount != 0 {
		t.Fatalf("the directory has changed %d: %+v, %+v", taken, j, got)
	}
	gate.let(accounts)
	t.Logf("the directory died at %d of %d accounts; cancelled at %d, with %d changed", dead, accounts, half, taken)

	if spec, err = act.RenameTenant(m.now2(), act.Operator{}, "other.test", true, 1000); err != nil {
		t.Fatal(err)
	}
	if begun, err = process.jobs.Start(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if j = until("the rest", job.Job.Ended); j.State != job.Done || j.Into(&got) != nil || got.Accounts != accounts || got.LeftCount != 0 {
		t.Fatalf("%+v, %+v", j, got)
	}
	now := m.now2()
	d.dies()
	d.start(1_000_000)
	for _, did := range m.dids {
		ops := d.operations(did)
		if len(ops) != 2 || ops[1].Services[identity.ServicePDS].Endpoint != now.PublicURL {
			t.Errorf("%s has %d operations; the last is %+v", did, len(ops), ops[len(ops)-1].Services)
		}
	}
	m.holds("renamed", now.State, "")
}
