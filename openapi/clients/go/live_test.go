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
	c, err := New(url, WithHTTPClient(anyLocalhost))
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
	if err := c.SignIn(ctx, handle, password); err != nil || c.DID() != did {
		t.Fatal(err, c.DID())
	}
	// A token that the server has forgotten: the session goes on.
	fresh, err := c.ComAtprotoServerRefreshSessionWithResponse(ctx)
	must(t, fresh, err)
	c.Resume(Tokens{did, fresh.JSON200.AccessJwt, fresh.JSON200.RefreshJwt})
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
	for r, err := range All[RepoListRecordsRecord](ctx, c, "com.atproto.repo.listRecords", "records", map[string][]string{"repo": {did}, "collection": {collection}, "limit": {"2"}}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, r.Uri)
	}
	slices.Reverse(uris)
	if !slices.Equal(listed, uris) {
		t.Errorf("listed %v, want %v", listed, uris)
	}

	file, err := c.Upload(ctx, "text/plain", io.LimitReader(strings.NewReader(strings.Repeat("text ", 1000)), 4000))
	if err != nil || file.Size != 4000 {
		t.Fatal(file, err)
	}
	record := map[string]any{"$type": "org.example.file", "file": file}
	if _, err := Post[RepoCreateRecordOutputBody](ctx, c, "com.atproto.repo.createRecord", map[string]any{"repo": did, "collection": "org.example.file", "record": record}); err != nil {
		t.Fatal(err)
	}
	size := func(body io.ReadCloser, err error) int64 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		n, err := io.Copy(io.Discard, body)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := size(c.Blob(ctx, did, file.Ref.Link)); n != 4000 {
		t.Errorf("file: %d bytes", n)
	}
	if n := size(c.Repo(ctx, did)); n < 500 {
		t.Errorf("archive: %d bytes", n)
	}
	if _, err := Get[RepoGetRecordOutputBody](ctx, c, "com.atproto.repo.getRecord", map[string][]string{"repo": {did}, "collection": {collection}, "rkey": {"3jzfcijpj2z2a"}}); !errors.Is(err, ErrRecordNotFound) {
		t.Error(err)
	}
	none, err := c.ComAtprotoRepoGetRecordWithResponse(ctx, &ComAtprotoRepoGetRecordParams{Repo: did, Collection: collection, Rkey: "3jzfcijpj2z2a"})
	refused(t, 400, "RecordNotFound", none, err)
	last := c.Tokens()
	if err := c.SignOut(ctx); err != nil {
		t.Error(err)
	}
	c.Resume(last)
	again, err := c.ComAtprotoServerRefreshSessionWithResponse(ctx)
	if err := Check(again, err); err == nil {
		t.Error("a deleted session was refreshed")
	}
}
