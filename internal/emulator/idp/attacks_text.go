package idp

import (
	"fmt"
	"strings"
)

// names repeats names, and writes them so that a careless reader takes them for others (RFC 8725 §2.4, RFC 7493 §2.3).
func (f *forger) names(claims ...string) {
	twin := f.good()
	es := f.es()
	sign := func(payload string) string { return f.signed(es, f.header(es), payload) }
	others := map[string]string{
		"iss": `"` + f.other.URL() + `"`, "sub": `"admin"`, "aud": `"x"`, "exp": `9999999999`, "iat": `1`, "jti": `"x"`, "groups": `["admin"]`,
	}
	for _, name := range claims {
		other, good := others[name], f.payload()
		escaped := fmt.Sprintf(`%s\u%04x%s`, name[:1], name[1], name[2:])
		upper := fmt.Sprintf(`%s\u%04X%s`, name[:1], name[1], name[2:])
		for how, spelt := range map[string]string{"": name, " by an escape": escaped, " by an escape in capitals": upper} {
			again := `"` + spelt + `":`
			f.add(causeRepeats, name+" twice"+how+", the last another", sign(good[:len(good)-1]+`,`+again+other+`}`), twin)
			f.add(causeRepeats, name+" twice"+how+", the first another", sign(`{`+again+other+`,`+good[1:]), twin)
		}
		f.add(causeRepeats, name+" twice, alike", sign(`{"`+name+`":"x","`+name+`":"x",`+strings.Replace(good, `"`+name+`":`, `"was":`, 1)[1:]), twin)
	}
	good := f.payload()
	for where, text := range map[string]string{"an object": `{"a":1,"a":2}`, "an array": `[{"a":1,"a":2}]`, "a cnf": `{"jkt":"x","jkt":"y"}`} {
		f.add(causeRepeats, "a name twice in "+where, sign(good[:len(good)-1]+`,"x":`+text+`}`), twin)
	}
	header := f.header(es)
	for name, other := range map[string]string{"alg": `"none"`, "kid": `"x"`, "typ": `"at+jwt"`, "crit": `[]`} {
		twice := `{"` + name + `":` + other + `,"` + name + `":` + other + `,` + strings.Replace(header, `"`+name+`":`, `"was":`, 1)[1:]
		f.add(causeRepeats, "header: "+name+" twice", f.signed(es, twice, good), twin)
		f.add(causeRepeats, "header: "+name+" twice by an escape", f.signed(es, header[:len(header)-1]+`,"`+name[:1]+fmt.Sprintf(`\u%04x`, name[1])+name[2:]+`":`+other+`,"`+name+`":`+other+`}`, good), twin)
	}
}

// lookalikes are names that become the right one when letters are folded, and mustn't be taken for it.
func (f *forger) lookalikes() {
	es, good := f.es(), f.payload()
	twin := f.signed(es, f.header(es), good)
	for name, alike := range map[string][]string{
		"sub": {"Sub", "SUB", "ſub", `\u017fub`, "sub ", " sub", `sub\u0000`, "ѕub", "ｓub", `sub\u200b`, "su\u0308b"},
		"iss": {"Iss", "ISS", "ıss", "İss", "iſs", "isſ", "iß"},
		"aud": {"Aud", "AUD", "аud", "aud[]", "aud.0"},
		"exp": {"Exp", "EXP", "еxp", "exp\u200d"},
		"iat": {"Iat", "IAT", "ıat", "iаt"},
	} {
		for _, other := range alike {
			f.add("has no "+name, fmt.Sprintf("%s for %s", other, name), f.signed(es, f.header(es), strings.Replace(good, `"`+name+`":`, `"`+other+`":`, 1)), twin)
		}
	}
	// The Kelvin sign folds to k: who folds takes the token's own word for which key to check it by.
	named := `{"alg":"ES256","` + "\u212a" + `id":"` + es.kid + `"`
	f.add(f.cause.key, "a Kelvin sign for the k of kid", f.signed(f.stranger, named+`,"kid":"`+f.stranger.kid+`"}`, good), f.signed(es, named+`,"kid":"`+es.kid+`"}`, good))
}

// text is what isn't JSON, or not the same JSON to every reader (RFC 8259 §8, RFC 7493 §2.1).
func (f *forger) text() {
	es, good := f.es(), f.payload()
	twin := f.signed(es, f.header(es), good)
	sub := func(value string) string { return strings.Replace(good, `"sub":"`+f.subject+`"`, `"sub":`+value, 1) }
	more := func(member string) string { return good[:len(good)-1] + "," + member + "}" }
	for name, bad := range map[string]struct{ cause, payload string }{
		"invalid UTF-8":                    {causeUTF8, sub("\"ali\xffce\"")},
		"overlong UTF-8":                   {causeUTF8, sub("\"ali\xc1\xa3e\"")},
		"a surrogate in UTF-8":             {causeUTF8, sub("\"ali\xed\xa0\x80ce\"")},
		"invalid UTF-8 in a name":          {causeUTF8, more("\"\xff\":1")},
		"half a surrogate pair":            {causeUTF8, sub(`"ali\ud800ce"`)},
		"the other half":                   {causeUTF8, sub(`"ali\udc00ce"`)},
		"a pair in the wrong order":        {causeUTF8, sub(`"ali\udc00\ud800ce"`)},
		"half a pair and a letter":         {causeUTF8, sub(`"ali\ud800\u0063e"`)},
		"half a pair at the end":           {causeUTF8, sub(`"alice\ud800"`)},
		"half a pair in a name":            {causeUTF8, more(`"\ud800":1`)},
		"NUL as it is":                     {causeJSON, sub("\"ali\x00ce\"")},
		"a line break as it is":            {causeJSON, sub("\"ali\nce\"")},
		"NUL behind":                       {"goes on behind its JSON object", good + "\x00"},
		"a second object":                  {"goes on behind its JSON object", good + good},
		"a word behind":                    {"goes on behind its JSON object", good + "x"},
		"a byte order mark":                {causeObject, "\ufeff" + good},
		"an array":                         {causeObject, "[" + good + "]"},
		"a string":                         {causeObject, `"` + strings.ReplaceAll(good, `"`, `\"`) + `"`},
		"a token in a token (cty)":         {causeObject, twin},
		"null":                             {causeObject, "null"},
		"nothing":                          {causeObject, ""},
		"blanks":                           {causeObject, "   "},
		"cut off":                          {causeJSON, good[:len(good)-1]},
		"a comma too many":                 {causeJSON, good[:len(good)-1] + ",}"},
		"a comma too few":                  {causeJSON, strings.Replace(good, `,`, ` `, 1)},
		"a comment":                        {causeJSON, strings.Replace(good, `{`, `{/* */`, 1)},
		"a comment to the end of the line": {causeJSON, strings.Replace(good, `{`, "{//\n", 1)},
		"single quotes":                    {causeJSON, sub(`'alice'`)},
		"no quotes":                        {causeJSON, sub(`alice`)},
		"a name without quotes":            {causeJSON, strings.Replace(good, `"sub"`, `sub`, 1)},
		"an unknown escape":                {causeJSON, sub(`"ali\x63e"`)},
		"a short escape":                   {causeJSON, sub(`"alice\u00"`)},
		"an escape that ends the string":   {causeJSON, sub(`"alice\"`)},
		"a blank that is none":             {causeJSON, strings.Replace(good, `{`, "{\u00a0", 1)},
		"a vertical tab":                   {causeJSON, strings.Replace(good, `{`, "{\v", 1)},
		"NaN":                              {causeJSON, more(`"x":NaN`)},
		"Infinity":                         {causeJSON, more(`"x":Infinity`)},
		"undefined":                        {causeJSON, more(`"x":undefined`)},
		"True":                             {causeJSON, more(`"x":True`)},
	} {
		f.add(bad.cause, "payload: "+name, f.signed(es, f.header(es), bad.payload), twin)
	}
	header := f.header(es)
	for name, bad := range map[string]struct{ cause, header string }{
		"invalid UTF-8": {causeUTF8, header[:len(header)-1] + ",\"\xff\":1}"}, "half a surrogate pair": {causeUTF8, header[:len(header)-1] + `,"x":"\ud800"}`},
		"an array": {causeObject, "[" + header + "]"}, "a byte order mark": {causeObject, "\ufeff" + header}, "a second object": {"goes on behind", header + header},
		"NUL behind": {"goes on behind", header + "\x00"}, "cut off": {causeJSON, header[:len(header)-1]}, "null": {causeObject, "null"},
	} {
		f.add(bad.cause, "header: "+name, f.signed(es, bad.header, good), twin)
	}
}

// numbers are out of range, or no numbers at all (RFC 8259 §6).
func (f *forger) numbers() {
	es, twin := f.es(), f.good()
	for number, cause := range map[string]string{
		"1e400": "out of range", "-1e400": "out of range", "1" + strings.Repeat("0", 400): "out of range",
		"-1": "has a bad exp", "-0.5": "has a bad exp", "1e19": "has a bad exp", "253402300800": "has a bad exp", "9223372036854775807": "has a bad exp",
		"9223372036854775808": "has a bad exp", "-9223372036854775808": "has a bad exp", "99999999999999999999999": "has a bad exp", "1.7976931348623157e308": "has a bad exp",
		"0": "expired", "-0": "expired", "0.0": "expired", "-0.0": "expired", "0e9": "expired", "1e-400": "expired", "1e3": "expired",
		"01": causeJSON, "+1": causeJSON, ".5": causeJSON, "1.": causeJSON, "1e": causeJSON, "1e+": causeJSON, "0x7fffffff": causeJSON, "1_000": causeJSON, "--1": causeJSON, "-": causeJSON, "1,5": causeJSON, "١": causeJSON,
	} {
		payload := strings.Replace(f.payload(change{"exp": 1}), `"exp":1`, `"exp":`+number, 1)
		f.add(cause, "exp "+number[:min(len(number), 30)], f.signed(es, f.header(es), payload), twin)
	}
	for number, cause := range map[string]string{"1e400": "out of range", "-1": "has a bad iat", "253402300800": "has a bad iat", "253402300799": "not valid yet"} {
		payload := strings.Replace(f.payload(change{"iat": 1}), `"iat":1`, `"iat":`+number, 1)
		f.add(cause, "iat "+number, f.signed(es, f.header(es), payload), twin)
	}
	f.add("out of range", "a huge number in a claim that nobody reads", f.good(change{"x": raw("1e400")}), f.good(change{"x": raw("1e300")}))
}
