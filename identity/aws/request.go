package aws

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Request is all that there is in a GetCallerIdentity request: it and its token say the same, and nothing else is sent to AWS.
type Request struct {
	// Presigned is true where the signature stands in the URL of a GET, false where it stands in a header of a POST.
	Presigned bool
	// Host is the one that was signed, in small letters. Nobody has said yet that it is one of AWS.
	Host string
	// Audience is for whom the request was made, as it was signed.
	Audience string
	// AccessKey names the key that signed it.
	AccessKey string
	// SecurityToken belongs to a key that AWS gave for a time; "" for a key without end.
	SecurityToken string
	// Region is that of the signature's scope.
	Region string
	// Date is when it was signed, in whole seconds.
	Date time.Time
	// Expires is how long after its date it is good by its own word; of a presigned one only.
	Expires time.Duration
	// ContentHash says that the header x-amz-content-sha256 was sent and signed, too; of one that isn't presigned only.
	ContentHash bool
	// Signature is 64 digits in hex, in small letters.
	Signature string
}

const (
	algorithm  = "AWS4-HMAC-SHA256"
	dateLayout = "20060102T150405Z"
	maxExpires = 7 * 24 * time.Hour // AWS's own bound
)

// emptyHash is the SHA-256 of a body without bytes.
var emptyHash = func() string { sum := sha256.Sum256(nil); return hex.EncodeToString(sum[:]) }()

// Parse reads a token. Its errors hold no text of it. Nothing is said yet of the signature, which AWS alone can check, and
// nothing of times and audience; but all that a Request has is covered by that signature.
func Parse(text string) (*Request, error) {
	e, err := open(text)
	if err != nil {
		return nil, err
	}
	r := &Request{}
	host, params, err := parseURL(e.url)
	if err != nil {
		return nil, err
	}
	r.Host, r.Audience = host, e.headers[AudienceHeader]
	if own, there := e.headers[headerHost]; there && own != host {
		return nil, errors.New("has a header host that differs from the host of its url")
	}
	switch e.method {
	case "POST":
		err = r.fromHeaders(e.headers, params)
	case "GET":
		r.Presigned = true
		err = r.fromQuery(e.headers, params)
	default:
		err = errors.New("has a method other than POST and GET")
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// fromHeaders reads a request whose signature is in its header Authorization.
func (r *Request) fromHeaders(headers, params map[string]string) error {
	if err := only(params, actionParams); err != nil {
		return err
	}
	m := authorization.FindStringSubmatch(headers[headerAuthorization])
	if m == nil {
		return fmt.Errorf("must have a header authorization of the form %s Credential=KEY/DAY/REGION/sts/aws4_request, SignedHeaders=NAMES, Signature=HEX", algorithm)
	}
	if hash, there := headers[headerContentHash]; there {
		if hash != emptyHash {
			return errors.New("has a header x-amz-content-sha256 of another body than an empty one")
		}
		r.ContentHash = true
	}
	r.SecurityToken, r.Signature = headers[headerSecurityToken], m[3]
	if err := r.checkSigned(m[2], headers); err != nil {
		return err
	}
	return r.scope(m[1], headers[headerDate])
}

// fromQuery reads a presigned request.
func (r *Request) fromQuery(headers, params map[string]string) error {
	for name := range headers {
		if name != headerHost && name != AudienceHeader {
			return fmt.Errorf("has a header %s beside a signature in its url", name)
		}
	}
	if params[paramAlgorithm] != algorithm {
		return fmt.Errorf("must have an X-Amz-Algorithm of %s", algorithm)
	}
	if !signatureText.MatchString(params[paramSignature]) {
		return errors.New("must have an X-Amz-Signature of 64 digits in hex, in small letters")
	}
	seconds, err := strconv.ParseInt(params[paramExpires], 10, 32)
	if err != nil || seconds < 1 || seconds > int64(maxExpires/time.Second) || strconv.FormatInt(seconds, 10) != params[paramExpires] {
		return errors.New("must have an X-Amz-Expires of 1 to 604800 seconds")
	}
	token, there := params[paramSecurityToken]
	if there && !isOpaque(token) {
		return errors.New("has an X-Amz-Security-Token that is empty or no printable ASCII")
	}
	r.Expires = time.Duration(seconds) * time.Second
	r.SecurityToken, r.Signature = token, params[paramSignature]
	if err := r.checkSigned(params[paramSignedHeaders], headers); err != nil {
		return err
	}
	return r.scope(params[paramCredential], params[paramDate])
}

var (
	// One form, as AWS documents it and its libraries write it.
	authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^ ,]+), SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$`)
	signatureText = regexp.MustCompile(`^[0-9a-f]{64}$`)
	credential    = regexp.MustCompile(`^([A-Z0-9]{16,128})/([0-9]{8})/([a-z0-9-]{1,32})/sts/aws4_request$`)
)

// scope reads the credential and the date, which must agree about the day.
func (r *Request) scope(text, date string) error {
	m := credential.FindStringSubmatch(text)
	if m == nil {
		return errors.New("must have a credential of the form ACCESSKEY/DAY/REGION/sts/aws4_request")
	}
	at, err := time.Parse(dateLayout, date)
	if err != nil || at.Format(dateLayout) != date {
		return errors.New("must have an x-amz-date of the form 20060102T150405Z")
	}
	if m[2] != date[:8] {
		return errors.New("has a credential of another day than its x-amz-date")
	}
	r.AccessKey, r.Region, r.Date = m[1], m[3], at
	return nil
}

// checkSigned wants the signature to cover every header that is there, and each that it covers to be there. The host is
// always there: a request can't be sent without it.
func (r *Request) checkSigned(list string, headers map[string]string) error {
	signed := strings.Split(list, ";")
	if !slices.IsSorted(signed) || len(slices.Compact(slices.Clone(signed))) != len(signed) {
		return errors.New("has a list of signed headers that isn't sorted, or repeats one")
	}
	if !slices.Contains(signed, headerHost) {
		return errors.New("has a signature that doesn't cover its host")
	}
	if r.Audience == "" {
		return fmt.Errorf("has no header %s; sign it along with the request", AudienceHeader)
	}
	for _, name := range headerNames {
		if _, there := headers[name]; there && name != headerAuthorization && !slices.Contains(signed, name) {
			return fmt.Errorf("has a header %s that its signature doesn't cover", name)
		}
	}
	for _, name := range signed {
		if _, there := headers[name]; !there && name != headerHost || name == headerAuthorization {
			return errors.New("has a signature that covers a header which isn't among its headers")
		}
	}
	if _, there := headers[headerSecurityToken]; there && !isOpaque(r.SecurityToken) {
		return errors.New("has a header x-amz-security-token with a space inside")
	}
	return nil
}

// isOpaque wants printable ASCII without spaces.
func isOpaque(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// signedHeaders are the headers that the signature covers, by name.
func (r *Request) signedHeaders() []string {
	names := []string{headerHost, AudienceHeader}
	if !r.Presigned {
		names = append(names, headerDate)
		if r.ContentHash {
			names = append(names, headerContentHash)
		}
		if r.SecurityToken != "" {
			names = append(names, headerSecurityToken)
		}
	}
	slices.Sort(names)
	return names
}

// credential is the credential's text.
func (r *Request) credential() string {
	return r.AccessKey + "/" + r.Date.Format("20060102") + "/" + r.Region + "/sts/aws4_request"
}
