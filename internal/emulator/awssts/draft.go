package awssts

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// AudienceHeader names the service that a request is made for.
const AudienceHeader = "x-sts-audience"

// Draft is a request that is signed and not sent. Whatever is changed in it now, its signature doesn't know.
type Draft struct {
	Method  string
	URL     string
	Headers []Header
}

// Header is one of a Draft.
type Header struct{ Key, Value string }

// Ask is what to sign. The zero value of all but Audience is what the comment says.
type Ask struct {
	Audience  string
	At        time.Time     // default: the server's now
	Presigned bool          // in the URL of a GET instead of a header of a POST
	Expires   time.Duration // of a presigned one; default 15 min
	URL       string        // default: the server's, with GetCallerIdentity
	Region    string        // of the scope; default the server's
	Headers   []Header      // signed beside the usual ones
	Unsigned  bool          // the audience goes in after the request is signed
}

// Sign has AWS's own library sign a request.
func (s *Server) Sign(k *Key, ask Ask) (*Draft, error) {
	if ask.URL == "" {
		ask.URL = "https://" + s.Host() + "/?Action=GetCallerIdentity&Version=2011-06-15"
	}
	if ask.At.IsZero() {
		ask.At = s.Now()
	}
	if ask.Region == "" {
		ask.Region = s.region
	}
	d := &Draft{Method: http.MethodPost, URL: ask.URL}
	if ask.Presigned {
		if ask.Expires == 0 {
			ask.Expires = window
		}
		d.Method = http.MethodGet
		d.URL += "&X-Amz-Expires=" + strconv.Itoa(int(ask.Expires/time.Second))
	}
	r, err := http.NewRequestWithContext(context.Background(), d.Method, d.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	for _, h := range ask.Headers {
		r.Header.Add(h.Key, h.Value)
	}
	if ask.Audience != "" && !ask.Unsigned {
		r.Header.Set(AudienceHeader, ask.Audience)
	}
	if err := d.sign(k, r, ask); err != nil {
		return nil, err
	}
	if ask.Audience != "" && ask.Unsigned {
		d.Headers = append(d.Headers, Header{AudienceHeader, ask.Audience})
	}
	s.Remember(d.signature()) // which every text of it holds
	return d, nil
}

// sign fills in URL and headers.
func (d *Draft) sign(k *Key, r *http.Request, ask Ask) error {
	who := aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret, SessionToken: k.Token}
	d.Headers = []Header{{"host", r.URL.Host}}
	headers := r.Header
	if ask.Presigned {
		signedURL, signed, err := v4.NewSigner().PresignHTTP(context.Background(), who, r, hexOf(sha256Of("")), "sts", ask.Region, ask.At.UTC())
		if err != nil {
			return err
		}
		d.URL, headers = signedURL, signed
		headers.Del("Host")
	} else if err := v4.NewSigner().SignHTTP(context.Background(), who, r, hexOf(sha256Of("")), "sts", ask.Region, ask.At.UTC()); err != nil {
		return err
	}
	for name, values := range headers {
		for _, value := range values {
			d.Headers = append(d.Headers, Header{name, value})
		}
	}
	return nil
}

// signature is the signature's text.
func (d *Draft) signature() string {
	text := d.URL + " " + d.Header("authorization")
	_, after, _ := strings.Cut(text, "Signature=")
	return after[:min(64, len(after))]
}

// Header is the value of the first header of that name, "" if there is none.
func (d *Draft) Header(name string) string {
	for _, h := range d.Headers {
		if strings.EqualFold(h.Key, name) {
			return h.Value
		}
	}
	return ""
}

// Set changes a header, or takes it out if the value is empty.
func (d *Draft) Set(name, value string) *Draft {
	var kept []Header
	for _, h := range d.Headers {
		if !strings.EqualFold(h.Key, name) {
			kept = append(kept, h)
		}
	}
	if d.Headers = kept; value != "" {
		d.Add(name, value)
	}
	return d
}

// Add appends a header, whether or not there is one of that name.
func (d *Draft) Add(name, value string) *Draft {
	d.Headers = append(d.Headers, Header{name, value})
	return d
}

// Text is the token as plain JSON.
func (d *Draft) Text() string {
	type header struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	headers := make([]header, len(d.Headers))
	for i, h := range d.Headers {
		headers[i] = header(h)
	}
	text, _ := json.Marshal(struct {
		URL     string   `json:"url"`
		Method  string   `json:"method"`
		Headers []header `json:"headers"`
	}{d.URL, d.Method, headers})
	return string(text)
}

// Encoded is the token as Google's libraries send it.
func (d *Draft) Encoded() string { return url.QueryEscape(d.Text()) }
