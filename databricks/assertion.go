package databricks

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/lakegate/sts/exchange"
)

// backdating makes an assertion valid for a Databricks whose clock is behind ours.
const backdating = 30 * time.Second

// assertion is the claim set that is traded for a token. Databricks ends the token with it, so Expiry is what bounds
// the token in fact.
type assertion struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"` // the application id, never a name: names can be given again
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"`
	Expiry   int64  `json:"exp"`
	ID       string `json:"jti"`
}

// makeAssertion gives the claims of an assertion as JSON.
func makeAssertion(s *Settings, id exchange.MintID, g *exchange.Grant, now, until time.Time) ([]byte, error) {
	audience, err := s.audience(g.Account)
	if err != nil {
		return nil, err
	}
	switch {
	case g.ApplicationID == "":
		return nil, fmt.Errorf("the principal %s has no application id", g.Principal)
	case until.Unix() <= now.Unix():
		return nil, fmt.Errorf("the token would end before it begins")
	}
	return json.Marshal(assertion{
		Issuer: s.Federation.Issuer, Subject: g.ApplicationID, Audience: audience,
		IssuedAt: now.Add(-backdating).Unix(), Expiry: until.Unix(), ID: string(id),
	})
}
