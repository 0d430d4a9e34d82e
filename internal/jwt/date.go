package jwt

import (
	"errors"
	"math"
	"time"
)

// maxDate is the last second of the year 9999, beyond which times no longer print.
const maxDate = 253402300799

var errDate = errors.New("must be seconds since 1970, as a JSON number")

// NumericDate reads a claim's value as a time (RFC 7519 §2): a number of seconds since 1970, fractions allowed. Its
// callers say which claim it was; nil is a value like any other and refused.
func NumericDate(value any) (time.Time, error) {
	switch v := value.(type) {
	case int64:
		if 0 <= v && v <= maxDate {
			return time.Unix(v, 0), nil
		}
	case float64:
		if 0 <= v && v <= maxDate {
			whole, fraction := math.Modf(v)
			return time.Unix(int64(whole), int64(fraction*float64(time.Second))), nil
		}
	}
	return time.Time{}, errDate
}
