package awssts

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// TypeAWS4Request is the token type of a Draft's text.
const TypeAWS4Request = "urn:ietf:params:aws:token-type:aws4_request"

// Target is whom the attacks are for: a verifier that accepts roles of the account, for the audience.
type Target struct {
	Account, Audience string
	// Canary is the host, with its port, of a listener that nobody may ever dial.
	Canary string
}

// Attacks are tokens that must be refused. Each is of a session of its own, as its twin is, since a token is accepted once.
// Wherever AWS's library lets us, the attack is signed as it stands: AWS would take it.
func (s *Server) Attacks(t Target) ([]emulator.Attack, error) {
	var attacks []emulator.Attack
	for _, plan := range slices.Concat(s.queryAttacks(), s.urlAttacks(t), s.headerAttacks(t), s.signatureAttacks(), s.textAttacks(), s.judgedAttacks(t)) {
		made, err := s.attack(t, plan)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", plan.name, err)
		}
		attacks = append(attacks, made)
	}
	return attacks, nil
}

// plan is how an attack differs from its twin.
type plan struct {
	name, cause string
	presigned   bool                     // both are
	key         func() *Key              // whose the attack is; default a role
	ask         func(*Ask)               // changed before it is signed
	draft       func(*Draft)             // changed afterwards
	text        func(text string) string // changed at last
}

func (s *Server) attack(t Target, p plan) (emulator.Attack, error) {
	role := func() *Key { return s.Role(t.Account, "etl", "session-1") }
	ask := Ask{Audience: t.Audience, Presigned: p.presigned}
	twin, err := s.Sign(role(), ask)
	if err != nil {
		return emulator.Attack{}, err
	}
	if p.key != nil {
		role = p.key
	}
	if p.ask != nil {
		p.ask(&ask)
	}
	bad, err := s.Sign(role(), ask)
	if err != nil {
		return emulator.Attack{}, err
	}
	if p.draft != nil {
		p.draft(bad)
	}
	text := bad.Text()
	if p.text != nil {
		text = p.text(text)
	}
	return emulator.Attack{Name: p.name, Type: TypeAWS4Request, Token: text, Twin: twin.Text(), Cause: p.cause}, nil
}

// base is the URL that all requests have.
func (s *Server) base() string {
	return "https://" + s.Host() + "/?Action=GetCallerIdentity&Version=2011-06-15"
}

// queryAttacks are those of CVE-2022-2385 and their relatives: parameters that one reader takes and another doesn't see.
func (s *Server) queryAttacks() []plan {
	signedAs := func(query string) func(*Ask) { return func(a *Ask) { a.URL = s.base() + query } }
	later := func(query string) func(*Draft) { return func(d *Draft) { d.URL += query } }
	swap := func(old, with string) func(*Ask) {
		return func(a *Ask) { a.URL = strings.Replace(s.base(), old, with, 1) }
	}
	return []plan{
		{name: "Action twice, signed", cause: "repeats the query parameter Action", ask: signedAs("&Action=GetCallerIdentity")},
		{name: "another Action appended, signed", cause: "repeats the query parameter Action", ask: signedAs("&Action=GetSessionToken")},
		{name: "another Action appended, unsigned", cause: "repeats the query parameter Action", draft: later("&Action=GetSessionToken")},
		{name: "another Action first", cause: "repeats the query parameter Action", ask: swap("Action=", "Action=GetSessionToken&Action=")},
		{name: "another Action alone", cause: "must be for the Action GetCallerIdentity", ask: swap("GetCallerIdentity", "GetSessionToken")},
		{name: "Action in another letter case beside it", cause: "another letter case", ask: signedAs("&action=GetSessionToken")},
		{name: "Action in another letter case alone", cause: "another letter case", ask: swap("Action", "ACTION")},
		{name: "Action with a folded letter", cause: "another letter case", draft: func(d *Draft) { d.URL += "&X-Amz-\u017fignature=00" }},
		{name: "Action percent-encoded beside it", cause: "that a GetCallerIdentity request doesn't have", draft: later("&%41ction=GetSessionToken")},
		{name: "no Action", cause: "must be for the Action", ask: swap("Action=GetCallerIdentity&", "")},
		{name: "another Version", cause: "of the Version 2011-06-15", ask: swap("2011-06-15", "2012-06-15")},
		{name: "a parameter of another action", cause: "that a GetCallerIdentity request doesn't have", ask: signedAs("&RoleArn=x")},
		{name: "an empty parameter", cause: "that a GetCallerIdentity request doesn't have", draft: later("&")},
		{name: "a semicolon as separator", cause: "isn't percent-encoded as AWS does it", draft: later(";Action=GetSessionToken")},
		{name: "a value with needless percent signs", cause: "isn't percent-encoded as AWS does it", draft: func(d *Draft) { d.URL = strings.Replace(d.URL, "=Get", "=%47et", 1) }},
		{name: "a signature in the query beside the header", cause: "has a query parameter other than Action, Version", draft: later("&X-Amz-Signature=" + strings.Repeat("0", 64))},
		{name: "the access key twice", presigned: true, cause: "repeats the query parameter X-Amz-Credential", draft: later("&X-Amz-Credential=x")},
		{name: "the access key in another letter case beside it", presigned: true, cause: "another letter case", draft: later("&x-amz-credential=x")},
		{name: "the access key in another letter case, signed", presigned: true, cause: "another letter case", ask: signedAs("&X-AMZ-CREDENTIAL=x")},
		{name: "a security token twice", presigned: true, cause: "repeats the query parameter X-Amz-Security-Token", draft: later("&X-Amz-Security-Token=x")},
		{name: "the date twice", presigned: true, cause: "repeats the query parameter X-Amz-Date", draft: later("&X-Amz-Date=20990101T000000Z")},
		{name: "the time that it lasts twice", presigned: true, cause: "repeats the query parameter X-Amz-Expires", draft: later("&X-Amz-Expires=604800")},
		{name: "lasts longer than AWS lets it", presigned: true, cause: "X-Amz-Expires of 1 to 604800", ask: func(a *Ask) { a.Expires = 604801 * time.Second }},
		{name: "a header Authorization beside a signature in the query", presigned: true, cause: "beside a signature in its url", draft: func(d *Draft) { d.Add("Authorization", "x") }},
	}
}

// urlAttacks want us, or AWS, to go somewhere else.
func (s *Server) urlAttacks(t Target) []plan {
	to := func(prefix string) func(*Draft) {
		return func(d *Draft) {
			d.URL = prefix + strings.TrimPrefix(d.URL, "https://"+s.Host())
			if u, err := url.Parse(d.URL); err == nil {
				d.Set("host", u.Host)
			}
		}
	}
	const none, more, path = "is for a host that is AWS STS of none of the regions", "with more than the name of a host", "with a path other than /"
	return []plan{
		{name: "a canary as host", cause: more, draft: to("https://" + t.Canary)},
		{name: "a canary in the clear", cause: "begin with https://", draft: to("http://" + t.Canary)},
		{name: "AWS as the user of a canary", cause: more, draft: to("https://" + s.Host() + "@" + t.Canary)},
		{name: "AWS and a port as the user of a canary", cause: more, draft: to("https://" + s.Host() + ":443@" + t.Canary)},
		{name: "a backslash before a canary", cause: more, draft: to("https://" + t.Canary + `\@` + s.Host())},
		{name: "a fragment before AWS", cause: more, draft: to("https://" + t.Canary + "#" + s.Host())},
		{name: "a question mark before AWS", cause: more, draft: to("https://" + t.Canary + "?" + s.Host())},
		{name: "a port", cause: more, draft: to("https://" + s.Host() + ":443")},
		{name: "another port", cause: more, draft: to("https://" + s.Host() + ":8443")},
		{name: "in the clear", cause: "begin with https://", draft: to("http://" + s.Host())},
		{name: "a scheme in capitals", cause: "begin with https://", draft: to("HTTPS://" + s.Host())},
		{name: "a host in capitals", cause: "in small letters", draft: to("https://" + strings.ToUpper(s.Host()))},
		{name: "a dot behind the host", cause: none, draft: to("https://" + s.Host() + ".")},
		{name: "a host that begins like AWS", cause: none, draft: to("https://" + s.Host() + ".example.com")},
		{name: "a host that ends like AWS", cause: none, draft: to("https://x-" + s.Host())},
		{name: "another service of AWS", cause: none, draft: to("https://iam.amazonaws.com")},
		{name: "the global AWS STS, which isn't configured", cause: none, draft: to("https://sts.amazonaws.com")},
		{name: "another region's AWS STS, signed for it", cause: none, ask: func(a *Ask) {
			a.URL, a.Region = strings.Replace(s.base(), s.region, "us-west-2", 1), "us-west-2"
		}},
		{name: "a host with an encoded slash", cause: more, draft: to("https://" + t.Canary + "%2f." + s.Host())},
		{name: "a path", cause: path, ask: func(a *Ask) { a.URL = strings.Replace(s.base(), "/?", "/latest/?", 1) }},
		{name: "two slashes", cause: path, draft: to("https://" + s.Host() + "//" + t.Canary)},
		{name: "dots in the path", cause: path, draft: to("https://" + s.Host() + "/..")},
		{name: "a fragment", cause: "isn't percent-encoded as AWS does it", draft: func(d *Draft) { d.URL += "#x" }},
		{name: "a line break in the host", cause: more, draft: to("https://" + s.Host() + "\r\nHost: " + t.Canary)},
		{name: "no host", cause: more, draft: to("https://")},
		{name: "a header host that differs", cause: "header host that differs", draft: func(d *Draft) { d.Set("host", "sts.us-west-2.amazonaws.com") }},
	}
}
