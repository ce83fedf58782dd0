package embedded

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// nobody is the uid that root has inside the namespace. initdb looks its name up, so it must be in the passwd file;
// 65534 is everywhere.
const nobody = 65534

func enterNamespace(a *syscall.SysProcAttr) {
	a.Cloneflags = syscall.CLONE_NEWUSER
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: 0, Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: 0, Size: 1}}
}

// dieWithParent asks for a fast shutdown when we end without stopping the server.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGINT }

// running lists the server processes that work in the data folder: postmaster and backends all have it as their working
// folder.
func running(_ int, data string) []int {
	procs, _ := filepath.Glob("/proc/[0-9]*/cwd")
	var pids []int
	for _, p := range procs {
		if cwd, err := os.Readlink(p); err != nil || cwd != data {
			continue // ended, or not ours to look at
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(p)))
		if comm, err := os.ReadFile(filepath.Join(filepath.Dir(p), "comm")); err == nil && strings.HasPrefix(string(comm), "postgres") {
			pids = append(pids, pid)
		}
	}
	return pids
}
