package jwt_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/internal/jwt"
)

func TestParseObject(t *testing.T) {
	for _, test := range []struct {
		text string
		want map[string]any
	}{
		{`{}`, map[string]any{}},
		{" \t\r\n{ \"a\" : [ ] , \"b\" : { } } \n", map[string]any{"a": []any{}, "b": map[string]any{}}},
		{`{"a":1,"A":2}`, map[string]any{"a": int64(1), "A": int64(2)}},
		{`{"n":-9223372036854775808,"m":9223372036854775807}`, map[string]any{"n": int64(-1 << 63), "m": int64(1<<63 - 1)}},
		{`{"n":9223372036854775808}`, map[string]any{"n": 9223372036854775808.0}},
		{`{"n":1.0,"e":1e2,"z":0,"m":-0.5}`, map[string]any{"n": 1.0, "e": 100.0, "z": int64(0), "m": -0.5}},
		{`{"s":"\u00e9\ud83d\ude00\n\"\\\/"}`, map[string]any{"s": "é😀\n\"\\/"}},
		{`{"s":"é😀"}`, map[string]any{"s": "é😀"}},
		{`{"":null}`, map[string]any{"": nil}},
	} {
		got, err := jwt.ParseObject(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
		} else if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.text, diff)
		}
	}
}

func TestParseObjectRefuses(t *testing.T) {
	for _, text := range []string{
		``, ` `, `[]`, `"a"`, `null`, `1`, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{a:1}`, `{'a':1}`, `{"a":1}}`, `{"a":1}{}`, `{"a":1}x`, "{\"a\":1}\x00", "\ufeff{}",
		`{"a":1,"a":1}`, `{"a":1,"\u0061":1}`, `{"x":{"a":1,"a":2}}`, `{"x":[{"a":1,"a":2}]}`,
		`{"a":01}`, `{"a":+1}`, `{"a":.5}`, `{"a":1.}`, `{"a":1e}`, `{"a":-}`, `{"a":0x1}`, `{"a":1_000}`, `{"a":Infinity}`, `{"a":NaN}`, `{"a":1e400}`, `{"a":-1e400}`, `{"a":True}`, `{"a":nul}`,
		"{\"a\":\"\xff\"}", "{\"\xff\":1}", `{"a":"\ud800"}`, `{"a":"\udc00"}`, `{"a":"\udc00\ud800"}`, `{"a":"\ud800x"}`, `{"a":"\u12"}`, `{"a":"\u00g0"}`, `{"a":"\x"}`, `{"a":"\`, "{\"a\":\"\n\"}", "{\"a\":\"\\n\x01\"}", `{"a":"`, `{"a":[1,]}`, `{"a":[1 2]}`, `{"a":[`, "{\"a\":\"\\n\xff\"}",
		nest(jwt.MaxDepth + 1), nest(10_000),
	} {
		if got, err := jwt.ParseObject(text); err == nil {
			t.Errorf("%.60q is accepted as %v", text, got)
		}
	}
	if _, err := jwt.ParseObject(nest(jwt.MaxDepth)); err != nil {
		t.Errorf("%d levels: %v", jwt.MaxDepth, err)
	}
}

// nest is an object in depth levels of objects and arrays.
func nest(depth int) string {
	text := "{}"
	for i := range depth - 1 {
		if i%2 == 0 && i < depth-2 {
			text = "[" + text + "]"
		} else {
			text = `{"a":` + text + "}"
		}
	}
	if !strings.HasPrefix(text, "{") {
		panic("the outermost must be an object")
	}
	return text
}

// FuzzParseObject: what we accept, the standard library reads alike, without names that it would have dropped.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-2.5e3,null,true,{"b":"\u00e9\ud83d\ude00"}]}`, `{"a":1,"a":2}`, `{"a":1e400}`, nest(20), `{"s":"\ud800"}`, goodPayload, goodHeader} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := jwt.ParseObject(text)
		if err != nil {
			return
		}
		if !utf8.ValidString(text) || !json.Valid([]byte(text)) {
			t.Fatalf("%q is accepted", text)
		}
		dec := json.NewDecoder(bytes.NewReader([]byte(text)))
		dec.UseNumber()
		var want map[string]any
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("%q is accepted, and refused by encoding/json: %v", text, err)
		}
		if _, err := dec.Token(); err != io.EOF {
			t.Fatalf("%q goes on behind the object", text)
		}
		if diff := cmp.Diff(plain(want), any(got)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
		if names, kept := countNames(text), countMembers(got); names != kept {
			t.Errorf("%q has %d names, of which %d are kept", text, names, kept)
		}
	})
}

// plain turns json.Numbers into what ParseObject promises.
func plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			v[name] = plain(member)
		}
		return v
	case []any:
		for i, element := range v {
			v[i] = plain(element)
		}
		return v
	case json.Number:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	}
	return value
}

// countNames counts the colons outside of strings.
func countNames(text string) (n int) {
	inString := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case c == ':' && !inString:
			n++
		}
	}
	return n
}

func countMembers(value any) (n int) {
	switch v := value.(type) {
	case map[string]any:
		n = len(v)
		for _, member := range v {
			n += countMembers(member)
		}
	case []any:
		for _, element := range v {
			n += countMembers(element)
		}
	}
	return n
}

// F19
func TestNumericDate(t *testing.T) {
	for _, test := range []struct {
		value any
		want  string // "" for refused
	}{
		{int64(1700000000), "2023-11-14T22:13:20Z"},
		{1.7e9, "2023-11-14T22:13:20Z"},
		{1700000000.5, "2023-11-14T22:13:20.5Z"},
		{int64(0), "1970-01-01T00:00:00Z"},
		{int64(253402300799), "9999-12-31T23:59:59Z"},
		{int64(253402300800), ""},
		{int64(-1), ""},
		{-0.5, ""},
		{1e300, ""},
		{"1700000000", ""},
		{nil, ""},
		{true, ""},
		{[]any{int64(1700000000)}, ""},
		{map[string]any{}, ""},
	} {
		got, err := jwt.NumericDate(test.value)
		if (err != nil) != (test.want == "") {
			t.Errorf("%v: error %v, want %q", test.value, err, test.want)
		} else if err == nil && got.UTC().Format("2006-01-02T15:04:05.999Z") != test.want {
			t.Errorf("%v: %s, want %s", test.value, got.UTC(), test.want)
		}
	}
}
