package config_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/config"
)

const awsProvider = `{aws: {account_ids: ["123456789012"], regions: [eu-central-1, aws-global]}}`

func TestAWS(t *testing.T) {
	for _, c := range []struct {
		file string
		want config.Provider
	}{
		{awsProvider, config.Provider{
			Issuer: "https://sts.amazonaws.com", TokenTypes: []string{"aws4_request"}, ClockSkew: 30 * time.Second, MaxTokenAge: 15 * time.Minute,
			AWS: &config.AWS{AccountIDs: []string{"123456789012"}, Regions: []string{"eu-central-1", "aws-global"}, Audience: "https://sts.example"},
		}},
		{`{issuer: https://sts.amazonaws.com, token_types: [aws4_request], clock_skew: 0s, max_token_age: 5m, aws: {account_ids: ["123456789012"],
    regions: [us-gov-west-1], audience: sts.internal, endpoints: {us-gov-west-1: https://vpce.example/}}}`, config.Provider{
			Issuer: "https://sts.amazonaws.com", TokenTypes: []string{"aws4_request"}, MaxTokenAge: 5 * time.Minute,
			AWS: &config.AWS{
				AccountIDs: []string{"123456789012"}, Regions: []string{"us-gov-west-1"}, Audience: "sts.internal",
				Endpoints: map[string]string{"us-gov-west-1": "https://vpce.example"},
			},
		}},
	} {
		cfg, err := config.Parse("sts.yaml", []byte(strings.Replace(small, provider, c.file, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, cfg.IdentityProviders["okta"]); diff != "" {
			t.Error(diff)
		}
		checkShow(t, cfg)
	}
}

func TestAWSFaults(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"nothing said", provider, "{aws: {}}", `4:15: identity_providers.okta.aws: missing key "account_ids"; add it
4:15: identity_providers.okta.aws: missing key "regions"; add it`},
		{"no accounts", provider, `{aws: {account_ids: [], regions: [eu-central-1]}}`, `4:29: identity_providers.okta.aws.account_ids: an empty list; name at least one`},
		{"accounts that are none", provider, `{aws: {account_ids: ["12345678901", "*", "12345678901a"], regions: [eu-central-1]}}`,
			`4:30: identity_providers.okta.aws.account_ids[0]: not the id of an AWS account; write its 12 digits, in quotes
4:45: identity_providers.okta.aws.account_ids[1]: not the id of an AWS account; write its 12 digits, in quotes
4:50: identity_providers.okta.aws.account_ids[2]: not the id of an AWS account; write its 12 digits, in quotes`},
		{"regions that are none", provider, `{aws: {account_ids: ["123456789012"], regions: [eu-central, sts.evil.example, us-iso-east-1]}}`,
			`4:57: identity_providers.okta.aws.regions[0]: not a region of AWS; write it like eu-central-1, or aws-global for sts.amazonaws.com
4:69: identity_providers.okta.aws.regions[1]: not a region of AWS; write it like eu-central-1, or aws-global for sts.amazonaws.com
4:87: identity_providers.okta.aws.regions[2]: not a region of AWS; write it like eu-central-1, or aws-global for sts.amazonaws.com`},
		{"endpoints", provider, `{aws: {account_ids: ["123456789012"], regions: [eu-central-1], endpoints: {eu-central-2: "https://a.example", eu-central-1: "https://a.example/x"}}}`,
			`4:84: identity_providers.okta.aws.endpoints: an endpoint of a region that is not among regions; did you mean "eu-central-1"? Else add it there, or leave it out
4:133: identity_providers.okta.aws.endpoints.eu-central-1: "https://a.example/x" is more than a host; leave the path out`},
		{"an endpoint in the clear", provider, `{aws: {account_ids: ["123456789012"], regions: [eu-central-1], endpoints: {eu-central-1: "http://a.example"}}}`,
			`4:98: identity_providers.okta.aws.endpoints.eu-central-1: http:// is for a loopback host only, and "a.example" is none; use https://`},
		{"keys of tokens with claims", provider, strings.Replace(awsProvider, "{aws", "{issuer: https://aws.example, audiences: [x], groups_claim: groups, single_use: true, token_types: [jwt], aws", 1),
			`4:18: identity_providers.okta.issuer: AWS identities have another issuer; write https://sts.amazonaws.com, or leave it out
4:39: identity_providers.okta.audiences: not for AWS identities; leave it out; they have issuer, token_types, clock_skew, max_token_age, aws
4:55: identity_providers.okta.groups_claim: not for AWS identities; leave it out; they have issuer, token_types, clock_skew, max_token_age, aws
4:77: identity_providers.okta.single_use: not for AWS identities; leave it out; they have issuer, token_types, clock_skew, max_token_age, aws
4:109: identity_providers.okta.token_types: AWS identities have tokens of another type; write aws4_request, or leave it out`},
		{"older than AWS lets it be", provider, strings.Replace(awsProvider, "{aws", "{max_token_age: 1h, aws", 1),
			`4:25: identity_providers.okta.max_token_age: longer than 15m; make it shorter, or leave it out for 15m`},
		{"a token type of another provider", "token_types: [jwt]", "token_types: [jwt, aws4_request]",
			`4:82: identity_providers.okta.token_types: aws4_request is for AWS identities; add the key aws to a provider of their own, or leave it out`},
		{"two of them", "clients:", "  again: " + awsProvider + "\n  more: " + awsProvider + "\nclients:",
			`6:3: identity_providers.more: has the issuer of "again" too; make one provider of them: a person is one identity`},
	} {
		t.Run(c.name, func(t *testing.T) { checkFaults(t, c.old, c.new, c.want) })
	}
}

// Replicas that share a ledger accept a request once only if they share their marks, too.
func TestAWSOfReplicas(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "there"), "x")
	text := strings.Replace(withDatabase("postgres://u@h/d"), provider, awsProvider, 1)
	const want = "sts.yaml:4:15: identity_providers.okta.aws: requests that replicas accept once, without store.redis to mark them in; add store.redis"
	if _, err := parse(t, folder, text); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	text = strings.Replace(text, "{keyset_file: there}", "{keyset_file: there, redis: {addresses: [\"r:1\"]}}", 1)
	if _, err := parse(t, folder, text); err != nil {
		t.Error(err)
	}
}
