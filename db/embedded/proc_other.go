//go:build unix && !linux

package embedded

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// enterNamespace does nothing: there are no user namespaces here, so Postgres itself refuses to run as root.
func enterNamespace(*syscall.SysProcAttr) {}

// dieWithParent does nothing: the next start finds the orphan and stops it.
func dieWithParent(*syscall.SysProcAttr) {}

// running tells whether the postmaster named by the pid file runs on the data folder. Backends cannot be told apart
// here; Postgres itself waits for those of a dead postmaster.
func running(postmaster int, data string) []int {
	if postmaster <= 1 {
		return nil
	}
	out, err := exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(postmaster)).Output()
	if err == nil && strings.Contains(string(out), "postgres") && strings.Contains(string(out), data) {
		return []int{postmaster}
	}
	return nil
}
