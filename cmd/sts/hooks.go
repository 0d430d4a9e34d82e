//go:build !testclock

package main

import "github.com/lakegate/sts/exchange"

// underTest changes nothing: see hooks_testclock.go.
func underTest(v exchange.Verifier) exchange.Verifier { return v }

// diskSpace is the machine's own, which the log asks by itself.
func diskSpace() func(directory string) (free, size uint64, err error) { return nil }
