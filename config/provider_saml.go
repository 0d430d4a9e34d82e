package config

import (
	"encoding/xml"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/strictyaml"
)

// SAML says how a provider's SAML 2.0 assertions are verified.
type SAML struct {
	EntityID     string        `yaml:"entity_id"`               // the assertions' Issuer, and the entity of the metadata
	MetadataFile string        `yaml:"metadata_file,omitempty"` // absolute; looked at every second
	MetadataURI  string        `yaml:"metadata_uri,omitempty"`
	MaxStale     time.Duration `yaml:"max_stale"` // how long metadata is trusted that can't be had anew
	Audience     string        `yaml:"audience"`  // ours, in each AudienceRestriction
	Recipient    string        `yaml:"recipient"` // whom assertions are sent to; by default our token endpoint
	// SubjectAttribute names the attribute that tells subjects apart, where the NameID doesn't.
	SubjectAttribute string `yaml:"subject_attribute,omitempty"`
}

const tokenSAML = "saml2"

// samlKeys are the keys of a provider of SAML assertions; all others are about tokens of other kinds.
var samlKeys = []string{"token_types", "groups_claim", "clock_skew", "max_token_age", "saml"}

type samlFile struct {
	Keys             strictyaml.Keys
	EntityID         strictyaml.Value[audienceClaim] `yaml:"entity_id"`
	MetadataFile     text                            `yaml:"metadata_file"`
	MetadataURI      strictyaml.Value[endpointURL]   `yaml:"metadata_uri"`
	MaxStale         duration                        `yaml:"max_stale"`
	Audience         strictyaml.Value[audienceClaim] `yaml:"audience,required"`
	Recipient        strictyaml.Value[audienceClaim] `yaml:"recipient"`
	SubjectAttribute text                            `yaml:"subject_attribute"`
}

// samlProvider checks a provider of SAML assertions.
func (c *checker) samlProvider(f *providerFile, path string) Provider {
	for _, key := range slices.Sorted(maps.Keys(f.Keys)) {
		if f.Keys.Has(key) && !slices.Contains(samlKeys, key) {
			c.fault(f.Keys[key], path+"."+key, "not for SAML assertions", "leave it out; they have "+strings.Join(samlKeys, ", "))
		}
	}
	for _, t := range f.TokenTypes.Items {
		if t.V != tokenSAML {
			c.fault(t.Pos, path+".token_types", "SAML assertions have another type", "write "+tokenSAML+", or leave it out")
		}
	}
	s, path := f.SAML.V, path+".saml"
	made := &SAML{
		EntityID: string(s.EntityID.V), MetadataURI: string(s.MetadataURI.V),
		MaxStale: c.span(s.MaxStale, path+".max_stale", defaultJWKSMaxStale, time.Second, 0),
		Audience: string(s.Audience.V), Recipient: string(s.Recipient.Or(audienceClaim(c.issuer + "/oauth2/token"))),
		SubjectAttribute: c.filled(s.SubjectAttribute, path+".subject_attribute"),
	}
	switch {
	case s.MetadataFile.Set() && s.Keys.Has("metadata_uri"):
		c.fault(s.MetadataFile.Pos, path, "both metadata_file and metadata_uri", "keep one")
	case s.MetadataFile.Set():
		made.MetadataFile = c.metadata(s, path, made)
	case !s.Keys.Has("metadata_uri") && !s.Keys.Has("metadata_file"):
		c.missing(f.SAML.Pos, path, "metadata_file", "add it, or metadata_uri: where the identity provider's certificates are")
	case !s.Keys.Has("entity_id"):
		c.missing(f.SAML.Pos, path, "entity_id", "add it: the entityID of the metadata, so that no other metadata is taken for it")
	}
	groups := string(f.GroupsClaim.Or("groups"))
	for _, named := range []struct {
		pos       strictyaml.Pos
		key, name string
	}{{f.GroupsClaim.Pos, "groups_claim", groups}, {s.SubjectAttribute.Pos, "saml.subject_attribute", made.SubjectAttribute}} {
		if slices.Contains(saidByItself, named.name) {
			c.fault(named.pos, strings.TrimSuffix(path, "saml")+named.key, "the name of what an assertion says by itself", "name an attribute")
		}
	}
	return Provider{
		Issuer: made.EntityID, TokenTypes: []string{tokenSAML}, GroupsClaim: groups,
		ClockSkew:   c.span(f.ClockSkew, strings.TrimSuffix(path, "saml")+"clock_skew", defaultClockSkew, 0, maxClockSkew),
		MaxTokenAge: c.span(f.MaxTokenAge, strings.TrimSuffix(path, "saml")+"max_token_age", defaultMaxTokenAge, time.Second, 0),
		SAML:        made,
	}
}

// saidByItself are claims that no attribute can have.
var saidByItself = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "azp", "client_id", "act", "may_act", "cnf", "auth_time", "acr", "name_id", "name_id_format",
}

// metadata is the path of the metadata's file. The entity that is in it now is the provider's from then on: a file that is
// of another is refused later.
func (c *checker) metadata(s samlFile, path string, made *SAML) string {
	file := c.content(s.MetadataFile, path+".metadata_file")
	if file.Content == "" {
		return file.Path
	}
	found, err := entityOf(file.Content)
	switch {
	case err != nil:
		c.fault(s.MetadataFile.Pos, path+".metadata_file", err.Error(), "name the metadata of the identity provider")
	case made.EntityID == "":
		made.EntityID = found
	case made.EntityID != found:
		c.fault(s.EntityID.Pos, path+".entity_id", "the metadata is of another entity", "write its entityID letter for letter, or leave this out")
	}
	return file.Path
}

// entityOf is the entityID of a metadata document. All else in it is for who verifies by it.
func entityOf(content string) (string, error) {
	decoder := xml.NewDecoder(strings.NewReader(content))
	for {
		token, err := decoder.Token()
		if err != nil {
			return "", errors.New("the file is no XML")
		}
		root, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if root.Name.Local != "EntityDescriptor" {
			return "", errors.New("the file has no EntityDescriptor as its root")
		}
		for _, a := range root.Attr {
			if a.Name.Space == "" && a.Name.Local == "entityID" && isPrintable(a.Value) {
				return a.Value, nil
			}
		}
		return "", errors.New("the metadata has no entityID, or one that isn't printable ASCII")
	}
}
