package config

// Introspection says where opaque tokens are asked about (RFC 7662), and how we authenticate there.
type Introspection struct {
	Endpoint     string `yaml:"endpoint"`
	ClientID     string `yaml:"client_id"`
	ClientSecret Secret `yaml:"client_secret"`
}

type introspectionFile struct {
	Endpoint         text `yaml:"endpoint"`
	ClientID         text `yaml:"client_id"`
	ClientSecretFile text `yaml:"client_secret_file"`
	ClientSecretEnv  text `yaml:"client_secret_env"`
}

// introspection checks how a provider's opaque tokens are asked about.
func (c *checker) introspection(f *providerFile, path string) *Introspection {
	c.notYet(f.Introspection.Pos, path+".introspection", "opaque subject tokens")
	return nil
}
