//go:build long

package index_test

import "testing"

func TestLong_Search(t *testing.T) { searches(t, 10_000) }
