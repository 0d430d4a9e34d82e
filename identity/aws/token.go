package aws

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/lakegate/sts/internal/jwt"
)

// maxTokenBytes bounds a token's text, decoded or not; AWS's session tokens have up to some 2,000 bytes.
const maxTokenBytes = 16 << 10

// envelope is a token as Google's workload identity federation defines it, its members unread.
type envelope struct {
	method string
	url    string
	// headers by their names in small letters.
	headers map[string]string
}

// open reads a token: a JSON object, plain or percent-encoded as Google's libraries send it. All of an object that such a
// token doesn't have is refused, or one reader could be shown what another doesn't see.
func open(text string) (*envelope, error) {
	if len(text) > maxTokenBytes {
		return nil, fmt.Errorf("has more than %d bytes", maxTokenBytes)
	}
	if !strings.HasPrefix(text, "{") {
		// Their libraries write a space as + or as %20, and a + as %2B.
		decoded, err := url.QueryUnescape(text)
		if err != nil {
			return nil, errors.New("is neither a JSON object nor a percent-encoded one")
		}
		text = decoded
	}
	object, err := jwt.ParseObject(text)
	if err != nil {
		return nil, err
	}
	for name := range object {
		if name != "url" && name != "method" && name != "headers" {
			return nil, errors.New("has a member other than url, method and headers")
		}
	}
	e := &envelope{headers: map[string]string{}}
	var isURL, isMethod bool
	e.url, isURL = object["url"].(string)
	e.method, isMethod = object["method"].(string)
	list, isList := object["headers"].([]any)
	if !isURL || !isMethod || !isList {
		return nil, errors.New("must have url and method, which are strings, and headers, which is an array")
	}
	for _, element := range list {
		if err := e.header(element); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// header reads one {"key": …, "value": …}.
func (e *envelope) header(element any) error {
	object, _ := element.(map[string]any)
	key, isKey := object["key"].(string)
	value, isValue := object["value"].(string)
	if !isKey || !isValue || len(object) != 2 {
		return errors.New("has a header that isn't an object of key and value, both strings")
	}
	name := lower(key)
	if !known(name) {
		return fmt.Errorf("has a header other than %s", strings.Join(headerNames, ", "))
	}
	if _, there := e.headers[name]; there {
		return fmt.Errorf("repeats the header %s", name)
	}
	if !isValueText(value) {
		return fmt.Errorf("has a header %s with other characters than printable ASCII, or with more than single spaces inside", name)
	}
	e.headers[name] = value
	return nil
}

// The headers that a token may have.
const (
	headerAuthorization = "authorization"
	headerContentHash   = "x-amz-content-sha256"
	headerDate          = "x-amz-date"
	headerHost          = "host"
	headerSecurityToken = "x-amz-security-token"
)

var headerNames = []string{headerAuthorization, headerHost, headerContentHash, headerDate, headerSecurityToken, AudienceHeader}

func known(name string) bool {
	for _, n := range headerNames {
		if n == name {
			return true
		}
	}
	return false
}

// lower changes ASCII letters alone: other readers don't take a Kelvin sign for a k.
func lower(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// isValueText wants a value that is signed as it is: AWS's canonical form trims spaces and folds runs of them.
func isValueText(value string) bool {
	return value != "" && strings.TrimSpace(value) == value && !strings.Contains(value, "  ") &&
		!strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' })
}
