package config

import "github.com/lakegate/sts/internal/strictyaml"

// The keys of features that do not exist yet. Each is refused by name, since a key that is quietly ignored is a promise that is
// quietly broken; values that ask for nothing (false, an empty list) are accepted.

const (
	messageNotYet = "not available yet: "
	mendNotYet    = "leave it out"
)

func (c *checker) notYet(pos strictyaml.Pos, path, feature string) {
	c.fault(pos, path, messageNotYet+feature, mendNotYet)
}

// notYetProblem is notYet for the UnmarshalScalar of a closed list of words.
func notYetProblem(feature string) error {
	return strictyaml.Problemf(mendNotYet, messageNotYet+"%s", feature)
}

// wanted is a value that is in the file, and whether it asks for the feature.
type wanted struct {
	pos     strictyaml.Pos
	asks    bool
	path    string
	feature string
}

func (c *checker) refuse(all []wanted) (refused bool) {
	for _, w := range all {
		if w.asks {
			c.notYet(w.pos, w.path, w.feature)
			refused = true
		}
	}
	return refused
}

func given(v anything, path, feature string) wanted { return wanted{v.Pos, v.Set(), path, feature} }

func on(v flag, path, feature string) wanted { return wanted{v.Pos, v.V, path, feature} }

type leasesFile struct {
	Enabled     flag     `yaml:"enabled"`
	MaxLifetime duration `yaml:"max_lifetime"`
}

type doorFile struct {
	Enabled           flag                    `yaml:"enabled"`
	IdentityProviders strictyaml.Value[[]any] `yaml:"identity_providers"`
	Audience          text                    `yaml:"audience"`
	Networks          strictyaml.Value[[]any] `yaml:"networks"`
}

func (c *checker) later(d *document) {
	c.ownIssuer(d.Issuer, "issuer")
	all := []wanted{
		given(d.Databricks.Federation.PublishDirectory, "databricks.federation.publish_directory", "publishing discovery document and keys as files"),
		on(d.Leases.Enabled, "leases.enabled", "leases for long jobs"),
		on(d.DatabricksDoor.Enabled, "databricks_door.enabled", "the Databricks-shaped door"),
	}
	c.refuse(all)
}

func (c *checker) laterClient(f *clientFile, path string) {
	c.refuse([]wanted{
		on(f.Identity, path+".identity", "signed identities in answers"),
	})
}
