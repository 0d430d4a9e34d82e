package main

import (
	"fmt"
	"time"

	"github.com/lakegate/sts/internal/emulator/databricks"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// worldConfig says what there is around the service. It is also the format of up's configuration file.
type worldConfig struct {
	Issuers    []idp.IssuerConfig         `json:"issuers"`
	Workspaces map[string]workspaceConfig `json:"workspaces"` // by name

	now func() time.Time // nil: the machine's
}

// workspaceConfig is one workspace.
type workspaceConfig struct {
	AccountID   string                 `json:"account_id"`
	WorkspaceID string                 `json:"workspace_id"`
	Principals  []databricks.Principal `json:"principals"`
	Endpoints   []databricks.Endpoint  `json:"endpoints"`
	Switches    databricks.Switches    `json:"switches"`
}

// world is a running provider and its workspaces.
type world struct {
	idp        *idp.Server
	workspaces map[string]*databricks.Server
}

// worldURLs is the line that up prints.
type worldURLs struct {
	IDP        string            `json:"idp"`
	Issuers    map[string]string `json:"issuers"`
	Workspaces map[string]string `json:"workspaces"`
}

// The principals of the example policy.
const (
	appInference = "6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11"
	appETL       = "0d7c4b1a-6e0b-4b8e-9f57-2f3e1d4c5b6a"
)

// defaultWorld fits the example configuration and policy.
func defaultWorld() worldConfig {
	trusting := []databricks.FederationPolicy{{}} // trust fills it in
	etl := databricks.Principal{ApplicationID: appETL, Policies: trusting}
	inference := databricks.Principal{ApplicationID: appInference, Policies: trusting, Query: []string{"churn"}}
	honoured := databricks.Switches{FederationDetails: databricks.DetailsHonoured}
	return worldConfig{
		Issuers: []idp.IssuerConfig{
			{Name: "okta", Audience: "api://lakegate"},
			{Name: "entra", Audience: "api://lakegate"},
			{Name: "github", Audience: "https://sts.acme.example"},
		},
		Workspaces: map[string]workspaceConfig{
			"prod": {
				Principals: []databricks.Principal{inference, etl},
				Endpoints:  []databricks.Endpoint{{Name: "churn"}, {Name: "fraud"}},
				Switches:   honoured,
			},
			"staging": {
				AccountID:  "22222222-3333-4444-5555-666666666666",
				Principals: []databricks.Principal{etl},
				Switches:   honoured,
			},
		},
	}
}

// trust fills the issuer into federation policies that name none.
func (c *worldConfig) trust(issuer, reach string) {
	for _, w := range c.Workspaces {
		for i := range w.Principals {
			policies := append([]databricks.FederationPolicy(nil), w.Principals[i].Policies...)
			for j := range policies {
				if policies[j].Issuer == "" {
					policies[j].Issuer, policies[j].Reach = issuer, reach
				}
			}
			w.Principals[i].Policies = policies
		}
	}
}

// startWorld starts the provider and the workspaces; close ends them.
func startWorld(cfg worldConfig) (*world, error) {
	provider, err := idp.New(idp.Config{Issuers: cfg.Issuers, Now: cfg.now})
	if err != nil {
		return nil, err
	}
	w := &world{idp: provider, workspaces: map[string]*databricks.Server{}}
	if _, err := provider.Start(); err != nil {
		return nil, err
	}
	for name, c := range cfg.Workspaces {
		workspace, err := databricks.New(databricks.Config{
			Now: cfg.now, AccountID: c.AccountID, WorkspaceID: c.WorkspaceID,
			Principals: c.Principals, Endpoints: c.Endpoints, Switches: c.Switches,
		})
		if err == nil {
			_, err = workspace.Start()
		}
		if err != nil {
			w.close()
			return nil, fmt.Errorf("workspace %s: %w", name, err)
		}
		w.workspaces[name] = workspace
	}
	return w, nil
}

func (w *world) urls() worldURLs {
	urls := worldURLs{IDP: w.idp.URL(), Issuers: map[string]string{}, Workspaces: map[string]string{}}
	for _, issuer := range w.idp.Issuers() {
		urls.Issuers[issuer.Name()] = issuer.URL()
	}
	for name, workspace := range w.workspaces {
		urls.Workspaces[name] = workspace.URL()
	}
	return urls
}

func (w *world) close() {
	w.idp.Close()
	for _, workspace := range w.workspaces {
		workspace.Close()
	}
}
