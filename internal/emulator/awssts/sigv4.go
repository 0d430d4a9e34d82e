package awssts

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// signature is what a request says of its signature.
type signature struct {
	accessKey, region, token string
	credentialDay            string
	date                     time.Time
	lasts                    time.Duration
	signed                   []string
	signature                string
	presigned                bool
}

const (
	algorithm  = "AWS4-HMAC-SHA256"
	dateLayout = "20060102T150405Z"
)

// signatureOf finds the signature in the header Authorization or in the query.
func signatureOf(r *http.Request) (*signature, *refusal) {
	incomplete := refuse(http.StatusBadRequest, "IncompleteSignature", "the signature lacks a part or has a malformed one")
	query := r.URL.Query()
	sig := &signature{lasts: window}
	var credential, signed, date string
	switch text, isHeader := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" "); {
	case isHeader:
		for _, part := range strings.Split(text, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch name {
			case "Credential":
				credential = value
			case "SignedHeaders":
				signed = value
			case "Signature":
				sig.signature = value
			}
		}
		date, sig.token = r.Header.Get("X-Amz-Date"), r.Header.Get("X-Amz-Security-Token")
	case query.Get("X-Amz-Algorithm") == algorithm:
		sig.presigned = true
		credential, signed, sig.signature = query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature")
		date, sig.token = query.Get("X-Amz-Date"), query.Get("X-Amz-Security-Token")
		seconds, err := strconv.Atoi(query.Get("X-Amz-Expires"))
		if err != nil || seconds < 1 {
			return nil, incomplete
		}
		sig.lasts = min(window, time.Duration(seconds)*time.Second)
	default:
		return nil, refuse(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	scope := strings.Split(credential, "/")
	at, err := time.Parse(dateLayout, date)
	if err != nil || len(scope) != 5 || scope[3] != "sts" || scope[4] != "aws4_request" || scope[1] != at.Format("20060102") {
		return nil, incomplete
	}
	sig.accessKey, sig.credentialDay, sig.region, sig.date = scope[0], scope[1], scope[2], at
	sig.signed = strings.Split(signed, ";")
	return sig, unsigned(r, sig.signed)
}

// unsigned refuses a request with a header of AWS's own, or a host, that the signature doesn't cover.
func unsigned(r *http.Request, signed []string) *refusal {
	for name := range r.Header {
		if name := strings.ToLower(name); strings.HasPrefix(name, "x-amz-") && !slices.Contains(signed, name) {
			return refuse(http.StatusForbidden, "SignatureDoesNotMatch", "There were headers present in the request which were not signed")
		}
	}
	if !slices.Contains(signed, "host") {
		return refuse(http.StatusForbidden, "SignatureDoesNotMatch", "'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return nil
}

// computed is the signature that the request has to have. Its body is empty.
func (sig *signature) computed(r *http.Request, secret string) string {
	var headers strings.Builder
	for _, name := range sig.signed {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	canonical := strings.Join([]string{
		r.Method, "/", canonicalQuery(r.URL.Query()), headers.String(), strings.Join(sig.signed, ";"), hexOf(sha256Of("")),
	}, "\n")
	scope := sig.credentialDay + "/" + sig.region + "/sts/aws4_request"
	toSign := algorithm + "\n" + sig.date.Format(dateLayout) + "\n" + scope + "\n" + hexOf(sha256Of(canonical))
	key := []byte("AWS4" + secret)
	for _, step := range []string{sig.credentialDay, sig.region, "sts", "aws4_request", toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(step))
		key = mac.Sum(nil)
	}
	return hexOf(key)
}

// canonicalQuery is the query without its signature, sorted, all but unreserved characters encoded.
func canonicalQuery(query url.Values) string {
	var pairs []string
	for name, values := range query {
		for _, value := range values {
			if name != "X-Amz-Signature" {
				pairs = append(pairs, encode(name)+"="+encode(value))
			}
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

func encode(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

func sha256Of(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
