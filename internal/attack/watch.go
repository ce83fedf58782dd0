package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auroralocus/locus/internal/procfs"
)

// look counts the connections that the server has open on its port, and its resident memory.
func (f *field) look() (open int, memory int64, err error) {
	_, text, err := net.SplitHostPort(f.addr)
	if err != nil {
		return 0, 0, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return 0, 0, err
	}
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		n, err := countOpen(name, port)
		if err != nil {
			return 0, 0, err
		}
		open += n
	}
	server, err := procfs.Here.Read(f.pid)
	if err != nil {
		return 0, 0, fmt.Errorf("the server has gone: %w", err)
	}
	return open, server.RSS, nil
}

// countOpen counts connections at a local port whose server has not closed them: established, or closed by the peer.
func countOpen(name string, port int) (n int, err error) {
	file, err := os.Open(name)
	if os.IsNotExist(err) && strings.HasSuffix(name, "6") {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("this needs Linux: %w", err)
	}
	defer file.Close()
	s := bufio.NewScanner(file)
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) < 4 || fields[3] != "01" && fields[3] != "08" {
			continue
		}
		_, local, _ := strings.Cut(fields[1], ":")
		b, err := hex.DecodeString(local)
		if err == nil && len(b) == 2 && int(b[0])<<8|int(b[1]) == port {
			n++
		}
	}
	return n, s.Err()
}

// watcher follows the server's memory.
type watcher struct {
	most atomic.Int64
	end  context.CancelFunc
	done chan struct{}
}

// watch follows the memory until it is stopped, and calls enough when it is more than the limit.
func (f *field) watch(ctx context.Context, limit int64, enough func()) *watcher {
	ctx, end := context.WithCancel(ctx)
	w := &watcher{end: end, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for ctx.Err() == nil {
			if p, err := procfs.Here.Read(f.pid); err == nil && p.RSS > w.most.Load() {
				w.most.Store(p.RSS)
				if p.RSS > limit {
					enough()
				}
			}
			wait(ctx, 100*time.Millisecond)
		}
	}()
	return w
}

func (w *watcher) stop() int64 {
	w.end()
	<-w.done
	return w.most.Load()
}

// neighbour is the 99th percentile, in ms, of what an ordinary client of B does for some time: reads and writes, two at
// once, and what the classes of the round are after. A call that fails counts as the time it may take.
func (f *field) neighbour(ctx context.Context, d time.Duration, classes []class) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, d+20*time.Second)
	defer cancel()
	var mu sync.Mutex
	var times []time.Duration
	var last error
	failed := 0
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	var asks []func(*field, context.Context) error
	for _, c := range classes {
		if c.asks != nil {
			asks = append(asks, c.asks)
		}
	}
	for worker := range 2 {
		calls := asks
		if len(classes) != 1 || !classes[0].only {
			calls = append(usualCalls(worker), asks...)
		}
		wg.Go(func() {
			for i := 0; time.Now().Before(end) && ctx.Err() == nil; i++ {
				began := time.Now()
				err := calls[i%len(calls)](f, ctx)
				took := time.Since(began)
				mu.Lock()
				if err != nil {
					failed, last, took = failed+1, err, max(took, 20*time.Second)
				}
				times = append(times, took)
				mu.Unlock()
				wait(ctx, 10*time.Millisecond)
			}
		})
	}
	wg.Wait()
	if failed == len(times) && last != nil {
		return 0, fmt.Errorf("the neighbour is not served at all: %w", last)
	}
	return percentile99(times), nil
}

// usualCalls are what an ordinary client of B does in turn.
func usualCalls(worker int) []func(*field, context.Context) error {
	return []func(*field, context.Context) error{
		func(f *field, ctx context.Context) error {
			return f.call(ctx, account{host: f.hostB}, "GET", "com.atproto.server.describeServer", nil, nil)
		},
		func(f *field, ctx context.Context) error {
			return f.call(ctx, account{host: f.hostB}, "GET", "com.atproto.repo.listRecords?limit=20&repo="+f.b.did+"&collection="+collection, nil, nil)
		},
		func(f *field, ctx context.Context) error {
			return f.call(ctx, f.b, "GET", "com.atproto.server.getSession", nil, nil)
		},
		func(f *field, ctx context.Context) error {
			return f.call(ctx, f.b, "POST", "com.atproto.repo.putRecord", map[string]any{
				"repo": f.b.did, "collection": collection, "rkey": recordKey(worker), "record": map[string]any{"text": fmt.Sprint(time.Now())},
			}, nil)
		},
	}
}
