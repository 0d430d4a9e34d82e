package databricks

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/lakegate/sts/exchange"
)

// Account is a Databricks account.
type Account struct {
	// ID is the account's UUID.
	ID string
	// Host is the account console's URL. Minting doesn't need it: tokens come from workspaces.
	Host string
}

// Federation is how assertions are made.
type Federation struct {
	// Issuer is the iss of assertions: an https URL that federation policies name.
	Issuer string
	// Audiences are the aud of assertions by the name of the account; what is left out gets the account's id.
	Audiences map[string]string
	// AuthorizationDetails says that the workspace honours them on this grant. Without it a principal that has any is
	// not minted by federation.
	AuthorizationDetails bool
}

// Credential is a service principal's OAuth secret. Its client id is the principal's application id.
type Credential struct {
	Secret exchange.Secret
}

// Generation names the secret without telling it: exchange.Grant.Credential.
func (c Credential) Generation() string {
	sum := sha256.Sum256([]byte("lakegate client_secret generation\x00" + c.Secret.Reveal()))
	return hex.EncodeToString(sum[:8])
}

// Settings are what a reload may change.
type Settings struct {
	// Accounts by the names that policy uses.
	Accounts   map[string]Account
	Federation Federation
	// Credentials by the names of principals: those that are minted by client_secret.
	Credentials map[string]Credential
	// Timeout bounds one mint, from the dial to the last byte; 5 s if it is left out.
	Timeout time.Duration
}

const defaultTimeout = 5 * time.Second

func (s *Settings) check() error {
	var faults []error
	for name, a := range s.Accounts {
		if a.ID == "" {
			faults = append(faults, fmt.Errorf("account %s has no id", name))
		}
	}
	for name := range s.Federation.Audiences {
		if _, ok := s.Accounts[name]; !ok {
			faults = append(faults, fmt.Errorf("federation.audience names the account %s, which is not there", name))
		}
	}
	if s.Federation.Issuer == "" {
		faults = append(faults, errors.New("federation has no issuer"))
	}
	for name, c := range s.Credentials {
		if c.Secret == "" {
			faults = append(faults, fmt.Errorf("the client secret of principal %s is empty", name))
		}
	}
	if s.Timeout < 0 {
		faults = append(faults, errors.New("the timeout is negative"))
	}
	return errors.Join(faults...)
}

// audience is the aud of an assertion for a principal of that account.
func (s *Settings) audience(account string) (string, error) {
	if audience := s.Federation.Audiences[account]; audience != "" {
		return audience, nil
	}
	a, ok := s.Accounts[account]
	if !ok {
		return "", fmt.Errorf("the account %s of the principal is not among databricks.accounts", account)
	}
	return a.ID, nil
}
