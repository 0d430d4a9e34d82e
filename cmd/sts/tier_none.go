//go:build notier

package main

// A memory tier in which no token has room, for programs built to measure the tier behind it (bench/redis.go).
const tierEntries, tierBytes = 1, 1
