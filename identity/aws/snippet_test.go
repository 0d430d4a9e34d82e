package aws_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

func subjectToken(ctx context.Context, credentials aws.Credentials, region, audience string) (string, error) {
	const emptyBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	url := "https://sts." + region + ".amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return "", err
	}
	request.Header.Set("x-sts-audience", audience)
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, emptyBody, "sts", region, time.Now()); err != nil {
		return "", err
	}
	type header struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	var headers []header
	for key := range request.Header {
		headers = append(headers, header{key, request.Header.Get(key)})
	}
	text, err := json.Marshal(map[string]any{"url": url, "method": http.MethodPost, "headers": headers})
	return string(text), err
}

// What docs/identity/aws.md shows makes a token that is accepted.
func TestSnippet(t *testing.T) {
	page, err := os.ReadFile("../../docs/identity/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("snippet_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "func subjectToken(")
	code, _, _ = strings.Cut(code, "\n}\n")
	if !strings.Contains(string(page), "func subjectToken("+code+"\n}\n") {
		t.Error("the page shows another program than the one that is tried here")
	}
	w := newWorld(t)
	w.at.Store(time.Now().UnixNano())
	key := w.sts.Role(account, "etl", "i-1")
	text, err := subjectToken(t.Context(), aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret, SessionToken: key.Token}, w.sts.Region(), audience)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.verify(text); err != nil {
		t.Error(err)
	}
}
