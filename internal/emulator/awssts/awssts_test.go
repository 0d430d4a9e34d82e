package awssts_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lakegate/sts/internal/emulator/awssts"
)

// A request is answered as AWS does, in XML unless JSON is asked for, and only as it was signed.
func TestServe(t *testing.T) {
	s := awssts.New(awssts.Config{})
	base, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	ended := s.Role("123456789012", "etl", "s2")
	s.End(ended)
	role, user := s.Role("123456789012", "etl", "s1"), s.User("123456789012", "alice")
	stranger := *role
	stranger.ID = "ASIAXXXXXXXXXXXXXXXX"
	other := *user
	other.Secret = role.Secret
	for _, test := range []struct {
		name   string
		key    *awssts.Key
		ask    awssts.Ask
		change func(*http.Request)
		status int
		want   string
	}{
		{"XML", role, awssts.Ask{}, nil, 200, "<Arn>arn:aws:sts::123456789012:assumed-role/etl/s1</Arn>"},
		{"JSON", user, awssts.Ask{}, func(r *http.Request) { r.Header.Set("Accept", "application/json") }, 200, `"Arn":"arn:aws:iam::123456789012:user/alice"`},
		{"presigned", role, awssts.Ask{Presigned: true}, nil, 200, "<UserId>AROA"},
		{"an unknown key", &stranger, awssts.Ask{}, nil, 403, "<Code>InvalidClientTokenId</Code>"},
		{"an unknown key, JSON", &stranger, awssts.Ask{}, func(r *http.Request) { r.Header.Set("Accept", "application/json") }, 403, `"Code":"InvalidClientTokenId"`},
		{"another's secret", &other, awssts.Ask{}, nil, 403, "SignatureDoesNotMatch"},
		{"an expired key", ended, awssts.Ask{}, nil, 403, "ExpiredToken"},
		{"too old", role, awssts.Ask{At: time.Now().Add(-16 * time.Minute)}, nil, 403, "SignatureDoesNotMatch"},
		{"of the future", role, awssts.Ask{At: time.Now().Add(16 * time.Minute)}, nil, 403, "SignatureDoesNotMatch"},
		{"past its own end", role, awssts.Ask{Presigned: true, Expires: time.Minute, At: time.Now().Add(-2 * time.Minute)}, nil, 403, "SignatureDoesNotMatch"},
		{"another host", role, awssts.Ask{}, func(r *http.Request) { r.Host = "sts.us-east-1.amazonaws.com" }, 403, "SignatureDoesNotMatch"},
		{"another audience", role, awssts.Ask{Audience: "a"}, func(r *http.Request) { r.Header.Set("x-sts-audience", "b") }, 403, "SignatureDoesNotMatch"},
		{"a header of AWS's own, unsigned", role, awssts.Ask{}, func(r *http.Request) { r.Header.Set("x-amz-x", "b") }, 403, "not signed"},
		{"no signature", role, awssts.Ask{}, func(r *http.Request) { r.Header.Del("Authorization") }, 403, "MissingAuthenticationToken"},
		{"another action", role, awssts.Ask{URL: "https://" + s.Host() + "/?Action=GetSessionToken&Version=2011-06-15"}, nil, 400, "InvalidAction"},
	} {
		t.Run(test.name, func(t *testing.T) {
			draft, err := s.Sign(test.key, test.ask)
			if err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequestWithContext(context.Background(), draft.Method, strings.Replace(draft.URL, "https://"+s.Host(), base, 1), http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = s.Host()
			for _, h := range draft.Headers {
				r.Header.Set(h.Key, h.Value)
			}
			if test.change != nil {
				test.change(r)
			}
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			text, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != test.status || !strings.Contains(string(text), test.want) {
				t.Errorf("%d %s, %v; want %d and %s", response.StatusCode, text, err, test.status, test.want)
			}
		})
	}
}
