package oauth

import "net/url"

// Parameters are all parameters of a body, as the decoder sees them.
func Parameters(body string) (url.Values, error) {
	all := url.Values{}
	for body != "" {
		var name, value string
		var err error
		blank := body[0] == '&'
		if name, value, body, err = cutParameter(body); err != nil {
			return nil, err
		}
		if !blank {
			all[name] = append(all[name], value)
		}
	}
	return all, nil
}

// Decodes reports whether the decoder accepts a body.
func Decodes(body string) bool {
	_, err := decode(body)
	return err == nil
}

// DecodeInquiry is the token of a body, and whether the decoder accepts it.
func DecodeInquiry(body string) (token string, ok bool) {
	f, err := decodeInquiry(body)
	if err != nil {
		return "", false
	}
	return f.token.Reveal(), true
}
