package mapping_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

// FuzzGlob holds patterns against regular expressions.
func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{
		{"*", ""}, {"a*", "a"}, {"a*b*c", "aXbYbc"}, {"?", "é"}, {"*é?", "xéé"}, {"repo:acme/*:prod", "repo:acme/etl:prod"}, {"a", "A"}, {"*ab", "aab"},
		{"*?", "日本"}, {"a?c", "a/c"}, {"*a*a*a*a*b", strings.Repeat("a", 60)}, {"*本?", "本日"}, {"*\x80", "é"}, {"a.c", "abc"}, {"*¬?", "\u00ac\u00ac"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, value string) {
		got, err := mapping.MatchGlob(pattern, strings.ToValidUTF8(value, "?"))
		if err != nil {
			return
		}
		if want := refGlob(pattern, strings.ToValidUTF8(value, "?")); got != want {
			t.Fatalf("%q on %q: got %v, want %v", pattern, value, got, want)
		}
	})
}

// A pattern of many stars must not take exponential time.
func TestGlobIsBounded(t *testing.T) {
	pattern, value := strings.Repeat("*a", 100)+"b", strings.Repeat("a", 255)
	if ok, err := mapping.MatchGlob(pattern, value); ok || err != nil {
		t.Error(ok, err)
	}
}

func TestSubjectPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, subject string
		want             bool
	}{
		{"ada", "ada", true}, {"ada", "Ada", false}, {"ada", "ada2", false}, {"ada*", "ada", true}, {"*ada", "xada", true}, {"a?a", "ada", true}, {"a?a", "aa", false},
		{"repo:acme/*", "repo:acme/etl:ref:refs/heads/main", true}, {"repo:acme/*", "repo:acme-evil/etl", false}, {"repo:acme/*", "xrepo:acme/etl", false},
	} {
		p := compile(t, fmt.Sprintf("rules:\n  - {id: r, match: {issuer: [okta], subject: [%q], clients: [kong]}, grant: {principal: etl}}\n", c.pattern))
		a := attempt(&exchange.Identity{Provider: "okta", Subject: c.subject}, "prod")
		if got := p.Decide(a).Denial == nil; got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.subject, got)
		}
	}
}
