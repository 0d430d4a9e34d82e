package aws

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// The parameters of a GetCallerIdentity request, and those that a presigned one has beside them.
const (
	paramAction        = "Action"
	paramVersion       = "Version"
	paramAlgorithm     = "X-Amz-Algorithm"
	paramCredential    = "X-Amz-Credential"
	paramDate          = "X-Amz-Date"
	paramExpires       = "X-Amz-Expires"
	paramSecurityToken = "X-Amz-Security-Token"
	paramSignature     = "X-Amz-Signature"
	paramSignedHeaders = "X-Amz-SignedHeaders"

	action  = "GetCallerIdentity"
	version = "2011-06-15"
)

var (
	actionParams = []string{paramAction, paramVersion}
	signedParams = []string{
		paramAction, paramVersion, paramAlgorithm, paramCredential, paramDate, paramExpires, paramSecurityToken, paramSignature, paramSignedHeaders,
	}
)

// parseURL takes https://HOST/?QUERY apart, where the slash may be missing (Google's own configuration leaves it out). It is
// no general reader of URLs on purpose: whatever isn't of this form has a way to be read in two ways.
func parseURL(text string) (host string, params map[string]string, err error) {
	rest, isHTTPS := strings.CutPrefix(text, "https://")
	if !isHTTPS {
		return "", nil, errors.New("has a url that doesn't begin with https://, in small letters")
	}
	before, query, _ := strings.Cut(rest, "?")
	host, path, _ := strings.Cut(before, "/")
	switch {
	case host == "" || strings.ContainsFunc(host, func(r rune) bool { return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-') }):
		return "", nil, errors.New("has a url with more than the name of a host, in small letters: no user, no port")
	case path != "":
		return "", nil, errors.New("has a url with a path other than /")
	}
	params, err = parseQuery(query)
	return host, params, err
}

// parseQuery reads parameters of exact names, each once, each written as AWS's canonical form has it. AWS and its libraries
// take some names in any letter case, and one of two that are equal: what they take isn't what others see (CVE-2022-2385).
func parseQuery(query string) (map[string]string, error) {
	params := map[string]string{}
	for _, pair := range strings.Split(query, "&") {
		name, encoded, _ := strings.Cut(pair, "=")
		if !slices.Contains(signedParams, name) {
			if slices.ContainsFunc(signedParams, func(known string) bool { return strings.EqualFold(known, name) }) {
				return nil, errors.New("has a query parameter in another letter case than AWS writes it")
			}
			return nil, errors.New("has a query parameter that a GetCallerIdentity request doesn't have")
		}
		if _, there := params[name]; there {
			return nil, fmt.Errorf("repeats the query parameter %s", name)
		}
		value, err := url.PathUnescape(encoded)
		if err != nil || escape(value) != encoded {
			return nil, fmt.Errorf("has a query parameter %s that isn't percent-encoded as AWS does it", name)
		}
		params[name] = value
	}
	if params[paramAction] != action || params[paramVersion] != version {
		return nil, fmt.Errorf("must be for the Action %s of the Version %s", action, version)
	}
	return params, nil
}

// only refuses parameters beside those.
func only(params map[string]string, names []string) error {
	for name := range params {
		if !slices.Contains(names, name) {
			return fmt.Errorf("has a query parameter other than %s", strings.Join(names, ", "))
		}
	}
	return nil
}

// escape encodes all but the unreserved characters of RFC 3986, as AWS does.
func escape(value string) string {
	return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
}
