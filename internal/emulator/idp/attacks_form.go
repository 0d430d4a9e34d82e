package idp

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// framing puts the parts of a token together wrongly, or where no token is expected (RFC 7515 §7, RFC 7516 §7).
func (f *forger) framing() {
	good := f.good()
	parts := strings.Split(good, ".")
	h, p, s := parts[0], parts[1], parts[2]
	flat, _ := json.Marshal(map[string]string{"protected": h, "payload": p, "signature": s})
	general, _ := json.Marshal(map[string]any{"payload": p, "signatures": []map[string]string{{"protected": h, "signature": s}}})
	const encrypted = "is encrypted"
	for name, bad := range map[string]struct{ cause, token string }{
		"two parts": {causeCompact, h + "." + p}, "one part": {causeCompact, h}, "four parts": {causeCompact, good + "." + s}, "a dot behind": {causeCompact, good + "."}, "a dot before": {causeCompact, "." + good},
		"a JWE": {encrypted, good + "." + s + "." + s}, "a JWE of empty parts": {encrypted, "...."}, "six parts": {causeCompact, good + "..."},
		"flattened JSON": {causeCompact, string(flat)}, "general JSON": {causeCompact, string(general)}, "dots alone": {"header that is empty", ".."},
		"no header": {"header that is empty", "." + p + "." + s}, "no payload (detached)": {causeObject, h + ".." + s}, "no signature": {"signature that is empty", h + "." + p + "."},
		"header and payload changed about": {"header without alg", p + "." + h + "." + s}, "the payload as header": {"header without alg", p + "." + p + "." + s},
		"URL-encoded dots": {causeCompact, strings.ReplaceAll(good, ".", "%2E")}, "a scheme before": {causeBase64, "Bearer " + good}, "quotes around": {causeBase64, `"` + good + `"`},
		"another token behind": {encrypted, good + "," + good}, "a disclosure behind (SD-JWT)": {causeBase64, good + "~"}, "full stops of another script": {causeCompact, strings.ReplaceAll(good, ".", "．")},
	} {
		f.add(bad.cause, "framing: "+name, bad.token, good)
	}
}

// base64 writes the same bytes in another way (RFC 4648 §3.5, RFC 7515 §2): each token has one text.
func (f *forger) base64() {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	es := f.es()
	header, payload := f.header(es), f.payload()
	// Blanks, which JSON allows, make the lengths such that there are bits to spare.
	for len(header)%3 == 0 {
		header = "{ " + header[1:]
	}
	for len(payload)%3 == 0 {
		payload = "{ " + payload[1:]
	}
	good := f.signed(es, header, payload)
	for !strings.ContainsAny(good[strings.LastIndexByte(good, '.'):], "-_") { // something to write in the other alphabet
		good = f.signed(es, header, payload)
	}
	parts := strings.Split(good, ".")
	for i, name := range []string{"header", "payload", "signature"} {
		part := parts[i]
		replaced := func(with string) string {
			other := slices.Clone(parts)
			other[i] = with
			return strings.Join(other, ".")
		}
		last := strings.IndexByte(alphabet, part[len(part)-1])
		spare := map[int]int{2: 4, 3: 2}[len(part)%4]
		for bits := 1; bits < 1<<spare; bits++ {
			f.add(causeBase64, fmt.Sprintf("%s: spare bits %b", name, bits), replaced(part[:len(part)-1]+string(alphabet[last|bits])), good)
		}
		for what, with := range map[string]string{
			"padding": part + strings.Repeat("=", 4-len(part)%4), "one =": part + "=", "= before": "=" + part, "a blank behind": part + " ", "a blank before": " " + part, "a blank within": part[:8] + " " + part[8:],
			"a line break behind": part + "\n", "a line break within": part[:8] + "\n" + part[8:], "a carriage return": part[:8] + "\r" + part[8:], "a tab": part[:8] + "\t" + part[8:], "NUL": part + "\x00",
			"a byte that isn't ASCII": part[:8] + "\xc3" + part[9:], "a full-width letter": part[:8] + "Ａ" + part[8:], "one letter too many": part + strings.Repeat("A", (5-len(part)%4)%4), "a percent sign": part[:8] + "%41" + part[9:],
		} {
			f.add(causeBase64, name+": "+what, replaced(with), good)
		}
	}
	s := parts[2]
	f.add(causeBase64, "signature: the standard alphabet", parts[0]+"."+parts[1]+"."+strings.NewReplacer("-", "+", "_", "/").Replace(s), good)
	f.add(causeBase64, "signature: hexadecimal", parts[0]+"."+parts[1]+"."+strings.Repeat("0f", 64)+"f", good)
}

// signatures are of the wrong numbers, or of another token (CVE-2022-21449, RFC 7518 §3.4).
func (f *forger) signatures() {
	es, rs := f.es(), f.published["RS256"]
	payload := f.payload()
	good := f.signed(es, f.header(es), payload)
	input, signature := good[:strings.LastIndexByte(good, '.')+1], f.signature(es, "ES256", 0, f.header(es), payload)
	good = input + encode(string(signature))
	r, s := signature[:32], signature[32:]
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	order, zero, one := n.Bytes(), make([]byte, 32), append(make([]byte, 31), 1)
	der, err := asn1.Marshal([]*big.Int{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
	if err != nil {
		f.fail(err)
	}
	flipped := slices.Clone(signature)
	flipped[63] ^= 1
	other := f.signature(es, "ES256", 0, f.header(es), f.payload(change{"sub": "bob"}))
	for name, bad := range map[string][]byte{
		"r and s zero": slices.Concat(zero, zero), "r zero": slices.Concat(zero, s), "s zero": slices.Concat(r, zero), "r and s the order": slices.Concat(order, order),
		"r the order": slices.Concat(order, s), "s the order": slices.Concat(r, order), "r and s one": slices.Concat(one, one), "r and s all bits": bytes.Repeat([]byte{0xff}, 64),
		"r and s changed about": slices.Concat(s, r), "DER": der, "a byte short": signature[:63], "a byte long": append(slices.Clone(signature), 0), "a zero before": append([]byte{0}, signature...),
		"half": r, "twice": slices.Concat(signature, signature), "as wide as of P-384": slices.Concat(make([]byte, 16), r, make([]byte, 16), s), "one byte": {0}, "a bit flipped": flipped,
		"of another token": other, "of a hash of nothing": f.signature(es, "ES256", 0, "", ""),
	} {
		f.add(f.cause.signature, "ES256: "+name, input+encode(string(bad)), good)
	}

	header := f.header(rs)
	long := f.signature(rs, "RS256", 0, header, payload)
	input = encode(header) + "." + encode(payload) + "."
	good = input + encode(string(long))
	for name, bad := range map[string][]byte{
		"zero": make([]byte, 256), "one": append(make([]byte, 255), 1), "a byte short": long[1:], "a zero before": append([]byte{0}, long...), "a zero behind": append(slices.Clone(long), 0), "all bits": bytes.Repeat([]byte{0xff}, 256),
		"an ES256 signature": signature, "of another token": f.signature(rs, "RS256", 0, header, f.payload(change{"sub": "bob"})), "one byte": {1},
	} {
		f.add(f.cause.signature, "RS256: "+name, input+encode(string(bad)), good)
	}
	ed := f.published["EdDSA"]
	header = f.header(ed)
	short := f.signature(ed, "EdDSA", 0, header, payload)
	input = encode(header) + "." + encode(payload) + "."
	good = input + encode(string(short))
	for name, bad := range map[string][]byte{"zero": make([]byte, 64), "a byte short": short[:63], "a byte long": append(slices.Clone(short), 0), "the order added to S": addOrder(short)} {
		f.add(f.cause.signature, "EdDSA: "+name, input+encode(string(bad)), good)
	}
	f.transplants(es)
}

// addOrder is an EdDSA signature whose S is larger by the order of the group, which a lax verifier takes (RFC 8032 §5.1.7).
func addOrder(signature []byte) []byte {
	l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	reversed := slices.Clone(signature[32:])
	slices.Reverse(reversed)
	sum := new(big.Int).Add(new(big.Int).SetBytes(reversed), l).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	return slices.Concat(signature[:32], sum)
}

// transplants change what was signed and leave the signature as it was.
func (f *forger) transplants(es *key) {
	header, payload := f.header(es), f.payload()
	good := f.signed(es, header, payload)
	signature := good[strings.LastIndexByte(good, '.'):]
	for name, edited := range map[string]string{
		"another sub": strings.Replace(payload, `"`+f.subject+`"`, `"bob"`, 1), "a blank behind": payload + " ", "a blank before": " " + payload, "more claims": payload[:len(payload)-1] + `,"admin":true}`,
		"a longer life": f.payload(change{"exp": f.srv.Now().Unix() + 80_000}),
	} {
		f.add(f.cause.signature, "edited: "+name, encode(header)+"."+encode(edited)+signature, good)
	}
	for name, edited := range map[string]string{"a blank behind the header": header + " ", "no typ": f.header(es, change{"typ": nil}), "a jku": f.header(es, change{"jku": f.canary})} {
		f.add(f.cause.signature, "edited: "+name, encode(edited)+"."+encode(payload)+signature, good)
	}
}

// bombs are large, deep or many.
func (f *forger) bombs() {
	es := f.es()
	twin := f.good()
	deep := func(open, inner, shut string, n int) any {
		return raw(strings.Repeat(open, n) + inner + strings.Repeat(shut, n))
	}
	const depth, size = "nests deeper than 32 levels", "is larger than 16384 bytes"
	// The claims are a level themselves.
	f.add(depth, "32 arrays", f.good(change{"x": deep("[", "", "]", 32)}), f.good(change{"x": deep("[", "", "]", 31)}))
	f.add(depth, "32 objects", f.good(change{"x": deep(`{"a":`, "1", "}", 32)}), f.good(change{"x": deep(`{"a":`, "1", "}", 31)}))
	f.add(depth, "4,000 arrays", f.good(change{"x": deep("[", "", "]", 4000)}), twin)
	f.add(depth, "1,500 objects", f.good(change{"x": deep(`{"a":`, "1", "}", 1500)}), twin)
	f.add(depth, "objects and arrays by turns", f.good(change{"x": deep(`{"a":[`, "1", "]}", 1000)}), twin)
	open := strings.TrimSuffix(f.payload(), "}") + `,"x":` + strings.Repeat("[", 8000)
	f.add(depth, "8,000 arrays that nobody closes", f.signed(es, f.header(es), open), twin)
	f.add(depth, "a deep header", f.signed(es, f.header(es, change{"x": deep("[", "", "]", 2000)}), f.payload()), f.signed(es, f.header(es, change{"x": deep("[", "", "]", 31)}), f.payload()))
	f.add(size, "17 KiB of payload", f.good(change{"x": strings.Repeat("a", 17<<10)}), f.good(change{"x": strings.Repeat("a", 8<<10)}))
	f.add(size, "17 KiB of header", f.signed(es, f.header(es, change{"x": strings.Repeat("a", 17<<10)}), f.payload()), f.signed(es, f.header(es, change{"x": strings.Repeat("a", 8<<10)}), f.payload()))
	f.add(size, "a megabyte", f.good(change{"x": strings.Repeat("a", 1<<20)}), twin)
	f.add(size, "20,000 dots", strings.Repeat(".", 20_000), twin)
	f.add(causeCompact, "16,000 dots", strings.Repeat(".", 16_000), twin)
	f.add(causeCompact, "16,000 letters", strings.Repeat("A", 16_000), twin)
	f.add(f.cause.signature, "12 KiB of signature", twin[:strings.LastIndexByte(twin, '.')+1]+base64.RawURLEncoding.EncodeToString(make([]byte, 9<<10)), twin)
	// Small in text, large in memory, and signed by nobody.
	for name, value := range map[string]string{"objects": strings.Repeat(`{"":0},`, 1500) + "0", "arrays": strings.Repeat(`[[]],`, 2000) + "0", "numbers": strings.Repeat(`0,`, 5000) + "0"} {
		payload := f.payload(change{"x": raw("[" + value + "]")})
		f.add(f.cause.signature, "thousands of "+name, f.signed(f.stranger, f.header(es), payload), f.signed(es, f.header(es), payload))
	}
}
