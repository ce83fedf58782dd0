package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/auroralocus/locus/internal/procfs"
)

// behind is how much nicer the load's program is than what is measured: a tenth of the processor is its, where both want
// it. It is not the most there is, or whatever else a machine does would come before the load, and there would be none.
const behind = 10

// niceness is this process's.
func niceness() int {
	n, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		return 0
	}
	return 20 - n // the kernel's own call gives it the other way round
}

// shareGroups gives the measured programs the niceness of this one also where the kernel shares the processor by session
// (sched_autogroup_enabled): each process of Postgres has a session of its own there, and niceness counts inside one only.
// Without the right to do so nothing happens. Connections come later, so it is done again and again until the server ends.
func (f *field) shareGroups() {
	for tick := time.NewTicker(time.Second); ; {
		f.shareOnce()
		select {
		case <-tick.C:
		case <-f.ended:
			tick.Stop()
			return
		}
	}
}

func (f *field) shareOnce() {
	database, _ := procfs.Here.Under(f.server.Pid())
	for _, p := range database {
		setGroup(p.PID, niceness())
	}
	setGroup(f.cmd.Process.Pid, niceness())
	setGroup(os.Getpid(), niceness())
}

func setGroup(pid int, to int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), fmt.Appendf(nil, "%d", min(to, 19)), 0)
}

// ownSession lets a program be shared by itself.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
