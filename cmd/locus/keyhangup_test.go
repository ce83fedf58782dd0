package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/auroralocus/locus/db/dbtest"
	"github.com/auroralocus/locus/internal/act"
	"github.com/auroralocus/locus/internal/keyring"
)

// TestMasterKeyHangup: the file with the master key is exchanged under a server, which reads it again at a hang-up. A file
// with another key of the same number changes nothing, a new key behind the old one is learnt, and after the rotation a
// program that has the old one alone is refused.
func TestMasterKeyHangup(t *testing.T) {
	t.Parallel()
	dir, url := t.TempDir(), dbtest.EmptyURL(t)
	data, logFile := filepath.Join(dir, "data"), filepath.Join(dir, "log")
	file := filepath.Join(data, "master.key")
	must(t, os.Mkdir(data, 0o700))
	write := func(text string) {
		t.Helper()
		must(t, os.WriteFile(file+".new", []byte(text), 0o600))
		must(t, os.Rename(file+".new", file)) // as Kubernetes does it, and whoever is careful
	}
	first := keyring.NewMasterText(1) + "\n"
	write(first)
	s := serveAs(t, data, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, "LOCUS_DATABASE_URL="+url)
		cmd.Args = append(cmd.Args, "--log-file", logFile)
	})
	ok, refused := on(t, url, data)
	public := func(path string) (int, string) { return s.get("localhost", path) }
	said := func(text string) func() bool {
		return func() bool {
			log, _ := os.ReadFile(logFile)
			return strings.Contains(string(log), text)
		}
	}
	ask := func(port string) {
		t.Helper()
		for _, path := range []string{"/readyz", "/xrpc/com.atproto.server.describeServer"} {
			if code, body := public(path); code != http.StatusOK {
				t.Errorf("%s: %s: %d %s", port, path, code, body)
			}
		}
	}
	status := func() (is act.KeyStatus) {
		t.Helper()
		must(t, json.Unmarshal([]byte(ok("key", "status", "--json")), &is))
		return is
	}
	if is := status(); len(is.Keys) != 1 || is.Keys[0].State != "seals" || len(is.Processes) != 1 || len(is.Secrets) != is.Tenants {
		t.Errorf("%+v", is)
	}

	write(keyring.NewMasterText(1) + "\n")
	must(t, s.cmd.Process.Signal(syscall.SIGHUP))
	eventually(t, "the other key is told", said("master keys: "+keyring.ErrOtherMaster.Error()))
	ask("with another key in the file")
	refused("key 1", "key", "status")

	second := keyring.NewMasterText(2) + "\n"
	write(first + second)
	must(t, s.cmd.Process.Signal(syscall.SIGHUP))
	eventually(t, "the new key is learnt", said("master keys 1 new"))
	if out := ok("key", "rotate"); !strings.Contains(out, "everything is sealed under key 2") || !strings.Contains(out, "refused from now on: key 1") {
		t.Error(out)
	}
	ask("after the rotation")

	write(first)
	must(t, s.cmd.Process.Signal(syscall.SIGHUP))
	ask("with the old key in the file") // which is no news to it
	refused("key 1 was replaced", "key", "status")
	write(second)
	must(t, s.cmd.Process.Signal(syscall.SIGHUP))
	if is := status(); len(is.Keys) != 2 || is.Keys[0].State != "refused" || is.Keys[0].Here || is.Keys[0].Values != 0 || is.Keys[1].State != "seals" || !is.Processes[0].Follows {
		t.Errorf("%+v", is)
	}
	ask("at the end")
}
