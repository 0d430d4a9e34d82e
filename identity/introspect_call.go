package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/lakegate/sts/internal/jwt"
	"github.com/lakegate/sts/internal/outbound"
)

// answer is what an introspection endpoint says of a token (RFC 7662 §2.2).
type answer struct {
	active bool
	claims map[string]any // of an active one, active included; shared, and not to be changed
	memory int            // of the claims
}

var (
	// errCredential is that the provider doesn't take our client credential (RFC 7662 §2.3).
	errCredential = errors.New("it refuses our credential")
	// errQuestion is that it doesn't take the question.
	errQuestion = errors.New("it refuses the question")
)

// call asks the endpoint. The token goes in the body, and the credential in the header (RFC 7662 §2.1).
func (i *introspector) call(ctx context.Context, token string) (a answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p) // foreign bytes that make a parser panic are this provider's trouble alone
		}
	}()
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, i.settings.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return a, errors.New("its address is no URL")
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	// Each part is form-encoded before it is joined (RFC 6749 §2.3.1 and Appendix B).
	request.SetBasicAuth(url.QueryEscape(i.settings.ClientID), url.QueryEscape(i.settings.ClientSecret.Reveal()))
	// Not sent: it tells the client to ask again where the provider has just closed the connection that it had kept.
	request.Header["Idempotency-Key"] = []string{}
	response, err := i.client.Do(request)
	if err != nil {
		return a, outbound.Redact(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := checkStatus(response); err != nil {
		return a, err
	}
	i.skew.date.Answered(response.Header, i.now())
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return a, fmt.Errorf("%s: %w", request.URL.Host, outbound.Redact(err))
	}
	return parseAnswer(string(text))
}

func checkStatus(response *http.Response) error {
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: it answered %d", errCredential, response.StatusCode)
	case http.StatusBadRequest:
		return fmt.Errorf("%w: it answered 400", errQuestion)
	default:
		return fmt.Errorf("it answered %d", response.StatusCode)
	}
	// An error page, or a signed answer (RFC 9701) that wasn't asked for.
	if media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return errors.New("its answer is not of type application/json")
	}
	return nil
}

// parseAnswer reads an answer as strictly as claims are read. Only the literal true makes a token active.
func parseAnswer(text string) (answer, error) {
	claims, memory, err := jwt.MeasureObject(text)
	if err != nil {
		return answer{}, fmt.Errorf("its answer %w", err)
	}
	switch active, ok := claims["active"].(bool); {
	case !ok:
		return answer{}, errors.New("its answer has no active, or one that is neither true nor false")
	case !active:
		return answer{}, nil
	}
	return answer{active: true, claims: claims, memory: memory}, nil
}
