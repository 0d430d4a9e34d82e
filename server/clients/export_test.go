package clients

import "crypto/subtle"

// CountComparisons makes r count its comparisons in n.
func CountComparisons(r *Registry, n *int) {
	r.compare = func(a, b []byte) int {
		*n++
		return subtle.ConstantTimeCompare(a, b)
	}
}
