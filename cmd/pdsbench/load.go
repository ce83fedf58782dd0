package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/internal/procfs"
)

// Bounds that keep a run finite when the server fails.
const (
	maxRun           = 30 * time.Minute // whatever the flags say
	maxFailuresInRow = 100              // of one client, in connecting or reading
	maxMessages      = 3                // kept for each kind of error
	failurePause     = 20 * time.Millisecond
)

// A load is one measured run at one number of clients.
type load struct {
	plan     *plan
	work     *workload
	warmup   time.Duration
	duration time.Duration // of the measured part; with requests a limit
	requests int64         // 0: as many as fit into the duration
	check    int           // acknowledged writes per client that are read back afterwards
	roots    []int         // processes of the server
	proc     procfs.FS
	now      func() time.Time
	watchers *watchers // of the stream, or nil
	length   int64     // of a good answer; 0: any
}

// A client's own figures, added up when all are done.
type tally struct {
	lat      latencies
	bytes    int64
	errors   map[string]*errorKind
	failed   int64
	acks     [][]byte
	last     time.Time // end of the last operation that counted
	usedUp   bool
	deserted bool // gave up after too many failures
}

func (t *tally) fail(name, message string) {
	t.failed++
	k := t.errors[name]
	if k == nil {
		if t.errors == nil {
			t.errors = map[string]*errorKind{}
		}
		k = &errorKind{Name: name}
		t.errors[name] = k
	}
	k.Count++
	if len(k.Messages) < maxMessages && !slices.Contains(k.Messages, message) {
		k.Messages = append(k.Messages, message)
	}
}

// A window is the measured part of a run: operations that end inside it count, whenever they began. So what is under
// way at its start and at its end cancels out, also when one operation takes long.
type window struct{ from, to time.Time }

func (w window) holds(t time.Time) bool { return !t.Before(w.from) && !t.After(w.to) }

// run drives the server and returns what was measured.
func (l *load) run(ctx context.Context) (*result, error) {
	sources := make([]source, l.plan.clients)
	for i := range sources {
		s, err := l.work.source(l.plan, i)
		if err != nil {
			return nil, err
		}
		sources[i] = s
	}
	begin := l.now()
	duration := min(l.duration, maxRun)
	w := window{from: begin.Add(l.warmup), to: begin.Add(l.warmup + duration)}
	if l.watchers != nil {
		l.watchers.window.Store(&w)
	}
	var taken atomic.Int64
	tallies := make([]*tally, len(sources))
	var clients sync.WaitGroup
	for i, s := range sources {
		tallies[i] = &tally{}
		clients.Go(func() { l.client(ctx, s, tallies[i], w, &taken) })
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()

	wait(ctx, w.from.Sub(l.now()), done)
	before, err := l.proc.Usage(l.roots)
	if err != nil {
		clients.Wait()
		return nil, err
	}
	ownBefore, started := procfs.Own(), l.now()
	memory := l.proc.Watch(l.roots)
	wait(ctx, w.to.Sub(l.now()), done)
	after, err := l.proc.Usage(l.roots)
	ownAfter, ended := procfs.Own(), l.now()
	rss, pss := memory.Peak()
	clients.Wait()
	if err != nil {
		return nil, fmt.Errorf("the server ended during the run: %w", err)
	}

	r := l.sum(tallies, ended.Sub(started))
	r.Started = begin.UTC()
	r.Client.set(ownAfter-ownBefore, r.Operations)
	if len(l.roots) > 0 {
		r.Server = &serverCost{RSSPeak: rss, PSSPeak: pss}
		var all time.Duration
		for i, name := range after.Names {
			d := after.CPU[i] - before.CPU[i]
			all += d
			r.Server.Processes = append(r.Server.Processes, processCost{PID: l.roots[i], Name: name, CPUSeconds: d.Seconds()})
		}
		r.Server.set(all, r.Operations)
	}
	return r, l.readBack(r, tallies)
}

func wait(ctx context.Context, d time.Duration, done <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done:
	case <-ctx.Done():
	}
}

// client is one client's loop.
func (l *load) client(ctx context.Context, next source, t *tally, w window, taken *atomic.Int64) {
	c := newConn(l.plan.t)
	defer c.close()
	c.all = l.work.acked && l.check > 0
	inRow := 0
	for ctx.Err() == nil {
		start := l.now()
		if start.After(w.to) {
			return
		}
		if l.requests > 0 && !start.Before(w.from) && taken.Add(1) > l.requests {
			return
		}
		req, ok := next()
		if !ok {
			t.usedUp = true
			return
		}
		a, err := c.do(req, start)
		end := l.now()
		counts := w.holds(end)
		if counts {
			t.last = end
		}
		switch {
		case err != nil:
			if counts {
				t.fail("connection", err.Error())
			}
			if inRow++; inRow >= maxFailuresInRow {
				t.deserted = true
				return
			}
			time.Sleep(failurePause)
			continue
		case a.status != 200:
			if counts {
				e := newXRPCError(a)
				t.fail(fmt.Sprintf("%d %s", e.Status, e.Name), e.Message)
			}
		case l.length > 0 && a.length != l.length:
			if counts {
				t.fail("length", fmt.Sprintf("%d bytes", a.length))
			}
		default:
			if counts {
				t.lat.add(end.Sub(start))
				t.bytes += a.length
			}
			if c.all {
				t.keep(a.body, l.check)
			}
		}
		inRow = 0
	}
}

// keep remembers the last acknowledgements.
func (t *tally) keep(body []byte, most int) {
	if len(t.acks) < most {
		t.acks = append(t.acks, slices.Clone(body))
		return
	}
	oldest := t.acks[0]
	copy(t.acks, t.acks[1:])
	t.acks[most-1] = append(oldest[:0], body...)
}

// sum makes the result out of the clients' figures; took is the length of the measured part.
func (l *load) sum(tallies []*tally, took time.Duration) *result {
	r := &result{
		Workload: l.work.name, Clients: l.plan.clients, Accounts: len(l.plan.accounts), Records: l.plan.records,
		RecordSize: l.plan.shape.size, Seconds: took.Seconds(),
	}
	if !l.work.accounts {
		r.RecordSize = 0
	}
	if l.work.files {
		r.BlobSize = l.plan.blobSize
	}
	if l.work.proxied {
		r.BlobSize = l.plan.answerSize
	}
	var lat latencies
	kinds := &tally{}
	for _, t := range tallies {
		lat.merge(&t.lat)
		r.Bytes += t.bytes
		r.Errors += t.failed
		r.UsedUp = r.UsedUp || t.usedUp
		r.Deserted = r.Deserted || t.deserted
		for _, k := range t.errors {
			for _, m := range k.Messages {
				kinds.fail(k.Name, m)
			}
			kinds.errors[k.Name].Count += k.Count - int64(len(k.Messages))
		}
	}
	for _, k := range kinds.errors {
		r.ErrorKinds = append(r.ErrorKinds, *k)
	}
	slices.SortFunc(r.ErrorKinds, func(a, b errorKind) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Name, b.Name))
	})
	r.Operations = lat.n
	if s := took.Seconds(); s > 0 {
		r.Throughput = float64(lat.n) / s
		r.MBPerSecond = float64(r.Bytes) / s / 1e6
	}
	if l.work.writes != nil {
		r.Writes = l.work.writes(l.plan)
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	r.Latency = latencyMS{P50: ms(lat.percentile(50)), P90: ms(lat.percentile(90)), P99: ms(lat.percentile(99)), Max: ms(lat.max), Mean: ms(lat.mean())}
	return r
}

// readBack reads the kept writes again: one that was acknowledged and is not there, or differs, is lost.
func (l *load) readBack(r *result, tallies []*tally) error {
	c := newConn(l.plan.t)
	defer c.close()
	for _, t := range tallies {
		for _, ack := range t.acks {
			var a struct{ URI, CID string }
			if err := json.Unmarshal(ack, &a); err != nil {
				return fmt.Errorf("read an acknowledgement: %w", err)
			}
			parts := strings.Split(strings.TrimPrefix(a.URI, "at://"), "/")
			if len(parts) != 3 {
				return fmt.Errorf("read an acknowledgement: uri %q", a.URI)
			}
			r.Checked++
			if cid, err := lookUp(c, parts[0], parts[1], parts[2]); err != nil || cid != a.CID {
				r.Lost++
			}
		}
	}
	return nil
}
