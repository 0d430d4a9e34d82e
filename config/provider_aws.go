package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/strictyaml"
)

// AWS says whose signed requests to AWS STS are accepted as tokens, and where AWS STS is asked whose they are.
type AWS struct {
	AccountIDs []string          `yaml:"account_ids"`
	Regions    []string          `yaml:"regions"`             // of AWS STS, like eu-central-1; aws-global is sts.amazonaws.com
	Audience   string            `yaml:"audience"`            // ours, in the requests' signed header x-sts-audience; by default our issuer
	Endpoints  map[string]string `yaml:"endpoints,omitempty"` // by region, where AWS STS isn't asked at its public address
}

const (
	tokenAWS = "aws4_request"

	// awsIssuer is whose identities they are, whatever region was asked.
	awsIssuer    = "https://sts.amazonaws.com"
	maxAWSAge    = 15 * time.Minute // AWS accepts no request that is older
	globalRegion = "aws-global"
)

// awsKeys are the keys of a provider of AWS identities; all others are about tokens with claims.
var awsKeys = []string{"issuer", "token_types", "clock_skew", "max_token_age", "aws"}

type awsFile struct {
	AccountIDs list[awsAccount]                `yaml:"account_ids,required"`
	Regions    list[awsRegion]                 `yaml:"regions,required"`
	Audience   strictyaml.Value[audienceClaim] `yaml:"audience"`
	Endpoints  strictyaml.Map[hostURL]         `yaml:"endpoints"`
}

// awsProvider checks a provider of AWS identities.
func (c *checker) awsProvider(f *providerFile, path string) Provider {
	for _, key := range slices.Sorted(maps.Keys(f.Keys)) {
		if f.Keys.Has(key) && !slices.Contains(awsKeys, key) {
			c.fault(f.Keys[key], path+"."+key, "not for AWS identities", "leave it out; they have "+strings.Join(awsKeys, ", "))
		}
	}
	if f.Issuer.Set() && string(f.Issuer.V) != awsIssuer {
		c.fault(f.Issuer.Pos, path+".issuer", "AWS identities have another issuer", "write "+awsIssuer+", or leave it out")
	}
	for _, t := range f.TokenTypes.Items {
		if t.V != tokenAWS {
			c.fault(t.Pos, path+".token_types", "AWS identities have tokens of another type", "write "+tokenAWS+", or leave it out")
		}
	}
	a := f.AWS.V
	p := Provider{
		Issuer: awsIssuer, TokenTypes: []string{tokenAWS},
		ClockSkew:   c.span(f.ClockSkew, path+".clock_skew", defaultClockSkew, 0, maxClockSkew),
		MaxTokenAge: c.span(f.MaxTokenAge, path+".max_token_age", maxAWSAge, time.Minute, maxAWSAge),
		AWS: &AWS{
			AccountIDs: toStrings(a.AccountIDs.values()), Regions: toStrings(a.Regions.values()),
			Audience: string(a.Audience.Or(audienceClaim(c.issuer))),
		},
	}
	for _, e := range a.Endpoints.Entries {
		if !slices.Contains(p.AWS.Regions, e.Key) {
			c.fault(e.Pos, path+".aws.endpoints", "an endpoint of a region that is not among regions", strictyaml.DidYouMean(e.Key, p.AWS.Regions, "add it there, or leave it out"))
		}
		if p.AWS.Endpoints == nil {
			p.AWS.Endpoints = map[string]string{}
		}
		p.AWS.Endpoints[e.Key] = string(e.Value)
	}
	return p
}

// awsAccount is an AWS account's.
type awsAccount string

func (a *awsAccount) UnmarshalScalar(text string) error {
	*a = awsAccount(text)
	if len(text) != 12 || strings.Trim(text, "0123456789") != "" {
		return strictyaml.Problemf("write its 12 digits, in quotes", "not the id of an AWS account")
	}
	return nil
}

// awsRegion is a region of AWS, of AWS China or of GovCloud.
type awsRegion string

var awsRegionName = regexp.MustCompile(`^[a-z]{2}(-gov)?-[a-z]+-[0-9]$`)

func (r *awsRegion) UnmarshalScalar(text string) error {
	*r = awsRegion(text)
	if text != globalRegion && !awsRegionName.MatchString(text) {
		return strictyaml.Problemf("write it like eu-central-1, or "+globalRegion+" for sts.amazonaws.com", "not a region of AWS")
	}
	return nil
}
