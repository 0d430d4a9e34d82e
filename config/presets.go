package config

import "github.com/lakegate/sts/internal/strictyaml"

// preset names what is known about a provider's tokens.
type preset string

const (
	presetOkta          preset = "okta"
	presetEntra         preset = "entra"
	presetGitHubActions preset = "github_actions"
)

func (p *preset) UnmarshalScalar(text string) error {
	*p = preset(text)
	return strictyaml.OneOf(text, string(presetEntra), string(presetGitHubActions), string(presetOkta))
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
	case presetGitHubActions:
		// Everybody's workflows have tokens of this one issuer.
		base.Issuer = "https://token.actions.githubusercontent.com"
		base.TokenTypes = []string{tokenJWT}
		base.Algorithms = []string{"RS256"}
		base.Shared = true
	}
	return base
}
