package jwt_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/internal/jwt"
)

const (
	goodHeader  = `{"alg":"ES256","kid":"k1","typ":"JWT"}`
	goodPayload = `{"sub":"alice"}`
)

func TestParse(t *testing.T) {
	got, err := jwt.Parse(token(t, goodHeader, `{"sub":"alice","n":[1,2.5,null,true]}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(jwt.Header{Algorithm: "ES256", KeyID: "k1", Type: "JWT"}, got.Header); diff != "" {
		t.Errorf("header: %s", diff)
	}
	want := map[string]any{"sub": "alice", "n": []any{int64(1), 2.5, nil, true}}
	if diff := cmp.Diff(want, got.Claims); diff != "" {
		t.Errorf("claims: %s", diff)
	}
}

func TestParseHeader(t *testing.T) {
	for _, test := range []struct {
		header string
		want   string // part of the error, "" for none
	}{
		{goodHeader, ""},
		{`{"alg":"ES256"}`, ""},
		{`{"alg":"ES256","jku":"https://evil.example/","x5u":"https://evil.example/","jwk":{"kty":"oct"},"x5c":["x"]}`, ""},
		{`{"alg":"none"}`, ""}, // well formed; no key fits it
		{`{}`, "without alg"},
		{`{"Alg":"ES256"}`, "without alg"},
		{`{"alg":""}`, "without alg"},
		{`{"alg":null}`, "alg is not a string"},
		{`{"alg":["ES256"]}`, "alg is not a string"},
		{`{"alg":"ES256","kid":1}`, "kid is not a string"},
		{`{"alg":"ES256","typ":{}}`, "typ is not a string"},
		{`{"alg":"ES256","alg":"ES256"}`, "repeats a name"},
		{`{"alg":"ES256","crit":["exp"],"exp":1}`, "crit"},
		{`{"alg":"ES256","crit":[]}`, "crit"},
		{`{"alg":"ES256","b64":false}`, "b64"},
		{`{"alg":"ES256","b64":true}`, "b64"},
		{`{"alg":"ES256","zip":"DEF"}`, "zip"},
		{`["ES256"]`, "not a JSON object"},
		{`{"alg":"ES256"`, "not well-formed JSON"},
	} {
		_, err := jwt.Parse(token(t, test.header, goodPayload))
		if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: error %v, want %q", test.header, err, test.want)
		}
	}
}

// F24, F08, C10, F25: what differs from a good token only in its framing.
func TestParseFraming(t *testing.T) {
	good := token(t, goodHeader, goodPayload)
	parts := strings.Split(good, ".")
	for _, test := range []struct {
		name, text string
		want       error // nil for any
	}{
		{"leading space", " " + good, nil},
		{"trailing space", good + " ", nil},
		{"trailing newline", good + "\n", nil},
		{"newline within", good[:40] + "\n" + good[40:], nil},
		{"carriage return within", good[:40] + "\r" + good[40:], nil},
		{"tab within", good[:40] + "\t" + good[40:], nil},
		{"padding", good + "==", nil},
		{"padding of the header", parts[0] + "=." + parts[1] + "." + parts[2], nil},
		{"standard alphabet", parts[0] + "." + parts[1] + "." + strings.Repeat("+", len(parts[2])), nil},
		{"trailing dot", good + ".", jwt.ErrNotCompact},
		{"leading dot", "." + good, jwt.ErrNotCompact},
		{"two parts", parts[0] + "." + parts[1], jwt.ErrNotCompact},
		{"opaque", "dapi0123456789", jwt.ErrNotCompact},
		{"empty", "", jwt.ErrNotCompact},
		{"dots alone", "..", nil},
		{"no payload", parts[0] + ".." + parts[2], nil},
		{"no signature", parts[0] + "." + parts[1] + ".", nil},
		{"JWE", good + "." + parts[0] + "." + parts[0], jwt.ErrEncrypted},
		{"too large", token(t, goodHeader, `{"sub":"`+strings.Repeat("a", 12<<10)+`"}`), jwt.ErrTooLarge},
		{"JSON serialization", `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`, jwt.ErrNotCompact},
	} {
		if _, err := jwt.Parse(test.text); err == nil || (test.want != nil && !errors.Is(err, test.want)) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
	}
	if _, err := jwt.Parse(good); err != nil {
		t.Errorf("the good token: %v", err)
	}
}

// A last character has bits to spare; only one of its spellings is the token.
func TestParseRefusesStrayBits(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	good := token(t, goodHeader, goodPayload) // its signature has 64 bytes: 4 bits to spare
	accepted := 0
	for _, c := range alphabet {
		if _, err := jwt.Parse(good[:len(good)-1] + string(c)); err == nil {
			accepted++
		}
	}
	if accepted != 4 {
		t.Errorf("%d last characters are accepted, want the 4 whose spare bits are zero", accepted)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(token(f, goodHeader, goodPayload))
	f.Add(token(f, `{"alg":"none"}`, `{}`))
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.AA")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := jwt.Parse(text)
		if err != nil {
			return
		}
		// A token that is accepted has one spelling: nothing can be added to it, and its claims can be had in no other case.
		for _, other := range []string{text + "=", text + "\n", text + ".", " " + text, text + "A"} {
			if again, err := jwt.Parse(other); err == nil && cmp.Equal(again, got, cmp.AllowUnexported(jwt.Token{})) {
				t.Errorf("%q and %q are the same token", text, other)
			}
		}
		if got.Header.Algorithm == "" || got.Claims == nil {
			t.Errorf("%q is accepted without alg or claims", text)
		}
	})
}
