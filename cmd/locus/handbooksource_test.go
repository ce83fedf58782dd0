package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// smaller makes minutes of load that the handbook asks for moments.
var smaller = strings.NewReplacer("--duration 10s", "--requests 20", "--concurrency 1,16,64", "--concurrency 1,2", "--accounts 64", "--accounts 2",
	"--records 100000", "--records 20", "--records 10000", "--records 20", "get-record ", "get-record --requests 20 ", "get-repo ", "get-repo --requests 20 ", "--concurrency 1 --accounts-file", "--requests 20 --concurrency 1 --accounts-file")

// TestHandbookSource runs the commands of the handbook that are for a folder with the source, beside a development server.
func TestHandbookSource(t *testing.T) {
	t.Parallel()
	names, texts := handbookPages(t)
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	must(t, err)
	bin := filepath.Join(dir, "bin")
	must(t, os.Mkdir(bin, 0o755))
	make, err := exec.LookPath("make")
	must(t, err)
	// What is built is put beside the commands, and not into the source.
	must(t, os.WriteFile(filepath.Join(bin, "make"), []byte("#!/bin/sh\nexec "+make+" -s -C '"+root+"' BIN='"+bin+"' \"$@\"\n"), 0o755))
	server := serveAs(t, filepath.Join(dir, "data"), func(*exec.Cmd) {})
	defer server.stop()
	here := strings.NewReplacer("//localhost:2583", "//localhost:"+server.port, "//127.0.0.1:2583", "//127.0.0.1:"+server.port, "beta.localhost:2583", "beta.localhost:"+server.port)
	ran := 0
	for _, page := range names {
		for _, b := range blocks(page, texts[page]) {
			if b.info != inSource {
				continue
			}
			began := time.Now()
			cmd := exec.CommandContext(t.Context(), "sh", "-eux", "-c", here.Replace(smaller.Replace(b.text)))
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err != nil {
				t.Errorf("docs/%s:%d: %v\n%s", page, b.line, err, out.String())
			}
			ran += len(commandLines(b.text))
			t.Logf("%s: %.1fs", page, time.Since(began).Seconds())
		}
	}
	if ran < 7 {
		t.Errorf("only %d commands", ran)
	}
}
