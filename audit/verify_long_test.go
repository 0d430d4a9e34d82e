//go:build long

package audit_test

import "testing"

func TestLong_EveryByteOfAThousandRecords(t *testing.T) { everyByte(t, logOf(t, 1000, 2)) }

func TestLong_EveryCutSwapAndCopyOfAThousandRecords(t *testing.T) {
	everyCutSwapAndCopy(t, logOf(t, 1000, 4))
}
