package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	agekey "filippo.io/age"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/blob/blobtest"
	"github.com/auroralocus/locus/internal/mail/mailtest"
)

// bookHouse is the deployment in which the handbook's commands run: servers of ours, with an authority, a mail server, a
// bucket, a PLC directory and two databases.
type bookHouse struct {
	*testing.T
	dir     string
	env     []string
	ports   map[string]string // what the handbook says, and where it is here
	binary  string
	mu      sync.Mutex // of what follows
	server  *exec.Cmd
	ended   chan error
	log     *lockedBuffer
	starts  int
	looked  map[string]bool
	control *httptest.Server
}

// The ports of the handbook.
const (
	bookPlain, bookOperators, bookAdmin = "2583", "2584", "2590"
)

func newBookHouse(t *testing.T) *bookHouse {
	t.Helper()
	h := &bookHouse{T: t, dir: t.TempDir(), ports: map[string]string{}, looked: map[string]bool{}}
	for _, p := range []string{"443", "80", bookPlain, bookOperators, bookAdmin} {
		h.ports[p] = freePort(t)
	}
	h.binary = filepath.Join(h.dir, "locus") // with the race detector each of a hundred commands would take half a second to start
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", h.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build locus: %v: %s", err, out)
	}
	_, names := newNameServer(t, "example.com")
	authority := newAuthority(t, h.ports["80"], h.ports["443"], names, "")
	post := mailtest.Start(t)
	endpoint, stopS3, err := blobtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stopS3)
	bucket, err := blobtest.Bucket(t.Context(), endpoint, "handbook")
	if err != nil {
		t.Fatal(err)
	}
	h.control = httptest.NewServer(http.HandlerFunc(h.serves))
	t.Cleanup(h.control.Close)
	t.Cleanup(h.stop)
	h.mu.Lock() // servers of requests read it
	defer h.mu.Unlock()
	h.env = append(locus(t).Env, "HOME="+h.dir, "PATH="+filepath.Join(h.dir, "bin")+":"+os.Getenv("PATH"),
		"LOCUS_DATABASE_URL="+dbtest.EmptyURL(t), "LOCUS_DATABASE_NODES=second="+dbtest.EmptyURL(t),
		"LOCUS_DATA_DIR="+filepath.Join(h.dir, "data"), "LOCUS_BACKUP_STORE=data:", "LOCUS_PLC_URL="+newPLC(t), "LOCUS_SMTP_URL="+post.URL(),
		"LOCUS_ACME_CA="+authority.url, "LOCUS_ACME_CA_ROOT="+authority.root, "LOCUS_ACME_DNS_RESOLVER="+names,
		"LOCUS_S3_ACCESS_KEY="+blobtest.AccessKey, "LOCUS_S3_SECRET_KEY="+blobtest.SecretKey, "LOCUS_BLOB_STORE="+bucket, "NAME_SERVER="+names, "ZONE_KEY="+zoneKey, "SITE_KEY=site", "SECRET_KEY=secret",
		"BOOK_BINARY="+h.binary, "BOOK_CONTROL="+h.control.URL)
	h.tools(authority)
	return h
}

// tools puts the programs of the handbook where its commands find them: ours, those that would need a machine of their
// own, and curl, which is led to the servers here whatever the name.
func (h *bookHouse) tools(a *authority) {
	h.Helper()
	identity, err := agekey.GenerateX25519Identity()
	if err != nil {
		h.Fatal(err)
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		h.Fatal(err)
	}
	root := filepath.Join(h.dir, "root.pem")
	led := ""
	for said, is := range h.ports {
		led += " --connect-to :" + said + ":127.0.0.1:" + is
	}
	for name, text := range map[string]string{
		"bin/locus": `case "$1" in
serve) case " $* " in
	*" --help "*) ;;
	*) printf '%s\n' "$@" | ` + curl + ` -sS --fail-with-body --data-binary @- "$BOOK_CONTROL"; exit;;
	esac;;
tenant) # no relay of the network hears of these
	[ "$2" = create ] && set -- "$@" crawlers=;;
doctor) # it finds that the names of the handbook are not ours, and has then done its work
	"$BOOK_BINARY" "$@" || [ $? = 2 ]; exit;;
esac
exec "$BOOK_BINARY" "$@"`,
		"bin/sudo": `[ "$1" = -u ] && shift 2
exec "$@"`,
		"bin/curl": "exec " + curl + " -sS --fail-with-body --cacert " + root + led + ` "$@"`,
		"bin/age-keygen": `case "$1" in
-o) umask 077; echo '` + identity.String() + `' > "$2";;
-y) echo '` + identity.Recipient().String() + `';;
esac`,
		"bin/oathtool": curl + ` -sS --fail-with-body "$BOOK_CONTROL/code?secret=$3"`,
		"bin/uuidgen":  `cat /proc/sys/kernel/random/uuid`,
	} {
		path := filepath.Join(h.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			h.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			h.Fatal(err)
		}
	}
	if err := os.WriteFile(root, a.issuer, 0o600); err != nil {
		h.Fatal(err)
	}
	certified(h.T, filepath.Join(h.dir, "pds.pem"), filepath.Join(h.dir, "pds.key"), "pds.example.com")
}

// serves starts a server in the place of the one that runs: what 'locus serve' of the handbook means. The body has its
// arguments, one a line.
func (h *bookHouse) serves(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/code" { // what the app of somebody who signs in would show
		_, _ = io.WriteString(w, totp(h.T, r.FormValue("secret")))
		return
	}
	text, err := io.ReadAll(r.Body)
	if err == nil {
		err = h.start(strings.Fields(string(text)))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// start starts a server that can be reached at all of the handbook's ports, whatever its arguments add.
func (h *bookHouse) start(args []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end()
	all := []string{"serve", "--listen", ":" + bookPlain, "--https-listen", ":443", "--http-listen", ":80", "--operator-listen", "127.0.0.1:" + bookOperators,
		"--admin-listen", "127.0.0.1:" + bookAdmin, "--acme-email", "you@example.com"}
	all = append(all, args[1:]...)
	for i, arg := range all {
		if host, port, err := net.SplitHostPort(arg); err == nil && h.ports[port] != "" && (host == "" || host == "127.0.0.1") {
			all[i] = "127.0.0.1:" + h.ports[port]
		}
	}
	return h.run(all)
}

func (h *bookHouse) run(args []string) error {
	h.starts++
	h.log, h.ended = new(lockedBuffer), make(chan error, 1)
	h.server = exec.Command(h.binary, args...)
	h.server.Dir, h.server.Env, h.server.Stderr = h.dir, h.env, h.log
	if err := h.server.Start(); err != nil {
		return err
	}
	go func(s *exec.Cmd, ended chan error) { ended <- s.Wait() }(h.server, h.ended)
	for deadline := time.Now().Add(time.Minute); !strings.Contains(h.log.String(), "msg=serving"); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-h.ended:
			h.server = nil
			return fmt.Errorf("the server ended: %w\n%s", err, h.log)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server does not serve:\n%s", h.log)
		}
	}
	return nil
}

func (h *bookHouse) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end()
}

// started is how many servers were started.
func (h *bookHouse) started() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.starts
}

func (h *bookHouse) running() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.server != nil
}

func (h *bookHouse) end() {
	if h.server == nil {
		return
	}
	_ = h.server.Process.Signal(os.Interrupt)
	select {
	case <-h.ended:
	case <-time.After(30 * time.Second):
		_ = h.server.Process.Kill()
		<-h.ended
	}
	h.server = nil
}

// sh runs commands in the house's folder, and ends with the first that fails. Variables stay, as in the shell of somebody who
// reads a page.
func (h *bookHouse) sh(script string) (string, error) {
	script = strings.ReplaceAll(script, "/var/lib/locus/", filepath.Join(h.dir, "data")+"/")
	script = "{ set +x; trap 'export -p >variables' EXIT; set -a; if [ -e variables ]; then . ./variables; fi; set -x; } 2>/dev/null\n" + script
	ctx, cancel := context.WithTimeout(h.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eux", "-c", script)
	cmd.Dir, cmd.Env = h.dir, h.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	return out.String(), err
}

// looks are commands that change nothing. Pages repeat them; once is enough.
var looks = regexp.MustCompile(`^locus (doctor|version|audit \w+|migrate --status|\w+ (list|show|usage|check|info))\b[^$|>]*$`)

// fresh is a block without the looks that were run before, word by word.
func (h *bookHouse) fresh(text string) string {
	var left strings.Builder
	for line := range strings.Lines(text) {
		command, _, _ := strings.Cut(line, " #")
		command = strings.TrimPrefix(strings.TrimSpace(command), "sudo -u locus ")
		if looks.MatchString(command) && h.looked[command] {
			continue
		}
		h.looked[command] = true
		left.WriteString(line)
	}
	return left.String()
}

// furnish sees that the tenant and the account are there that the handbook speaks of.
func (h *bookHouse) furnish() {
	h.Helper()
	if !h.running() {
		if err := h.start([]string{"serve"}); err != nil {
			h.Fatal(err)
		}
	}
	ready := func() bool {
		_, err := h.sh("curl 'https://pds.example.com/xrpc/com.atproto.identity.resolveHandle?handle=alice.example.com' && curl https://pds.example.com/xrpc/com.atproto.server.describeServer")
		return err == nil
	}
	if ready() {
		return
	}
	out, _ := h.sh("set +e; locus tenant create pds.example.com --handle-domain example.com; locus tenant resume pds.example.com;" +
		"echo alice-password | tee alice.password | locus account create pds.example.com alice.example.com --email alice@example.com --password -")
	comes(h.T, "the tenant:\n"+out, func() (bool, bool) { ok := ready(); return ok, ok })
}

// signsIn has the account signed in, for what the handbook has no command for.
const signsIn = `password=$(cat alice.password) X=https://pds.example.com/xrpc J='Content-Type: application/json'
session=$(curl $X/com.atproto.server.createSession -H "$J" -d "{\"identifier\":\"alice.example.com\",\"password\":\"$password\"}" | jq -r .accessJwt)
A="Authorization: Bearer $session"
`

const doctorComes = `until psql "$LOCUS_DATABASE_URL" -Atc 'UPDATE control.doctor SET due_at = now() RETURNING 1' | grep 1; do sleep 0.1; done`

// bookPrepared are the states in which pages begin that are about something that must have happened before.
var bookPrepared = map[string]string{
	// The servers' own doctor comes at night. Here it comes with a server that starts after this.
	"configuration.md": doctorComes,
	"doctor.md": `locus doctor --last >/dev/null || {
` + doctorComes + `
}
until locus doctor --last >/dev/null; do sleep 0.2; done`,
	"operations.md": "locus tenant suspend pds.example.net; locus tenant resume pds.example.net",
	"backup.md": signsIn + `blob=$(echo a text | curl $X/com.atproto.repo.uploadBlob -H "$A" -H 'Content-Type: text/plain' --data-binary @- | jq -c .blob)
curl $X/com.atproto.repo.createRecord -H "$A" -H "$J" -d "{\"repo\":\"alice.example.com\",\"collection\":\"com.example.file\",\"record\":{\"file\":$blob}}"`,
	"accounts.md": "locus account reset-password pds.example.com alice.example.com --password - <alice.password\n" + signsIn +
		`curl $X/com.atproto.server.deactivateAccount -H "$A" -H "$J" -d '{"deleteAfter":"2031-05-06T07:08:09Z"}'`,
	"moderation.md": `locus tenant set pds.example.com signup=approval
for name in bob carol; do
	until curl https://pds.example.com/xrpc/com.atproto.server.createAccount -H 'Content-Type: application/json' -d "{\"handle\":\"$name.example.com\",\"email\":\"$name@example.com\",\"password\":\"$name-password\"}"; do sleep 0.1; done # until the server has heard of it
done`,
}

// TestHandbook runs the commands of the handbook, page by page in its order, in a deployment of its own.
func TestHandbook(t *testing.T) {
	t.Parallel()
	names, texts := handbookPages(t)
	h := newBookHouse(t)
	ran, only := 0, os.Getenv("LOCUS_TEST_PAGE")
	for i, page := range names {
		all := blocks(page, texts[page])
		all = slices.DeleteFunc(all, func(b block) bool { return b.info != "sh" })
		if len(all) == 0 || only != "" && page != only && i > 0 && page != "install.md" {
			continue
		}
		began := time.Now()
		if page != "install.md" {
			h.furnish()
		}
		_ = os.Remove(filepath.Join(h.dir, "variables"))
		starts := h.started()
		if out, err := h.sh(bookPrepared[page]); err != nil {
			t.Fatalf("before %s: %v\n%s", page, err, out)
		}
		for _, b := range all {
			ran += len(commandLines(b.text))
			if out, err := h.sh(h.fresh(b.text)); err != nil {
				t.Errorf("docs/%s:%d: %v\n%s", page, b.line, err, out)
			}
		}
		if h.started() > starts { // what the page started is not what the next one needs
			h.stop()
		}
		t.Logf("%s: %.1fs", page, time.Since(began).Seconds())
	}
	t.Logf("%d commands, %d starts", ran, h.started())
	if ran < 100 && only == "" {
		t.Errorf("only %d commands", ran)
	}
}
