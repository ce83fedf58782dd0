package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/auroralocus/locus/internal/job"
)

// Limits of streams of news.
const (
	maxWatchers  = 100 // of a process
	tokenWatches = 20
	watchFor     = 30 * time.Minute // then the caller asks anew
	watchBeat    = 15 * time.Second // a word that nothing has happened, so that nobody between takes the connection for dead
	watchWrite   = 10 * time.Second
)

// watchers counts streams, and ends them with the process.
type watchers struct {
	mu  sync.Mutex
	all int
	by  map[string]int
	end chan struct{} // closed when the process ends
}

func newWatchers() *watchers { return &watchers{by: map[string]int{}, end: make(chan struct{})} }

// take gives a place, and what gives it back.
func (w *watchers) take(token string) (done func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all >= maxWatchers || w.by[token] >= tokenWatches {
		return nil, false
	}
	w.all++
	w.by[token]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all--
		if w.by[token]--; w.by[token] == 0 {
			delete(w.by, token)
		}
	}, true
}

type watchInput struct {
	Job string `path:"job" maxLength:"60" doc:"The job's id."`
}

func (o jobOperations) watch(ctx context.Context, c SupportCaller, in *watchInput) (*huma.StreamResponse, error) {
	j, err := o.jobs.Get(ctx, in.Job)
	if err != nil {
		return nil, err
	}
	return o.stream(c.Caller, j)
}

type tenantJobPath struct {
	TenantPath
	Job string `path:"job" maxLength:"60" doc:"The job's id."`
}

func (o jobOperations) watchOne(ctx context.Context, c TenantReader, in *tenantJobPath) (*huma.StreamResponse, error) {
	j, err := o.ofTenant(ctx, in.Job, c.Tenant.ID)
	if err != nil {
		return nil, err
	}
	return o.stream(c.Caller, j)
}

// stream answers with server-sent events: one for each thing that the job does, the last when it has ended.
// The form is that of EventSource in the HTML standard.
func (o jobOperations) stream(c Caller, j job.Job) (*huma.StreamResponse, error) {
	done, ok := o.watchers.take(c.TokenID)
	if !ok {
		return nil, refuse(http.StatusTooManyRequests, codeTooMany, "A token watches at most %d jobs at a time, and all tokens together %d: getJob with wait tells the same", tokenWatches, maxWatchers).after(watchBeat)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer done()
		r, w := humago.Unwrap(hc)
		hc.SetHeader("Content-Type", "text/event-stream")
		hc.SetHeader("X-Accel-Buffering", "no") // nginx would keep it together
		hc.SetStatus(http.StatusOK)
		out := &events{w: w, control: http.NewResponseController(w)}
		ctx, cancel := context.WithTimeout(r.Context(), watchFor)
		defer cancel()
		if out.job(jobOf(j)) == nil && !j.Ended() {
			o.tell(ctx, out, j)
		}
	}}, nil
}

// tell writes events until the job has ended, the reader has gone, or the process ends.
func (o jobOperations) tell(ctx context.Context, out *events, first job.Job) {
	ctx, gone := context.WithCancelCause(ctx)
	defer gone(nil)
	news := make(chan job.Job)
	go func() {
		defer close(news)
		_, err := o.jobs.Watch(ctx, first.ID, func(j job.Job) {
			if j.State == first.State && j.Step == first.Step && j.Done == first.Done {
				return // told already
			}
			first.Step = "\x00" // no job does that: everything else is news
			select {
			case news <- j:
			case <-ctx.Done():
			}
		})
		gone(err)
	}()
	beat := time.NewTicker(watchBeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case j, more := <-news:
			if !more {
				return
			}
			err = out.job(jobOf(j))
		case <-beat.C:
			err = out.beat()
		case <-o.watchers.end:
			return
		}
		if err != nil {
			gone(err)
			return
		}
	}
}

// events are written one at a time, each within a time: a reader that takes nothing holds nothing.
type events struct {
	w       io.Writer
	control *http.ResponseController
	count   int
}

func (e *events) job(j Job) error {
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	e.count++
	return e.write(fmt.Sprintf("id: %d\nevent: job\ndata: %s\n\n", e.count, text))
}

func (e *events) beat() error { return e.write(":\n\n") }

func (e *events) write(text string) error {
	err := e.control.SetWriteDeadline(time.Now().Add(watchWrite))
	if err != nil && !errors.Is(err, http.ErrNotSupported) { // a test's recorder
		return err
	}
	if _, err := io.WriteString(e.w, text); err != nil {
		return err
	}
	return e.control.Flush()
}
