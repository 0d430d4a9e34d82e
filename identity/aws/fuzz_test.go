package aws_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/identity/aws"
	"github.com/lakegate/sts/internal/emulator/awssts"
)

// FuzzAWSRequest: whatever is presented, what would be sent goes to the configured endpoint, for one host, with one Action;
// and what is sent, read as a token again, is the same request: so nothing of a token is lost, and nothing is read in two ways.
func FuzzAWSRequest(f *testing.F) {
	w := newWorld(f)
	attacks, err := w.sts.Attacks(awssts.Target{Account: account, Audience: audience, Canary: "127.0.0.1:1"})
	if err != nil {
		f.Fatal(err)
	}
	for _, a := range attacks {
		f.Add(a.Token)
	}
	f.Add(w.sign(awssts.Ask{}).Encoded())
	f.Add(w.sign(awssts.Ask{Presigned: true}).Encoded())
	f.Fuzz(func(t *testing.T, text string) {
		r, err := aws.Parse(text)
		if err != nil {
			if text != "" && len(text) > 20 && strings.Contains(err.Error(), text) {
				t.Error("an error holds the token")
			}
			return
		}
		sent, err := r.HTTP(t.Context(), "https://endpoint.example")
		if err != nil {
			t.Fatal(err)
		}
		if sent.URL.Host != "endpoint.example" || sent.URL.Path != "/" || sent.Host != r.Host || len(sent.URL.Query()["Action"]) != 1 ||
			!strings.HasPrefix(sent.URL.RawQuery, "Action=GetCallerIdentity&Version=2011-06-15") || strings.ContainsAny(sent.Host, ":@/?#") {
			t.Errorf("%q is sent as %s %s to %s", text, sent.Method, sent.URL, sent.Host)
		}
		again, err := aws.Parse(tokenOf(sent).Text())
		if err != nil {
			t.Fatalf("what is sent is no token: %v", err)
		}
		if diff := cmp.Diff(r, again); diff != "" {
			t.Error(diff)
		}
	})
}

// tokenOf writes a request as a token.
func tokenOf(r *http.Request) *awssts.Draft {
	d := &awssts.Draft{Method: r.Method, URL: "https://" + r.Host + "/?" + r.URL.RawQuery}
	for name, values := range r.Header {
		if name != "Accept" {
			d.Headers = append(d.Headers, awssts.Header{Key: name, Value: values[0]})
		}
	}
	return d
}
