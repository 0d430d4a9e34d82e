package identity

import (
	"github.com/lakegate/sts/internal/jwt"
)

// bySPIFFEID finds the provider of a JWT-SVID by the trust domain in its sub. An SVID needs no iss, and where it has one
// that is the address of SPIRE's discovery service, or anything (JWT-SVID §3): what stands for the issuer is the trust domain.
// The sub is not to be trusted yet, and only chooses among those that are configured.
func (s *snapshot) bySPIFFEID(claims map[string]any) *provider {
	if len(s.byTrustDomain) == 0 {
		return nil
	}
	subject, _ := claims["sub"].(string)
	domain, err := jwt.ParseSPIFFEID(subject)
	if err != nil {
		return nil
	}
	return s.byTrustDomain[domain]
}

// checkSPIFFEID holds that a provider of JWT-SVIDs speaks for workloads of its own trust domain alone.
func (t *trial) checkSPIFFEID(subject string) error {
	domain, err := jwt.ParseSPIFFEID(subject)
	switch {
	case err != nil:
		return t.Invalid("has a sub that is not the SPIFFE ID of a workload: it %s", err)
	case domain != t.provider.TrustDomain:
		return t.Invalid("has a sub of another trust domain than that of the identity provider %s", t.provider.Name)
	}
	return nil
}
