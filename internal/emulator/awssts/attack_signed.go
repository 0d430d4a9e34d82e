package awssts

import (
	"encoding/json"
	"strings"
	"time"
)

// headerAttacks put headers in, leave them out, or let the signature not see them.
func (s *Server) headerAttacks(t Target) []plan {
	set := func(name, value string) func(*Draft) { return func(d *Draft) { d.Set(name, value) } }
	add := func(name, value string) func(*Draft) { return func(d *Draft) { d.Add(name, value) } }
	const other = "has a header other than"
	return []plan{
		{name: "no audience", cause: "has no header x-sts-audience", ask: func(a *Ask) { a.Audience = "" }},
		{name: "an audience that isn't signed", cause: "header x-sts-audience that its signature doesn't cover", ask: func(a *Ask) { a.Unsigned = true }},
		{name: "an audience that isn't signed, presigned", presigned: true, cause: "header x-sts-audience that its signature doesn't cover", ask: func(a *Ask) { a.Unsigned = true }},
		{name: "another's audience, signed", cause: "was made for another service", ask: func(a *Ask) { a.Audience = "https://other.example" }},
		{name: "another's audience, presigned", presigned: true, cause: "was made for another service", ask: func(a *Ask) { a.Audience = "https://other.example" }},
		{name: "an audience with a slash more", cause: "was made for another service", ask: func(a *Ask) { a.Audience += "/" }},
		{name: "an audience in capitals", cause: "was made for another service", ask: func(a *Ask) { a.Audience = strings.ToUpper(a.Audience) }},
		{name: "two audiences", cause: "repeats the header x-sts-audience", draft: add("X-STS-Audience", t.Audience)},
		{name: "another's audience made into ours", cause: "has a signature that AWS does not confirm",
			ask: func(a *Ask) { a.Audience = "https://other.example" }, draft: set(AudienceHeader, t.Audience)},
		{name: "a request of Google's federation", cause: other, ask: func(a *Ask) {
			a.Headers = append(a.Headers, Header{"x-goog-cloud-target-resource", "//iam.googleapis.com/x"})
		}},
		{name: "a request of Vault", cause: other, ask: func(a *Ask) { a.Headers = append(a.Headers, Header{"X-Vault-AWS-IAM-Server-ID", "vault.example"}) }},
		{name: "an unknown header, signed", cause: other, ask: func(a *Ask) { a.Headers = append(a.Headers, Header{"X-Forwarded-Host", t.Canary}) }},
		{name: "an unknown header, unsigned", cause: other, draft: add("X-Forwarded-Host", t.Canary)},
		{name: "Transfer-Encoding", cause: other, draft: add("Transfer-Encoding", "chunked")},
		{name: "a method override", cause: other, draft: add("X-HTTP-Method-Override", "DELETE")},
		{name: "a name with a line break", cause: other, draft: add("x-amz-date\r\nx", "1")},
		{name: "a name with a space", cause: other, draft: add("host ", t.Canary)},
		{name: "a name with a folded letter", cause: other, draft: add("ho\u017ft", t.Canary)},
		{name: "a value with a line break", cause: "other characters than printable ASCII", draft: set(AudienceHeader, t.Audience+"\r\nHost: "+t.Canary)},
		{name: "a value with a line feed at its end", cause: "other characters than printable ASCII", draft: set("x-amz-date", "20260101T000000Z\n")},
		{name: "a value with a null", cause: "other characters than printable ASCII", draft: set(AudienceHeader, t.Audience+"\x00")},
		{name: "a value with spaces around it", cause: "other characters than printable ASCII", draft: set(AudienceHeader, " "+t.Audience)},
		{name: "an empty value", cause: "other characters than printable ASCII", draft: add("x-amz-content-sha256", "")},
		{name: "host twice", cause: "repeats the header host", draft: add("Host", t.Canary)},
		{name: "host twice, the same", cause: "repeats the header host", draft: add("HOST", s.Host())},
		{name: "the date twice", cause: "repeats the header x-amz-date", draft: add("x-amz-date", "20990101T000000Z")},
		{name: "two authorizations", cause: "repeats the header authorization", draft: add("authorization", "x")},
		{name: "no authorization", cause: "must have a header authorization", draft: set("authorization", "")},
		{name: "no date", cause: "covers a header which isn't among its headers", draft: set("x-amz-date", "")},
		{name: "the hash of another body", cause: "of another body than an empty one", ask: func(a *Ask) {
			a.Headers = append(a.Headers, Header{"x-amz-content-sha256", strings.Repeat("0", 64)})
		}},
		{name: "the hash of a body, unsigned", cause: "x-amz-content-sha256 that its signature doesn't cover", draft: add("x-amz-content-sha256", hexOf(sha256Of("")))},
		{name: "a security token that isn't signed", cause: "x-amz-security-token that its signature doesn't cover",
			key: func() *Key { return s.User(t.Account, "alice") }, draft: add("x-amz-security-token", "x")},
		{name: "a security token left out", cause: "covers a header which isn't among its headers", draft: set("x-amz-security-token", "")},
	}
}

// signatureAttacks change the words around the signature.
func (s *Server) signatureAttacks() []plan {
	edit := func(old, with string) func(*Draft) {
		return func(d *Draft) { d.Set("authorization", strings.Replace(d.Header("authorization"), old, with, 1)) }
	}
	const form, unconfirmed = "must have a header authorization of the form", "has a signature that AWS does not confirm"
	return []plan{
		{name: "another algorithm", cause: form, draft: edit("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")},
		{name: "the old signature", cause: form, draft: func(d *Draft) { d.Set("authorization", "AWS AKIAIOSFODNN7EXAMPLE:c2lnbmF0dXJl") }},
		{name: "a signature twice", cause: form, draft: edit(", Signature=", ", Signature="+strings.Repeat("0", 64)+", Signature=")},
		{name: "a credential twice", cause: form, draft: edit("Credential=", "Credential=AKIAIOSFODNN7EXAMPLE/20260101/eu-central-1/sts/aws4_request, Credential=")},
		{name: "a signature in capitals", cause: form, draft: func(d *Draft) {
			before, after, _ := strings.Cut(d.Header("authorization"), "Signature=")
			d.Set("authorization", before+"Signature="+strings.ToUpper(after[:63])+"A")
		}},
		{name: "a signature cut short", cause: form, draft: func(d *Draft) { v := d.Header("authorization"); d.Set("authorization", v[:len(v)-1]) }},
		{name: "another signature", cause: unconfirmed, draft: func(d *Draft) {
			v := d.Header("authorization")
			d.Set("authorization", v[:len(v)-64]+strings.Repeat("0", 64))
		}},
		{name: "another service in the scope", cause: "must have a credential of the form", draft: edit("/sts/", "/iam/")},
		{name: "another region in the scope", cause: "is signed for another region", ask: func(a *Ask) { a.Region = "us-west-2" }},
		{name: "an access key of other characters", cause: "must have a credential of the form", draft: edit("Credential=A", "Credential=a")},
		{name: "another's access key", cause: "AWS does not know", draft: func(d *Draft) {
			before, after, _ := strings.Cut(d.Header("authorization"), "Credential=")
			d.Set("authorization", before+"Credential=AKIAIOSFODNN7EXAMPL"+after[20:])
		}},
		{name: "another day in the scope", cause: "of another day", draft: func(d *Draft) {
			day := d.Header("x-amz-date")[:8]
			d.Set("authorization", strings.Replace(d.Header("authorization"), day, "20010101", 1))
		}},
		{name: "signed headers in another order", cause: "isn't sorted", draft: edit("host;x-amz-date", "x-amz-date;host")},
		{name: "signed headers with one twice", cause: "isn't sorted", draft: edit("host;", "host;host;")},
		{name: "host not among the signed headers", cause: "doesn't cover its host", draft: edit("SignedHeaders=host;", "SignedHeaders=")},
		{name: "a signed header that isn't there", cause: "covers a header which isn't among its headers", draft: edit("host;", "content-type;host;")},
		{name: "the date not among the signed headers", cause: "x-amz-date that its signature doesn't cover", draft: edit("x-amz-date;", "")},
		{name: "the date moved on", cause: unconfirmed, draft: func(d *Draft) {
			at, _ := time.Parse(dateLayout, d.Header("x-amz-date"))
			if later := at.Add(-time.Second); later.Format("20060102") == at.Format("20060102") {
				at = later
			} else {
				at = at.Add(time.Second)
			}
			d.Set("x-amz-date", at.Format(dateLayout))
		}},
		{name: "a date of another form", cause: "must have an x-amz-date of the form", draft: func(d *Draft) { d.Set("x-amz-date", "2026-01-01T00:00:00Z") }},
		{name: "too old", cause: "sign a fresh one for each exchange", ask: func(a *Ask) { a.At = s.Now().Add(-16 * time.Minute) }},
		{name: "too old by its own word", presigned: true, cause: "sign a fresh one for each exchange", ask: func(a *Ask) { a.At, a.Expires = s.Now().Add(-time.Minute), 30*time.Second }},
		{name: "too old, and lasting for days by its own word", presigned: true, cause: "sign a fresh one for each exchange", ask: func(a *Ask) { a.At, a.Expires = s.Now().Add(-16*time.Minute), 24*time.Hour }},
		{name: "of the future", cause: "ahead of our clock", ask: func(a *Ask) { a.At = s.Now().Add(5 * time.Minute) }},
	}
}

// textAttacks write the token so that two readers see two tokens.
func (s *Server) textAttacks() []plan {
	return []plan{
		{name: "url twice", cause: "repeats a name", text: func(x string) string { return `{"url":"https://x/",` + x[1:] }},
		{name: "url in another letter case beside it", cause: "a member other than", text: func(x string) string { return `{"URL":"https://x/",` + x[1:] }},
		{name: "url with a folded letter... of headers", cause: "a member other than", text: func(x string) string { return `{"header\u017f":[],` + x[1:] }},
		{name: "a body", cause: "a member other than", text: func(x string) string { return `{"body":"Action=GetSessionToken",` + x[1:] }},
		{name: "a value twice in a header", cause: "repeats a name", text: func(x string) string { return strings.Replace(x, `{"key":"host",`, `{"key":"host","key":"host",`, 1) }},
		{name: "another member in a header", cause: "isn't an object of key and value", text: func(x string) string { return strings.Replace(x, `{"key":"host",`, `{"key":"host","Key":"host",`, 1) }},
		{name: "a header that is a list", cause: "isn't an object of key and value", text: func(x string) string { return strings.Replace(x, `"headers":[`, `"headers":[["host"],`, 1) }},
		{name: "a header whose value is a number", cause: "isn't an object of key and value", text: func(x string) string {
			return strings.Replace(x, `"headers":[`, `"headers":[{"key":"x-amz-content-sha256","value":1},`, 1)
		}},
		{name: "headers as an object", cause: "must have url and method", text: func(x string) string { return replaceHeaders(x, `{}`) }},
		{name: "headers as null", cause: "must have url and method", text: func(x string) string { return replaceHeaders(x, `null`) }},
		{name: "method in small letters", cause: "a method other than", draft: func(d *Draft) { d.Method = "post" }},
		{name: "another method", cause: "a method other than", draft: func(d *Draft) { d.Method = "DELETE" }},
		{name: "a method with a line break", cause: "a method other than", draft: func(d *Draft) { d.Method = "POST / HTTP/1.1\r\nHost: x" }},
		{name: "the other method", cause: "has a header", draft: func(d *Draft) { d.Method = "GET" }},
		{name: "more behind the token", cause: "goes on behind", text: func(x string) string { return x + "{}" }},
		{name: "cut off", cause: "is not well-formed JSON", text: func(x string) string { return x[:len(x)-1] }},
		{name: "a list around it", cause: "percent-encoded", text: func(x string) string { return "%zz[" + x + "]" }},
		{name: "encoded twice", cause: "is not a JSON object", text: func(x string) string { return encode(encode(x)) }},
		{name: "huge", cause: "has more than 16384 bytes", text: func(x string) string { return x + strings.Repeat(" ", 20<<10) }},
		{name: "nested deep", cause: "nests deeper", text: func(x string) string {
			return `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "," + x[1:]
		}},
	}
}

func replaceHeaders(text, with string) string {
	var members map[string]json.RawMessage
	_ = json.Unmarshal([]byte(text), &members) // a Draft's own
	members["headers"] = json.RawMessage(with)
	out, _ := json.Marshal(members)
	return string(out)
}

// judgedAttacks are good requests, of somebody who isn't accepted.
func (s *Server) judgedAttacks(t Target) []plan {
	partition := "arn:" + partitionOf(s.region)
	other := func(arn string) func() *Key { return func() *Key { return s.Other(t.Account, partition+arn) } }
	return []plan{
		{name: "a role of another account", cause: "not among account_ids", key: func() *Key { return s.Role("999999999999", "etl", "session-1") }},
		{name: "another account's role with our account in its name", cause: "not among account_ids", key: func() *Key { return s.Role("999999999999", "role-"+t.Account, t.Account) }},
		{name: "the root user", cause: "speaks of the root user", key: other(":iam::" + t.Account + ":root")},
		{name: "a federated user", cause: "speaks of a federated user", key: other(":sts::" + t.Account + ":federated-user/etl")},
		{name: "a federated user called like a role", cause: "neither an IAM role nor an IAM user", key: other(":sts::" + t.Account + ":federated-users/assumed-role/etl")},
		{name: "a role's name with a slash", cause: "neither an IAM role nor an IAM user", key: func() *Key { return s.Role(t.Account, "a/etl", "session-1") }},
		{name: "a user whose path has a role's ARN in it", cause: "an IAM user whose path", key: func() *Key { return s.User(t.Account, "x:role/etl") }},
		{name: "a user whose path has an account's role in it", cause: "an IAM user whose path", key: func() *Key { return s.User(t.Account, "arn:aws:iam::"+t.Account+":role/etl/a") }},
		{name: "a user in place of a session", cause: "neither an IAM role nor an IAM user", key: other(":iam::" + t.Account + ":assumed-role/etl/session-1")},
		{name: "credentials that have expired", cause: "credentials that have expired", key: func() *Key {
			k := s.Role(t.Account, "etl", "session-1")
			s.End(k)
			return k
		}},
	}
}
