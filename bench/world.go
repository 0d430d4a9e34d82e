package main

import (
	"fmt"

	"github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// The size of the world: what DESIGN calls everything on.
const (
	principals = 100
	subjects   = 10_000
	audience   = "api://lakegate"
)

// clientIDs are the clients; requests come from them in turn.
var clientIDs = []string{"kong", "batch", "agents"}

// grants is how many tokens serve all warm requests: isolation is by client.
const grants = principals * 3

// world is what stands around the service, in this process: it is idle while the service is warm.
type world struct {
	idp        *idp.Server
	databricks *databricks.Server
	federated  []databricks.FederationPolicy // whose assertions every principal trusts
}

func startWorld() (*world, error) {
	provider, err := idp.New(idp.Config{Issuers: []idp.IssuerConfig{
		{Name: "okta", Audience: audience, Algorithms: []string{"ES256", "RS256"}},
	}})
	if err != nil {
		return nil, err
	}
	workspace, err := databricks.New(databricks.Config{})
	if err != nil {
		return nil, err
	}
	w := &world{idp: provider, databricks: workspace}
	if _, err := provider.Start(); err != nil {
		return nil, err
	}
	if _, err := workspace.Start(); err != nil {
		provider.Close()
		return nil, err
	}
	return w, nil
}

func (w *world) close() {
	w.idp.Close()
	w.databricks.Close()
}

// trust lets every principal be minted by the service of that issuer, whose keys are at address.
func (w *world) trust(issuer, address string) error {
	mine := databricks.FederationPolicy{Issuer: issuer, Reach: "http://" + address}
	known := false
	for i := range w.federated {
		if w.federated[i].Issuer == issuer {
			w.federated[i], known = mine, true
		}
	}
	if !known {
		w.federated = append(w.federated, mine)
	}
	for i := range principals {
		if err := w.databricks.PutPrincipal(databricks.Principal{ApplicationID: applicationID(i), Policies: w.federated}); err != nil {
			return fmt.Errorf("principal %d: %w", i, err)
		}
	}
	return nil
}

func applicationID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }
