package config

// AWS says whose presigned requests to AWS STS are accepted.
type AWS struct {
	AccountIDs []string `yaml:"account_ids"`
	Regions    []string `yaml:"regions"`
}

type awsFile struct {
	AccountIDs list[string] `yaml:"account_ids"`
	Regions    list[string] `yaml:"regions"`
}

// awsProvider checks a provider of AWS identities.
func (c *checker) awsProvider(f *providerFile, path string) Provider {
	c.notYet(f.AWS.Pos, path+".aws", "AWS identities as subject tokens")
	return Provider{}
}
