// Package clocks reads a provider's clock off the Date of its answers, alike for every kind of token, and exports how far it is
// ahead of ours.
package clocks
