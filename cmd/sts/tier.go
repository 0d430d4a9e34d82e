//go:build !notier

package main

// The memory tier of tokens has the bounds that the store gives it.
const tierEntries, tierBytes = 0, 0
