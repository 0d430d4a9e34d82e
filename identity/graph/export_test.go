package graph

import "github.com/lakegate/sts/internal/jwt"

// ReadMembers reads Graph's answer.
func ReadMembers(text string) ([]string, error) {
	answer, err := jwt.ParseObject(text)
	if err != nil {
		return nil, err
	}
	return readMembers(answer)
}
