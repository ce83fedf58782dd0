package fair

import (
	"os"
	"runtime"
)

// Processors is how many processors this program has, whatever [Crowd] sets. What is sized by them asks here.
var Processors = runtime.GOMAXPROCS(0)

// Crowd lets more threads run Go code at the same time than there are processors, and leaves it to the kernel whose turn it is.
//
// As long as something is ready to run, the Go scheduler looks at the network every 10 ms only. So when one tenant's
// requests keep all processors busy, another's single request waits for that long before anybody sees it. A thread that
// found nothing to do sleeps in the kernel, which wakes it for a request at once, and before threads that have run for long.
//
// Who sets GOMAXPROCS decides by that.
func Crowd() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(crowd(Processors))
	}
}

// crowd is two threads for each processor, and sixteen more than processors at most: large machines have one idle sooner. Four
// a processor do hardly more for others and cost a tenth of all that is read.
func crowd(processors int) int { return processors + min(processors, 16) }
