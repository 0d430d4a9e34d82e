package clients

import "crypto/subtle"

// CountVerifications makes r count the signatures that it checks in n.
func CountVerifications(r *Registry, n *int) { r.onVerify = func() { *n++ } }

// CountComparisons makes r count its comparisons in n.
func CountComparisons(r *Registry, n *int) {
	r.compare = func(a, b []byte) int {
		*n++
		return subtle.ConstantTimeCompare(a, b)
	}
}

// ParseDN and CertificateDN read names as lists of sets of "type=value", for tests to compare.
func ParseDN(text string) ([][]string, error) {
	name, err := parseDN(text)
	return plain(name), err
}

func CertificateDN(raw []byte) ([][]string, bool) {
	name, ok := certificateDN(raw)
	return plain(name), ok
}

func plain(name dn) (out [][]string) {
	for _, set := range name {
		var texts []string
		for _, a := range set {
			texts = append(texts, a.oid+"="+a.value)
		}
		out = append(out, texts)
	}
	return out
}
