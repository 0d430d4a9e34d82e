package jwt

import (
	"errors"
	"strings"
)

const (
	spiffeScheme = "spiffe://"
	// maxTrustDomain is SPIFFE-ID §2.1's.
	maxTrustDomain = 255
)

// ParseSPIFFEID reads a workload's SPIFFE ID (SPIFFE-ID §2), spiffe://TRUST-DOMAIN/PATH, and returns the trust domain.
// An ID is compared letter for letter, so what could be written in two ways is refused: capitals in the trust domain,
// percent signs, empty segments, "." and "..", a slash at the end. Its length is the caller's to bound.
func ParseSPIFFEID(id string) (trustDomain string, err error) {
	rest, ok := strings.CutPrefix(id, spiffeScheme)
	if !ok {
		return "", errors.New("does not begin with spiffe://, in small letters")
	}
	trustDomain, path, ok := strings.Cut(rest, "/")
	switch {
	case !IsTrustDomain(trustDomain):
		return "", errors.New("has a trust domain that is not made of small letters, digits, dots, dashes and underscores alone")
	case !ok:
		return "", errors.New("has no path: it names a trust domain, and not a workload of it")
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch {
		case segment == "":
			return "", errors.New("has an empty segment in its path")
		case segment == "." || segment == "..":
			return "", errors.New("has a segment . or .. in its path")
		case strings.ContainsFunc(segment, func(r rune) bool { return !isSegment(r) }):
			return "", errors.New("has a path with other characters than letters, digits, dots, dashes and underscores")
		}
	}
	return trustDomain, nil
}

// IsTrustDomain says whether a text is the name of a trust domain (SPIFFE-ID §2.1), without scheme.
func IsTrustDomain(name string) bool {
	return name != "" && len(name) <= maxTrustDomain && !strings.ContainsFunc(name, func(r rune) bool {
		return !isSegment(r) || r >= 'A' && r <= 'Z'
	})
}

func isSegment(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
}
