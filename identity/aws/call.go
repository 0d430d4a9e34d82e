package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/jwt"
	"github.com/lakegate/sts/internal/outbound"
)

// maxAnswerBytes bounds what AWS may answer; it is some 500 bytes.
const maxAnswerBytes = 64 << 10

// retry is after how long a caller may try again where AWS can't be asked.
const retry = 2 * time.Second

// maxAsking is how many requests ask one region's AWS STS at a time. Each holds a place among the requests under way, which
// are there for the tokens of all providers.
const maxAsking = 128

var errCrowded = errors.New("is slow to answer, and too many requests wait for it already")

// ask sends the request to AWS and reads whose it is.
func (t *trial) ask(ctx context.Context) (*caller, error) {
	defer t.place.asking.Add(-1)
	if t.place.asking.Add(1) > maxAsking {
		return nil, t.unavailable(errCrowded)
	}
	status, body, err := t.send(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err() // the caller's own deadline says nothing of AWS
	}
	if err == nil {
		var who *caller
		var refused error
		if who, refused, err = t.read(status, body); err == nil {
			t.place.trouble.Store(nil)
			return who, refused
		}
	}
	t.place.trouble.Store(&trouble{err: err, at: t.now})
	return nil, t.unavailable(err)
}

// unavailable is the answer where AWS has not judged a request.
func (t *trial) unavailable(err error) error {
	return exchange.Refuse(exchange.CodeUnavailable, exchange.ReasonProviderUnavailable,
		"AWS STS of %s can't be asked at the moment whose request it is (identity provider %s); sign a fresh one shortly", t.place.region.name, t.provider.Name).
		After(retry).Because(err)
}

// send makes the call. The connection goes to the configured endpoint; the host is the one that was signed.
func (t *trial) send(ctx context.Context) (status int, body string, err error) {
	request, err := t.request.HTTP(ctx, t.place.endpoint)
	if err != nil {
		return 0, "", err
	}
	// Not sent: it tells the client to ask again where AWS has just closed the connection that it had kept.
	request.Header["Idempotency-Key"] = []string{}
	response, err := t.provider.client.Do(request)
	if err != nil {
		return 0, "", outbound.Redact(err)
	}
	defer func() { _ = response.Body.Close() }()
	t.provider.clock.Answered(response.Header, t.clock())
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), outbound.Redact(err)
}

// HTTP is the request as it goes to AWS by way of an endpoint, a URL without a path: made of what was parsed and of nothing
// else. It asks for JSON, which AWS writes as well as XML.
func (r *Request) HTTP(ctx context.Context, endpoint string) (*http.Request, error) {
	method, query := http.MethodPost, paramAction+"="+action+"&"+paramVersion+"="+version
	if r.Presigned {
		method = http.MethodGet
		query += "&" + r.presignedQuery()
	}
	request, err := http.NewRequestWithContext(ctx, method, endpoint+"/?"+query, http.NoBody)
	if err != nil {
		return nil, errors.New("the endpoint is no URL")
	}
	request.Host = r.Host
	request.Header.Set("Accept", "application/json")
	request.Header.Set(AudienceHeader, r.Audience)
	if r.Presigned {
		return request, nil
	}
	request.Header.Set(headerDate, r.Date.Format(dateLayout))
	if r.ContentHash {
		request.Header.Set(headerContentHash, emptyHash)
	}
	if r.SecurityToken != "" {
		request.Header.Set(headerSecurityToken, r.SecurityToken)
	}
	request.Header.Set(headerAuthorization, algorithm+" Credential="+r.credential()+
		", SignedHeaders="+strings.Join(r.signedHeaders(), ";")+", Signature="+r.Signature)
	return request, nil
}

// presignedQuery are the parameters behind Action and Version.
func (r *Request) presignedQuery() string {
	pairs := []string{
		paramAlgorithm + "=" + algorithm,
		paramCredential + "=" + escape(r.credential()),
		paramDate + "=" + r.Date.Format(dateLayout),
		paramExpires + "=" + strconv.FormatInt(int64(r.Expires/time.Second), 10),
	}
	if r.SecurityToken != "" {
		pairs = append(pairs, paramSecurityToken+"="+escape(r.SecurityToken))
	}
	return strings.Join(append(pairs, paramSignedHeaders+"="+escape(strings.Join(r.signedHeaders(), ";")), paramSignature+"="+r.Signature), "&")
}

// read tells what an answer means: whose request it is; that it is refused; or, as err, that AWS didn't judge it.
func (t *trial) read(status int, body string) (who *caller, refused, err error) {
	if status == http.StatusOK {
		who, err = parseCaller(body, t.place.region.partition)
		return who, nil, err
	}
	code := errorCode(body)
	switch {
	case status != http.StatusForbidden && status != http.StatusBadRequest, code == "", throttled[code]:
		return nil, nil, fmt.Errorf("answered %d", status)
	case code == "ExpiredToken", code == "ExpiredTokenException":
		return nil, t.Refuse(exchange.ReasonSubjectTokenExpired, "is signed with AWS credentials that have expired; have the host give fresh ones, and sign a new one"), nil
	}
	return nil, t.Invalid("%s", refusals(code)), nil
}

// throttled are codes of answers that say nothing of the request.
var throttled = map[string]bool{"Throttling": true, "ThrottlingException": true, "RequestLimitExceeded": true, "TooManyRequestsException": true}

// refusals words AWS's codes; its own messages go nowhere, since they tell the string that was to be signed.
func refusals(code string) string {
	switch code {
	case "SignatureDoesNotMatch", "IncompleteSignature":
		return "has a signature that AWS does not confirm, or a date that AWS's clock does not accept"
	case "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId":
		return "is signed with an access key, or carries a security token, that AWS does not know"
	case "RegionDisabledException", "OptInRequired":
		return "is for a region that is not enabled in its AWS account"
	case "AccessDenied", "AccessDeniedException":
		return "is denied by AWS"
	}
	return "is refused by AWS"
}

// errorCode is the code of an error document; "" where it is none, as where a proxy on the way answers.
func errorCode(body string) string {
	object, err := jwt.ParseObject(body)
	if err != nil {
		return ""
	}
	document, _ := object["Error"].(map[string]any)
	code, _ := document["Code"].(string)
	return code
}
