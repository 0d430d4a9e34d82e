//go:build long

package audit_test

import (
	"fmt"
	"testing"
)

// A verification takes as long as its log, so that the time grows as the square of the log's. The lines are dealt out to
// copies of it, so that every core has some.
func TestLong_EveryByteOfAThousandRecords(t *testing.T) {
	dir := logOf(t, 1000, 2)
	const shards = 4
	for shard := range shards {
		copied := crashed(t, dir)
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			everyByte(t, copied, func(line, _ int) bool { return line%shards == shard })
		})
	}
}

func TestLong_EveryCutSwapAndCopyOfAThousandRecords(t *testing.T) {
	everyCutSwapAndCopy(t, logOf(t, 1000, 4))
}

func TestLong_Killed(t *testing.T) { killed(t, "TestLong_Killed", 34) }

func TestLong_PowerLoss(t *testing.T) { powerLosses(t, 6000) }
