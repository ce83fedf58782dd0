//go:build live

package locusclient

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLive drives the running servers that LOCUS_URL names, separated by spaces (internal/gen/clients-check.sh starts them): a whole small life
// through the generated client on each. Two tenants of one process are two URLs.
func TestLive(t *testing.T) {
	urls := strings.Fields(os.Getenv("LOCUS_URL"))
	if len(urls) == 0 {
		t.Fatal("LOCUS_URL names no server")
	}
	for _, url := range urls {
		t.Run(url, func(t *testing.T) { live(t, url) })
	}
}

// anyLocalhost dials 127.0.0.1 for names under localhost, which not every resolver knows. spec: RFC 6761 section 6.3
var anyLocalhost = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
	DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(addr); err == nil && strings.HasSuffix(host, ".localhost") {
			addr = net.JoinHostPort("127.0.0.1", port)
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	},
}}

func must(t *testing.T, a Answer, err error) {
	t.Helper()
	if err := Check(a, err); err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, status int, name string, a Answer, err error) {
	t.Helper()
	var e *XRPCError
	if err := Check(a, err); !errors.As(err, &e) || e.Status != status || e.Name != name {
		t.Errorf("%v, want %d %s", err, status, name)
	}
}

func live(t *testing.T, url string) {
	const collection = "app.bsky.feed.post"
	ctx := context.Background()
	var s Session
	c, err := NewClientWithResponses(url, WithSession(&s), WithHTTPClient(anyLocalhost))
	if err != nil {
		t.Fatal(err)
	}
	server, err := c.ComAtprotoServerDescribeServerWithResponse(ctx)
	must(t, server, err)
	name := "go" + strings.ToLower(rand.Text()[:10])
	handle, email, password := name+server.JSON200.AvailableUserDomains[0], name+"@example.com", rand.Text()
	in := ServerCreateAccountInputBody{Handle: handle, Email: &email, Password: &password}
	if code := os.Getenv("LOCUS_INVITE"); code != "" {
		in.InviteCode = &code
	}
	made, err := c.ComAtprotoServerCreateAccountWithResponse(ctx, in)
	must(t, made, err)
	did := made.JSON200.Did
	if !strings.HasPrefix(did, "did:plc:") || made.JSON200.Handle != handle {
		t.Errorf("made %+v", made.JSON200)
	}

	wrong, err := c.ComAtprotoServerCreateSessionWithResponse(ctx, ServerCreateSessionInputBody{Identifier: handle, Password: "wrong"})
	refused(t, 401, "AuthenticationRequired", wrong, err)
	in2, err := c.ComAtprotoServerCreateSessionWithResponse(ctx, ServerCreateSessionInputBody{Identifier: handle, Password: password})
	must(t, in2, err)
	s.Set(in2.JSON200.AccessJwt, in2.JSON200.RefreshJwt)
	fresh, err := c.ComAtprotoServerRefreshSessionWithResponse(ctx)
	must(t, fresh, err)
	s.Set(fresh.JSON200.AccessJwt, fresh.JSON200.RefreshJwt)
	me, err := c.ComAtprotoServerGetSessionWithResponse(ctx)
	must(t, me, err)
	if me.JSON200.Did != did {
		t.Errorf("session of %s, want %s", me.JSON200.Did, did)
	}

	var uris []string
	for i := range 3 {
		record := map[string]any{"$type": collection, "text": fmt.Sprintf("post %d 🦋", i), "createdAt": time.Now().UTC().Format("2006-01-02T15:04:05.000Z")}
		w, err := c.ComAtprotoRepoCreateRecordWithResponse(ctx, RepoCreateRecordInputBody{Repo: did, Collection: collection, Record: record, Validate: new(true)})
		must(t, w, err)
		uris = append(uris, w.JSON200.Uri)
		rkey := w.JSON200.Uri[strings.LastIndexByte(w.JSON200.Uri, '/')+1:]
		g, err := c.ComAtprotoRepoGetRecordWithResponse(ctx, &ComAtprotoRepoGetRecordParams{Repo: handle, Collection: collection, Rkey: rkey})
		must(t, g, err)
		got, _ := json.Marshal(g.JSON200.Value)
		want, _ := json.Marshal(record)
		if g.JSON200.Uri != w.JSON200.Uri || !bytes.Equal(got, want) {
			t.Errorf("%s: got %s, want %s", g.JSON200.Uri, got, want)
		}
	}
	var listed []string
	var cursor *string
	for range 2 {
		l, err := c.ComAtprotoRepoListRecordsWithResponse(ctx, &ComAtprotoRepoListRecordsParams{Repo: did, Collection: collection, Limit: new(int64(2)), Cursor: cursor})
		must(t, l, err)
		for _, r := range l.JSON200.Records {
			listed = append(listed, r.Uri)
		}
		cursor = l.JSON200.Cursor
	}
	slices.Reverse(uris)
	if !slices.Equal(listed, uris) {
		t.Errorf("listed %v, want %v", listed, uris)
	}

	car, err := c.ComAtprotoSyncGetRepo(ctx, &ComAtprotoSyncGetRepoParams{Did: did})
	if err != nil {
		t.Fatal(err)
	}
	defer car.Body.Close()
	n, err := io.Copy(io.Discard, car.Body)
	if err != nil || car.StatusCode != 200 || car.Header.Get("Content-Type") != "application/vnd.ipld.car" || n < 500 {
		t.Errorf("archive: %d bytes, %s %s, %v", n, car.Status, car.Header.Get("Content-Type"), err)
	}
	none, err := c.ComAtprotoRepoGetRecordWithResponse(ctx, &ComAtprotoRepoGetRecordParams{Repo: did, Collection: collection, Rkey: "3jzfcijpj2z2a"})
	refused(t, 400, "RecordNotFound", none, err)
	out, err := c.ComAtprotoServerDeleteSessionWithResponse(ctx)
	must(t, out, err)
	again, err := c.ComAtprotoServerRefreshSessionWithResponse(ctx)
	if err := Check(again, err); err == nil {
		t.Error("a deleted session was refreshed")
	}
}
