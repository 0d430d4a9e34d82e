package outbound

import (
	"errors"
	"fmt"
	"net/url"
)

// Redact returns err with only scheme and host of the URL that [http.Client] puts into every error: a query, a path or
// a user part may hold a secret. The cause stays, for errors.Is and errors.As. Call it where an answer's error is first
// seen.
func Redact(err error) error {
	var u *url.Error
	if !errors.As(err, &u) {
		return err
	}
	where := "a server"
	if parsed, parseErr := url.Parse(u.URL); parseErr == nil && parsed.Host != "" {
		where = parsed.Scheme + "://" + parsed.Host
	}
	return fmt.Errorf("%s %s: %w", u.Op, where, Redact(u.Err))
}
