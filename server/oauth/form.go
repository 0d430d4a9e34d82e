package oauth

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/inbound"
)

// maxParameters bounds how many parameters a request may have; we know fifteen.
const maxParameters = 128

// form is a decoded token request.
type form struct {
	params      exchange.Params
	credentials clients.Credentials
}

// decode reads a form-urlencoded body.
func decode(body string) (*form, *exchange.Error) {
	f := new(form)
	repeated, err := parse(body, f.set)
	if err != nil {
		return nil, err
	}
	return f, f.check(repeated)
}

// parse hands each parameter of a body to set, which reports whether it must come only once. Unknown parameters are
// ignored, repeated or not; known ones must not be repeated (RFC 6749 §3.2), audience and resource excepted
// (RFC 8693 §2.1), and it is their presence that counts, not their value. repeated is the first that was.
func parse(body string, set func(name, value string) (once bool)) (repeated string, failed *exchange.Error) {
	seen := make([]string, 0, 16)
	for count := 0; body != ""; count++ {
		if count == maxParameters {
			return "", inbound.Malformed("there are more than %d parameters", maxParameters)
		}
		var name, value string
		var err error
		if name, value, body, err = cutParameter(body); err != nil {
			return "", inbound.Malformed("the body is not well-formed %s; percent-encode names and values", formType)
		}
		switch once := set(name, value); {
		case !once:
		case slices.Contains(seen, name):
			if repeated == "" {
				repeated = name
			}
		default:
			seen = append(seen, name)
		}
	}
	return repeated, nil
}

// check looks at the grant type, then at duplicates: that is the order of evaluation.
func (f *form) check(repeated string) *exchange.Error {
	switch {
	case repeated == "grant_type":
		return inbound.Malformed("grant_type is repeated; send it once")
	case f.params.GrantType == "":
		return inbound.Malformed("grant_type is missing; send %s", exchange.GrantTypeTokenExchange)
	case f.params.GrantType != exchange.GrantTypeTokenExchange:
		return exchange.Refuse(exchange.CodeUnsupportedGrantType, exchange.ReasonGrantTypeUnsupported,
			"that grant_type is not supported; use %s, letter for letter", exchange.GrantTypeTokenExchange)
	case repeated != "":
		return inbound.Malformed("%s is repeated; send it once", repeated)
	}
	return nil
}

// set keeps a parameter that we know. It reports whether the parameter must come only once.
func (f *form) set(name, value string) (once bool) {
	switch name {
	case "grant_type":
		f.params.GrantType = value
	case "subject_token":
		f.params.SubjectToken = exchange.Secret(value)
	case "subject_token_type":
		f.params.SubjectTokenType = value
	case "actor_token":
		f.params.ActorToken = exchange.Secret(value)
	case "actor_token_type":
		f.params.ActorTokenType = value
	case "requested_token_type":
		f.params.RequestedTokenType = value
	case "scope":
		f.params.Scope = value
	case "authorization_details":
		f.params.AuthorizationDetails = value
	case "requested_lifetime":
		f.params.RequestedLifetime = value
	case "audience":
		f.params.Audience = append(f.params.Audience, value)
		return false
	case "resource":
		f.params.Resource = append(f.params.Resource, value)
		return false
	default:
		return setCredential(&f.credentials, name, value)
	}
	return true
}

// setCredential is the same for what proves a client, at whichever endpoint.
func setCredential(c *clients.Credentials, name, value string) (once bool) {
	switch name {
	case "client_id":
		c.ClientID = value
	case "client_secret":
		c.ClientSecret = exchange.Secret(value)
	case "client_assertion":
		c.Assertion = exchange.Secret(value)
	case "client_assertion_type":
		c.AssertionType = value
	default:
		return false
	}
	return true
}

var errSemicolon = errors.New("semicolon outside of an escape")

// cutParameter takes the first parameter off a non-empty body. An empty one, as between two ampersands, has neither name
// nor value. It refuses what [url.ParseQuery] refuses.
func cutParameter(body string) (name, value, rest string, err error) {
	pair, rest, _ := strings.Cut(body, "&")
	if strings.Contains(pair, ";") {
		// Some parsers separate parameters by it, so that two could read two things.
		return "", "", "", errSemicolon
	}
	name, value, _ = strings.Cut(pair, "=")
	if name, err = unescape(name); err != nil {
		return "", "", "", err
	}
	if value, err = unescape(value); err != nil {
		return "", "", "", err
	}
	return name, value, rest, nil
}

// unescape is [url.QueryUnescape], which looks at each byte by itself: tokens have a thousand of them, and hold nothing
// that is escaped.
func unescape(text string) (string, error) {
	if strings.IndexByte(text, '%') < 0 && strings.IndexByte(text, '+') < 0 {
		return text, nil
	}
	return url.QueryUnescape(text)
}
