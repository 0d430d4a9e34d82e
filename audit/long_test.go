//go:build long

package audit_test

import (
	"fmt"
	"testing"
)

// Of each record some bytes, of its neighbours others: every place within a record, of some. (TestEveryByte edits all bytes
// of a shorter log. A verification takes as long as its log, so the time would grow as its square.) The lines are dealt out
// to copies of the log, so that every core has some.
func TestLong_SomeBytesOfEachOfAThousandRecords(t *testing.T) {
	dir := logOf(t, 1000, 2)
	const every, shards = 3, 4
	for shard := range shards {
		copied := crashed(t, dir)
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			everyByte(t, copied, func(line, column int) bool { return line%shards == shard && column%every == line/shards%every })
		})
	}
}

func TestLong_EveryCutSwapAndCopyOfAThousandRecords(t *testing.T) {
	everyCutSwapAndCopy(t, logOf(t, 1000, 4))
}

func TestLong_Killed(t *testing.T) { killed(t, "TestLong_Killed", 34) }

func TestLong_PowerLoss(t *testing.T) { powerLosses(t, 6000) }
