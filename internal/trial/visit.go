package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/auroralocus/locus/internal/blob/blobtest"
)

// person is an account that somebody uses from outside.
type person struct {
	host, handle, email, password string
	made                          bool // by the operator
	invited                       bool
}

// visit is what people do on the first day: it ends when all of it is there.
func (w *world) visit(ctx context.Context, c *clock) error {
	password, err := os.ReadFile(filepath.Join(w.root, "home", login, "alice.password"))
	if err != nil {
		return err
	}
	people := []person{
		{host: "pds.example.com", handle: "alice.example.com", email: "alice@example.com", password: strings.TrimSpace(string(password)), made: true},
		{host: "pds.example.org", handle: "bob.pds.example.org", email: "bob@example.org", password: "correct horse battery", invited: true},
		{host: "pds.example.net", handle: "carol.pds.example.net", email: "carol@example.net", password: "staple correct horse"},
	}
	for _, p := range people {
		if err := w.use(ctx, c, p); err != nil {
			return fmt.Errorf("%s at %s: %w", p.handle, p.host, err)
		}
	}
	if len(w.mails.To("you@example.com")) == 0 {
		return errors.New("the operator's trial of mail did not arrive")
	}
	objects, err := blobtest.Objects(ctx, w.bucket)
	if err != nil {
		return err
	}
	if objects < len(people) {
		return fmt.Errorf("%d objects are in the bucket, and %d files were uploaded", objects, len(people))
	}
	fmt.Printf("           %d objects are in the bucket\n", objects)
	return nil
}

// client is somebody on the internet.
func (w *world) client() *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.roots},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			var d net.Dialer
			return d.DialContext(ctx, network, net.JoinHostPort(inside, port))
		},
	}}
}

func (w *world) use(ctx context.Context, c *clock, p person) error {
	client := w.client()
	defer client.CloseIdleConnections()
	if err := c.step("the first visitor of https://"+p.host, func() error {
		_, err := get(ctx, client, "https://"+p.host+"/xrpc/_health")
		return err
	}); err != nil {
		return err
	}
	return c.step(p.handle+": session, file, record, the file from the bucket, handle, mail", func() error { return w.day(ctx, client, p) })
}

func (w *world) day(ctx context.Context, client *http.Client, p person) error {
	var session struct {
		DID       string `json:"did"`
		AccessJwt string `json:"accessJwt"`
	}
	call := func(method, kind string, body []byte, out any) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+p.host+"/xrpc/"+method, bytes.NewReader(body))
		if err != nil {
			return err
		}
		if kind != "" {
			r.Header.Set("Content-Type", kind)
		}
		if session.AccessJwt != "" {
			r.Header.Set("Authorization", "Bearer "+session.AccessJwt)
		}
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: status %d: %s", method, res.StatusCode, text)
		}
		if err != nil || out == nil {
			return err
		}
		return json.Unmarshal(text, out)
	}
	post := func(method string, in, out any) error {
		body, err := json.Marshal(in)
		if err != nil {
			return err
		}
		return call(method, "application/json", body, out)
	}
	if p.made {
		if err := post("com.atproto.server.createSession", map[string]string{"identifier": p.handle, "password": p.password}, &session); err != nil {
			return err
		}
	} else {
		in := map[string]string{"handle": p.handle, "email": p.email, "password": p.password}
		if p.invited {
			code, err := w.command(ctx, login, "sudo -u locus locus invite create "+p.host).Output()
			if err != nil {
				return fmt.Errorf("make an invite code: %w", err)
			}
			in["inviteCode"] = strings.Fields(string(code))[0]
		}
		if err := post("com.atproto.server.createAccount", in, &session); err != nil {
			return err
		}
	}
	picture := make([]byte, 200<<10)
	head, err := base64.StdEncoding.DecodeString("iVBORw0KGgo=") // a PNG's
	if err != nil {
		return err
	}
	if _, err := rand.Read(picture[copy(picture, head):]); err != nil {
		return err
	}
	var upload struct {
		Blob struct {
			Ref struct {
				Link string `json:"$link"`
			} `json:"ref"`
		} `json:"blob"`
	}
	var blob struct {
		Blob json.RawMessage `json:"blob"`
	}
	var answer json.RawMessage
	if err := call("com.atproto.repo.uploadBlob", "image/png", picture, &answer); err != nil {
		return err
	}
	if err := errors.Join(json.Unmarshal(answer, &upload), json.Unmarshal(answer, &blob)); err != nil {
		return err
	}
	if err := post("com.atproto.repo.createRecord", map[string]any{"repo": session.DID, "collection": "app.bsky.feed.post", "record": map[string]any{
		"$type": "app.bsky.feed.post", "text": "The first day.", "createdAt": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"embed": map[string]any{"$type": "app.bsky.embed.images", "images": []any{map[string]any{"alt": "noise", "image": blob.Blob}}},
	}}, nil); err != nil {
		return err
	}
	back, err := get(ctx, client, "https://"+p.host+"/xrpc/com.atproto.sync.getBlob?"+url.Values{"did": {session.DID}, "cid": {upload.Blob.Ref.Link}}.Encode())
	if err != nil {
		return err
	}
	if !bytes.Equal(back, picture) {
		return errors.New("the file came back as another one")
	}
	// The handle has a certificate of its own, made now.
	did, err := get(ctx, client, "https://"+p.handle+"/.well-known/atproto-did")
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(did)) != session.DID {
		return fmt.Errorf("the handle leads to %q, not %s", did, session.DID)
	}
	before := len(w.mails.To(p.email))
	if err := call("com.atproto.server.requestEmailConfirmation", "", nil, nil); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); len(w.mails.To(p.email)) == before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New("the mail to confirm the address does not come")
		}
	}
	return nil
}
