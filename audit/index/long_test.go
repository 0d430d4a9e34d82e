//go:build long

package index_test

import "testing"

func TestLong_Search(t *testing.T) { searches(t, 10_000) }

func TestLong_SearchPlans(t *testing.T) { searchPlans(t, 8_000) }
