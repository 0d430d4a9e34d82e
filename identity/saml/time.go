package saml

import (
	"errors"
	"regexp"
	"time"
)

// instant is an xs:dateTime in UTC, the one form that SAML has (SAML 2.0 core §1.3.3). Some write seven digits of a fraction.
var instant = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$`)

// parseTime reads a time. Its error says what the text is.
func parseTime(text string) (time.Time, error) {
	if !instant.MatchString(text) {
		return time.Time{}, errors.New("is no time in UTC, such as 2006-01-02T15:04:05Z")
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, errors.New("is a time that doesn't exist")
	}
	return at, nil
}
