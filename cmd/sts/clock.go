//go:build !testclock

package main

import "time"

// now is the clock of the whole program.
func now() time.Time { return time.Now() }
