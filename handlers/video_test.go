package handlers

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auroralocus/locus/internal/identity"
)

// videoService stands in for the service that takes videos, makes them smaller and brings them to their owner's server.
type videoService struct {
	h    *house
	host string // of the server that owners are at
	http *httptest.Server

	mu   sync.Mutex
	jobs map[string]obj
}

func newVideoService(h *house, host string) *videoService {
	v := &videoService{h: h, host: host, jobs: map[string]obj{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /xrpc/app.bsky.video.uploadVideo", v.upload)
	mux.HandleFunc("GET /xrpc/app.bsky.video.getJobStatus", v.status)
	v.http = httptest.NewServer(mux)
	h.t.Cleanup(v.http.Close)
	return v
}

// owner reads a token as a stranger does who knows nothing but the account's document. The token is for the account's own
// server: the service only passes it on.
func (v *videoService) owner(ctx context.Context, authorization string) (did string, err error) {
	parts := strings.Split(strings.TrimPrefix(authorization, "Bearer "), ".")
	if len(parts) != 3 {
		return "", fmt.Errorf("no token: %q", authorization)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", err
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return "", err
	}
	var claims struct {
		Iss, Aud, Lxm string
		Exp           int64
	}
	if err := json.Unmarshal(body, &claims); err != nil {
		return "", err
	}
	doc, err := v.h.documents.Resolve(ctx, identity.Asker{}, claims.Iss)
	if err != nil {
		return "", err
	}
	key, err := doc.Key(identity.KeyAtproto)
	if err != nil {
		return "", err
	}
	if err := key.HashAndVerify([]byte(parts[0]+"."+parts[1]), sig); err != nil {
		return "", err
	}
	server := "did:web:" + strings.ReplaceAll(strings.TrimPrefix(doc.PDS(), "http://"), ":", "%3A")
	if claims.Aud != server || claims.Lxm != uploadBlobMethod || claims.Exp < v.h.clock.Now().Add(10*time.Minute).Unix() {
		return "", fmt.Errorf("a token for %s of %s until %d, want %s", claims.Lxm, claims.Aud, claims.Exp, server)
	}
	return claims.Iss, nil
}

func (v *videoService) say(w http.ResponseWriter, status int, body obj) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// upload takes a video and brings the smaller one to the owner's server, with the owner's token.
func (v *videoService) upload(w http.ResponseWriter, r *http.Request) {
	did, err := v.owner(r.Context(), r.Header.Get("Authorization"))
	if err != nil || did != r.URL.Query().Get("did") {
		v.say(w, 401, obj{"error": "BadJwt", "message": fmt.Sprint(did, err)})
		return
	}
	video, err := io.ReadAll(r.Body)
	if err != nil {
		v.say(w, 400, obj{"error": "InvalidRequest", "message": err.Error()})
		return
	}
	job := obj{"jobId": fmt.Sprintf("%x", sha256.Sum256(video))[:16], "did": did, "state": "JOB_STATE_COMPLETED"}
	stored, err := v.h.try("POST", v.host, "/xrpc/"+uploadBlobMethod, smaller(video), "Authorization: "+r.Header.Get("Authorization"), "Content-Type: video/mp4")
	if err != nil || stored.status != 200 {
		job["state"], job["error"] = "JOB_STATE_FAILED", fmt.Sprint(stored.status, string(stored.body), err)
	} else {
		job["blob"] = stored.at("blob")
	}
	v.mu.Lock()
	v.jobs[job["jobId"].(string)] = job
	v.mu.Unlock()
	v.say(w, 200, obj{"jobStatus": obj{"jobId": job["jobId"], "did": did, "state": "JOB_STATE_CREATED"}})
}

func (v *videoService) status(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.say(w, 200, obj{"jobStatus": v.jobs[r.URL.Query().Get("jobId")]})
}

// smaller stands in for what the service does to a video; what comes out still is an MP4 by its first bytes.
func smaller(video []byte) []byte {
	sum := sha256.Sum256(video)
	return append([]byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"), sum[:]...)
}

// send is the app's part: a token for its own server, and the video to the service.
func (v *videoService) send(u *user, token string, video []byte) obj {
	v.h.t.Helper()
	r, err := http.NewRequestWithContext(v.h.t.Context(), "POST", v.http.URL+"/xrpc/app.bsky.video.uploadVideo"+params("did", u.did, "name", "a.mp4"), strings.NewReader(string(video)))
	if err != nil {
		v.h.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "video/mp4")
	var created, done struct {
		JobStatus obj
		Message   string
	}
	v.fetch(r, &created)
	if created.JobStatus == nil {
		return obj{"state": "refused by the service: " + created.Message}
	}
	r, err = http.NewRequestWithContext(v.h.t.Context(), "GET", v.http.URL+"/xrpc/app.bsky.video.getJobStatus"+params("jobId", created.JobStatus["jobId"].(string)), nil)
	if err != nil {
		v.h.t.Fatal(err)
	}
	v.fetch(r, &done)
	return done.JobStatus
}

func (v *videoService) fetch(r *http.Request, out any) {
	v.h.t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		v.h.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		v.h.t.Fatal(err)
	}
}

// A video's way, end to end: the app asks its server for a token that lets the video service upload in the account's name,
// the service uploads what it made of the video, and the app writes the post that shows it.
func TestVideo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice, bob := h.createAccount(hostA, "alice"), h.createAccount(hostB, "bob")
	v := newVideoService(h, hostA)
	tokenFor := func(u *user, aud string) string {
		t.Helper()
		return u.ask(serviceAuth, "aud", aud, "lxm", uploadBlobMethod, "exp", fmt.Sprint(h.clock.Now().Add(30*time.Minute).Unix())).ok().str("token")
	}
	video := []byte(strings.Repeat("frame", 10_000))
	token := tokenFor(alice, h.a.ServiceDID)
	h.clock.add(20 * time.Minute) // the service takes its time
	token2 := tokenFor(alice, h.a.ServiceDID)
	done := v.send(alice, token2, video)
	if done["state"] != "JOB_STATE_COMPLETED" {
		t.Fatal(done)
	}
	blob := done["blob"].(obj)
	if blob["mimeType"] != "video/mp4" || blob["size"] != float64(len(smaller(video))) {
		t.Error(blob)
	}
	// Nobody sees the file until a record names it.
	alice.blobFile(refOf(blob)).fails(400, "BlobNotFound", "")
	post := postRecord("see")
	post["embed"] = obj{"$type": "app.bsky.embed.video", "video": blob, "aspectRatio": obj{"width": 16, "height": 9}}
	uri := alice.create("app.bsky.feed.post", "", post).ok().str("uri")
	if got := alice.blobFile(refOf(blob)).ok(); string(got.body) != string(smaller(video)) || got.header.Get("Content-Type") != "video/mp4" {
		t.Errorf("%d bytes, %q", len(got.body), got.header.Get("Content-Type"))
	}
	if got := alice.read("app.bsky.feed.post", rkeyOf(uri)).ok().str("value", "embed", "video", "ref", "$link"); got != refOf(blob) {
		t.Error(got)
	}
	// The same token brings the file's poster, or the same file again after a lost answer: not past its end.
	if again := v.send(alice, token2, video); again["state"] != "JOB_STATE_COMPLETED" || refOf(again["blob"].(obj)) != refOf(blob) {
		t.Error(again)
	}
	h.clock.add(15 * time.Minute)
	for what, stale := range map[string]string{"expired": token, "of somebody else": tokenFor(bob, h.a.ServiceDID)} {
		if got := v.send(alice, stale, []byte("other")); got["state"] == "JOB_STATE_COMPLETED" {
			t.Errorf("a token %s brought a file: %v", what, got)
		}
	}
	// Deleted, the post takes the video with it.
	alice.del("app.bsky.feed.post", rkeyOf(uri)).ok()
	alice.blobFile(refOf(blob)).fails(400, "BlobNotFound", "")
	h.check()
}
