package aws

import (
	"regexp"
	"strings"
)

// GlobalRegion stands for sts.amazonaws.com, which signs as us-east-1. Regional hosts are better: a request that is sent
// there doesn't leave the region.
const GlobalRegion = "aws-global"

// region is where AWS STS is asked, and what a request that is for there looks like.
type region struct {
	name      string // as configured
	host      string // as it is signed
	scope     string // the region of the signature's scope
	partition string // of the ARNs that are answered
}

var regionName = regexp.MustCompile(`^[a-z]{2}(-gov)?-[a-z]+-[0-9]$`)

// regionOf knows the regions of the commercial partition, of AWS China and of GovCloud.
func regionOf(name string) (region, bool) {
	if name == GlobalRegion {
		return region{name: name, host: "sts.amazonaws.com", scope: "us-east-1", partition: "aws"}, true
	}
	if !regionName.MatchString(name) {
		return region{}, false
	}
	r := region{name: name, host: "sts." + name + ".amazonaws.com", scope: name, partition: "aws"}
	switch {
	case strings.HasPrefix(name, "cn-"):
		r.host, r.partition = r.host+".cn", "aws-cn"
	case strings.HasPrefix(name, "us-gov-"):
		r.partition = "aws-us-gov"
	}
	return r, true
}
