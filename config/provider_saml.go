package config

// SAML says how a provider's SAML 2.0 assertions are verified.
type SAML struct {
	MetadataFile string `yaml:"metadata_file"` // absolute; the IdP's metadata
	Audience     string `yaml:"audience"`      // ours, in the assertion's AudienceRestriction
}

type samlFile struct {
	MetadataFile text `yaml:"metadata_file"`
	Audience     text `yaml:"audience"`
}

// samlProvider checks a provider of SAML assertions.
func (c *checker) samlProvider(f *providerFile, path string) Provider {
	c.notYet(f.SAML.Pos, path+".saml", "SAML assertions as subject tokens")
	return Provider{}
}
