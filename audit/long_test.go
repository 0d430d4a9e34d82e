//go:build long

package audit_test

import (
	"fmt"
	"testing"
)

// The bytes are dealt out to copies of the log, so that every core has some.
func TestLong_EveryByteOfAThousandRecords(t *testing.T) {
	dir := logOf(t, 1000, 2)
	const shards = 4
	for shard := range shards {
		copied := crashed(t, dir)
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			everyByte(t, copied, shard, shards)
		})
	}
}

func TestLong_EveryCutSwapAndCopyOfAThousandRecords(t *testing.T) {
	everyCutSwapAndCopy(t, logOf(t, 1000, 4))
}

func TestLong_Killed(t *testing.T) { killed(t, "TestLong_Killed", 34) }
