package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// depth is how many requests a client of a load has sent before it reads the first answer. The load's program gets the
// processor last; so that it is not the one that sets the pace, the next requests wait in the sockets already. A server
// answers those of one connection one after the other.
const depth = 16

// pump sends what request gives over one connection after the other, until the context ends.
func (n *noise) pump(ctx context.Context, depth int, request func() []byte) (t tally) {
	for ctx.Err() == nil {
		done, err := n.pumpOne(ctx, depth, request)
		t = t.plus(done)
		if err != nil && ctx.Err() == nil {
			t = t.plus(tally{Refused: 1, Err: err.Error()})
			wait(ctx, 20*time.Millisecond)
		}
	}
	return t
}

func (n *noise) pumpOne(ctx context.Context, depth int, request func() []byte) (t tally, err error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.Address)
	if err != nil {
		return t, err
	}
	var writing sync.WaitGroup
	defer writing.Wait()
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	sent := make(chan struct{}, depth)
	ended := make(chan struct{})
	defer close(ended)
	writing.Go(func() {
		for {
			select {
			case sent <- struct{}{}:
			case <-ended:
				return
			}
			if _, err := c.Write(request()); err != nil {
				return // who reads learns it too
			}
		}
	})
	in := bufio.NewReaderSize(c, 64<<10)
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return t, err
		}
		head, err := io.ReadAll(io.LimitReader(resp.Body, 200))
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
		}
		if err != nil {
			return t, err
		}
		<-sent
		if resp.StatusCode == http.StatusOK || n.Kind == "passwords" && resp.StatusCode == http.StatusUnauthorized {
			t.Done++
		} else {
			t.Refused, t.Err = t.Refused+1, fmt.Sprintf("%s %s", resp.Status, head)
		}
		if resp.Close {
			return t, nil
		}
	}
}

// raw is a request as it goes over the wire.
func raw(method, host, path string, headers string, body []byte) []byte {
	out := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n%s", method, path, host, headers)
	if body != nil {
		out = fmt.Appendf(out, "Content-Length: %d\r\n", len(body))
	}
	return append(append(out, "\r\n"...), body...)
}

const (
	ofJSON   = "Content-Type: application/json\r\n"
	ofBinary = "Content-Type: application/octet-stream\r\n"
)

func bearer(w writer) string { return "Authorization: Bearer " + w.token + "\r\n" }
