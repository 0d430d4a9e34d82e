//go:build long

package e2e_test

import "testing"

// TestLong_StepsOfTheLadder is TestStepsOfTheLadder with as many subjects as the main job promises.
func TestLong_StepsOfTheLadder(t *testing.T) { stepsOfTheLadder(t, 10_000) }
