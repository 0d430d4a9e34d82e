package main

import (
	"os"
	"runtime/debug"
)

// What the collector does by default. The caches are what lives, and they are bounded; a request leaves 8 kB of garbage.
// So collecting a third as often as Go would is worth a tenth of the throughput, and costs some 80 MiB with 10,000 live
// subject tokens (docs/performance.md). Once the caches are full, the limit makes it collect more often instead of
// growing on.
const (
	gcPercent   = 300
	memoryLimit = 448 << 20 // bytes
)

// tuneMemory sets what the environment doesn't.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
