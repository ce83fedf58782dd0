package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const uploadBlob = "com.atproto.repo.uploadBlob"

// video is a video's way: the app asks its server for a token that lets the video service upload, the service uploads with
// it, and the app writes the post that shows the file.
func video(ctx context.Context, s *server) (fields, error) {
	var described struct{ DID string }
	if err := s.ask(ctx, "GET", s.xrpc("com.atproto.server.describeServer"), "", nil, &described); err != nil {
		return nil, err
	}
	s.dids[described.DID] = "{pds}"
	var auth struct{ Token string }
	q := url.Values{"aud": {described.DID}, "lxm": {uploadBlob}, "exp": {fmt.Sprint(time.Now().Add(30 * time.Minute).Unix())}}
	if err := s.ask(ctx, "GET", s.xrpc("com.atproto.server.getServiceAuth?"+q.Encode()), s.tokens[alice], nil, &auth); err != nil {
		return nil, err
	}
	var done struct {
		Token  map[string]any
		Status int
		Answer struct{ Blob map[string]any }
	}
	q = url.Values{"pds": {"http://" + s.host}, "aud": {described.DID}}
	if err := s.ask(ctx, "POST", "http://"+s.service+"/_video?"+q.Encode(), auth.Token, map[string]any{"frames": "…"}, &done); err != nil {
		return nil, err
	}
	out := fields{"calls": "0", "answer.status": fmt.Sprint(done.Status), "answer.type": fmt.Sprint(done.Answer.Blob["mimeType"]), "answer.size": fmt.Sprint(done.Answer.Blob["size"])}
	for k, v := range done.Token {
		out["call1.token."+k] = s.named(fmt.Sprint(v))
	}
	var record struct{ URI string }
	err := s.ask(ctx, "POST", s.xrpc("com.atproto.repo.createRecord"), s.tokens[alice], map[string]any{
		"repo": s.did("alice"), "collection": "app.bsky.feed.post", "record": map[string]any{
			"$type": "app.bsky.feed.post", "text": "see", "createdAt": "2024-01-01T00:00:00.000Z",
			"embed": map[string]any{"$type": "app.bsky.embed.video", "video": done.Answer.Blob},
		},
	}, &record)
	if err != nil {
		return nil, err
	}
	ref, _ := done.Answer.Blob["ref"].(map[string]any)
	q = url.Values{"did": {s.did("alice")}, "cid": {fmt.Sprint(ref["$link"])}}
	res, err := s.client.Get(s.xrpc("com.atproto.sync.getBlob?" + q.Encode()))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	file, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: get the file: %s %.200s %w", s.name, res.Status, file, err)
	}
	out["file"] = shown(bytes.TrimSpace(file))
	return out, nil
}
