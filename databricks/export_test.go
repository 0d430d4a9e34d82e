package databricks

import (
	"time"

	"github.com/lakegate/sts/exchange"
)

// DecodeAnswer is the strict reader of good answers.
func DecodeAnswer(body []byte, scopes []string, details exchange.Details) (exchange.Secret, time.Duration, error) {
	a, err := decodeAnswer(body, scopes, details)
	if err != nil {
		return "", 0, err
	}
	return a.token, a.expiresIn, nil
}

// DecodeRefusal is what is kept of a bad answer.
func DecodeRefusal(status int, body []byte) string { return decodeRefusal(status, body).Answer() }
