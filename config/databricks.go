package config

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Databricks is what mints.
type Databricks struct {
	Accounts    map[string]Account    `yaml:"accounts"` // by the name that a workspace of the policy gives
	Federation  Federation            `yaml:"federation"`
	Credentials map[string]Credential `yaml:"credentials,omitempty"` // by principal; what isn't listed uses federation
	Timeout     time.Duration         `yaml:"timeout"`               // of one mint
}

// Account is a Databricks account.
type Account struct {
	ID   string `yaml:"id"` // a UUID
	Host string `yaml:"host"`
}

// Federation is how assertions are signed.
type Federation struct {
	Issuer               string            `yaml:"issuer"`        // what Databricks knows and reaches; ours if it is left out
	PublishAhead         time.Duration     `yaml:"publish_ahead"` // a key is published this long before it signs
	KeyRotation          time.Duration     `yaml:"key_rotation"`
	Audience             map[string]string `yaml:"audience"` // by account; the account's id if it is left out
	AuthorizationDetails bool              `yaml:"authorization_details"`
}

// Credential is how one principal is minted.
type Credential struct {
	Method       string `yaml:"method"`                  // federation or client_secret
	ClientSecret Secret `yaml:"client_secret,omitempty"` // for client_secret
}

type databricksFile struct {
	Pos         strictyaml.Pos
	Accounts    strictyaml.Map[accountFile]    `yaml:"accounts,required"`
	Federation  federationFile                 `yaml:"federation"`
	Credentials strictyaml.Map[credentialFile] `yaml:"credentials"`
	Timeout     duration                       `yaml:"timeout"`
}

type accountFile struct {
	ID   strictyaml.Value[accountID] `yaml:"id,required"`
	Host strictyaml.Value[hostURL]   `yaml:"host,required"`
}

type federationFile struct {
	Issuer               strictyaml.Value[issuerURL]                     `yaml:"issuer"`
	PublishDirectory     anything                                        `yaml:"publish_directory"`
	PublishAhead         duration                                        `yaml:"publish_ahead"`
	KeyRotation          duration                                        `yaml:"key_rotation"`
	Audience             strictyaml.Map[strictyaml.Value[audienceClaim]] `yaml:"audience"`
	AuthorizationDetails flag                                            `yaml:"authorization_details"`
}

type credentialFile struct {
	Pos              strictyaml.Pos
	Method           strictyaml.Value[mintMethod] `yaml:"method,required"`
	ClientSecretFile text                         `yaml:"client_secret_file"`
	ClientSecretEnv  text                         `yaml:"client_secret_env"`
}

const (
	mintFederation   = "federation"
	mintClientSecret = "client_secret"

	defaultPublishAhead = 24 * time.Hour
	defaultKeyRotation  = 720 * time.Hour
	defaultMintTimeout  = 5 * time.Second
	// A mint that takes longer is given up by the token cache: a token of a minute would come too late to be of use.
	maxMintTimeout = 10 * time.Second
)

func (c *checker) databricks(f *databricksFile, issuer string) Databricks {
	named(c, f.Accounts, "databricks.accounts", strictyaml.CheckName)
	named(c, f.Credentials, "databricks.credentials", strictyaml.CheckName)
	d := Databricks{
		Accounts: map[string]Account{}, Credentials: map[string]Credential{},
		Timeout: c.span(f.Timeout, "databricks.timeout", defaultMintTimeout, time.Millisecond, maxMintTimeout),
	}
	for _, e := range f.Accounts.Entries {
		d.Accounts[e.Key] = Account{ID: string(e.Value.ID.V), Host: string(e.Value.Host.V)}
	}
	for _, e := range f.Credentials.Entries {
		d.Credentials[e.Key] = c.credential(&e.Value, "databricks.credentials."+e.Key)
	}
	d.Federation = c.federation(&f.Federation, d.Accounts, issuer)
	return d
}

func (c *checker) federation(f *federationFile, accounts map[string]Account, issuer string) Federation {
	const path = "databricks.federation"
	out := Federation{
		Issuer:               string(f.Issuer.Or(issuerURL(issuer))),
		PublishAhead:         c.span(f.PublishAhead, path+".publish_ahead", defaultPublishAhead, 0, 0),
		KeyRotation:          c.span(f.KeyRotation, path+".key_rotation", defaultKeyRotation, time.Second, 0),
		Audience:             map[string]string{},
		AuthorizationDetails: f.AuthorizationDetails.V,
	}
	c.ownIssuer(f.Issuer, path+".issuer")
	if out.PublishAhead >= out.KeyRotation {
		pos := f.PublishAhead.Pos
		if pos.IsZero() {
			pos = f.KeyRotation.Pos
		}
		c.fault(pos, path, "publish_ahead ("+strictyaml.Duration(out.PublishAhead).String()+") is not shorter than key_rotation ("+strictyaml.Duration(out.KeyRotation).String()+")",
			"a successor is published while its predecessor signs: shorten publish_ahead, or lengthen key_rotation")
	}
	for name, account := range accounts {
		out.Audience[name] = account.ID
	}
	for _, e := range f.Audience.Entries {
		if _, known := accounts[e.Key]; !known {
			c.fault(e.Pos, path+".audience", "unknown account "+strconv.Quote(e.Key), strictyaml.DidYouMean(e.Key, slices.Collect(maps.Keys(accounts)), "add it under databricks.accounts"))
		}
		out.Audience[e.Key] = string(e.Value.V)
	}
	return out
}

func (c *checker) credential(f *credentialFile, path string) Credential {
	credential := Credential{Method: string(f.Method.V)}
	secret := f.ClientSecretFile
	if !secret.Set() {
		secret = f.ClientSecretEnv
	}
	switch {
	case credential.Method == mintClientSecret:
		credential.ClientSecret = c.secret(f.ClientSecretFile, f.ClientSecretEnv, f.Pos, path, "client_secret")
	case credential.Method == mintFederation && secret.Set():
		c.fault(secret.Pos, path, "a client secret for a principal that is minted by federation", "leave it out, or set method: client_secret")
	}
	return credential
}

// ownIssuer refuses a slash at the end of an issuer of ours: paths are appended to it.
func (c *checker) ownIssuer(v strictyaml.Value[issuerURL], path string) {
	if n := len(v.V); n > 0 && v.V[n-1] == '/' {
		c.fault(v.Pos, path, "an issuer of ours with a slash at its end", "leave the slash out")
	}
}

// mintMethod is how a principal's tokens are minted.
type mintMethod string

func (m *mintMethod) UnmarshalScalar(text string) error {
	*m = mintMethod(text)
	return strictyaml.OneOf(text, mintFederation, mintClientSecret)
}

// accountID is the UUID that the account console shows.
type accountID string

var uuidRegexp = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func (id *accountID) UnmarshalScalar(text string) error {
	*id = accountID(text)
	if !uuidRegexp.MatchString(text) {
		return strictyaml.Problemf("copy it from the account console; it is a UUID", "%q is no account id", text)
	}
	return nil
}
