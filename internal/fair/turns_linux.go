package fair

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// turn is the shortest that the kernel lets a thread ask for.
const turn = 100 * time.Microsecond

// ShortTurns asks the kernel to run this program's threads for a tenth of a millisecond at a time, where it would let them
// go on for some milliseconds. While one tenant keeps all processors busy, another's request has to get one several
// times: in this program, in Postgres, and here again. A thread that asks for short turns is also let in before one of
// another program that has a long one. Threads and programs that are started from now on inherit it, so the private
// Postgres has it, too.
//
// It needs Linux 6.12 and no right: elsewhere, and where it is refused, all goes on as before.
// See sched_setattr(2): sched_runtime of SCHED_OTHER.
func ShortTurns() {
	threads, _ := os.ReadDir("/proc/self/task")
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		attr, err := unix.SchedGetAttr(id, 0)
		if err != nil || attr.Policy != unix.SCHED_NORMAL { // somebody has chosen otherwise
			continue
		}
		attr.Runtime, attr.Flags = uint64(turn), 0
		_ = unix.SchedSetAttr(id, attr, 0)
	}
}
