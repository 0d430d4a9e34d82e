package config

import "github.com/lakegate/sts/internal/strictyaml"

// preset names what is known about a provider's tokens.
type preset string

const (
	presetOkta          preset = "okta"
	presetEntra         preset = "entra"
	presetGitHubActions preset = "github_actions"
	presetGitLab        preset = "gitlab"
	presetGoogle        preset = "google"
	presetKeycloak      preset = "keycloak"
	presetKubernetes    preset = "kubernetes"
	presetSPIFFE        preset = "spiffe"
)

func (p *preset) UnmarshalScalar(text string) error {
	*p = preset(text)
	return strictyaml.OneOf(text, string(presetEntra), string(presetGitHubActions), string(presetGitLab), string(presetGoogle),
		string(presetKeycloak), string(presetKubernetes), string(presetOkta), string(presetSPIFFE))
}

// presetProvider is what a provider has that the file doesn't say; the zero preset is a provider of any other kind.
func presetProvider(p preset) Provider {
	base := Provider{
		Preset: string(p), Algorithms: []string{"RS256", "ES256"}, GroupsClaim: "groups",
		PartyClaims:  []string{"azp", "client_id"},
		SubjectClaim: map[string]string{tokenAccess: "sub", tokenID: "sub", tokenJWT: "sub"},
		ClockSkew:    defaultClockSkew, MaxTokenAge: defaultMaxTokenAge, JWKSMaxStale: defaultJWKSMaxStale, GroupsOverage: overageDeny,
	}
	switch p {
	case presetOkta:
		// Okta's access tokens have the login in sub, the user's id in uid and the client in cid; its ID tokens have the id in sub.
		base.TokenTypes = []string{tokenAccess, tokenID}
		base.SubjectClaim[tokenAccess] = "uid"
		base.PartyClaims = append(base.PartyClaims, "cid")
	case presetEntra:
		// Entra's sub differs from application to application; oid is the same person in all of them. It signs by RS256 alone, and
		// its v1 tokens name the client in appid.
		base.TokenTypes = []string{tokenAccess}
		base.Algorithms = []string{"RS256"}
		base.SubjectClaim = map[string]string{tokenAccess: "oid", tokenID: "oid", tokenJWT: "oid"}
		base.PartyClaims = append(base.PartyClaims, "appid")
	case presetKeycloak:
		// A token's claim typ says what it is for: Bearer, ID, Refresh, Offline. Roles of the realm are there without a mapper.
		base.TokenTypes = []string{tokenAccess, tokenID}
		base.GroupsClaim = "realm_access.roles"
	case presetGoogle:
		// Everybody's accounts and service accounts have tokens of this one issuer, and hd names the organization. Access tokens are
		// opaque, and only for Google.
		base.Issuer = "https://accounts.google.com"
		base.TokenTypes = []string{tokenID}
		base.Algorithms = []string{"RS256"}
		base.Shared = true
	case presetGitHubActions:
		// Everybody's workflows have tokens of this one issuer.
		base.Issuer = "https://token.actions.githubusercontent.com"
		base.TokenTypes = []string{tokenJWT}
		base.Algorithms = []string{"RS256"}
		base.Shared = true
	case presetGitLab:
		// So have everybody's pipelines on gitlab.com. An instance of one's own has another issuer, and who runs it may say that it
		// is not shared.
		base.Issuer = "https://gitlab.com"
		base.TokenTypes = []string{tokenJWT}
		base.Algorithms = []string{"RS256"}
		base.Shared = true
	case presetKubernetes:
		// Tokens of service accounts carry the marks of neither profile, and no groups.
		base.TokenTypes = []string{tokenJWT}
	case presetSPIFFE:
		// SPIRE signs by ES256 unless it is told otherwise.
		base.TokenTypes = []string{tokenJWT}
		base.Algorithms = []string{"RS256", "ES256", "ES384"}
	}
	return base
}
