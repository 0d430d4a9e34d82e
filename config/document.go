package config

import "github.com/lakegate/sts/internal/strictyaml"

// document is the file as it is written.
type document struct {
	Issuer            strictyaml.Value[issuerURL]  `yaml:"issuer,required"`
	Listen            listenFile                   `yaml:"listen,required"`
	Database          text                         `yaml:"database"`
	IdentityProviders strictyaml.Map[providerFile] `yaml:"identity_providers,required"`
	Clients           strictyaml.Map[clientFile]   `yaml:"clients,required"`
	Databricks        databricksFile               `yaml:"databricks,required"`
	Policy            policyFile                   `yaml:"policy,required"`
	Store             storeFile                    `yaml:"store"`
	Audit             auditFile                    `yaml:"audit"`
	Limits            limitsFile                   `yaml:"limits"`
	Telemetry         telemetryFile                `yaml:"telemetry"`
	Log               logFile                      `yaml:"log"`
	Delegation        delegationFile               `yaml:"delegation"`
	Leases            leasesFile                   `yaml:"leases"`
	DatabricksDoor    doorFile                     `yaml:"databricks_door"`
	GRPC              grpcFile                     `yaml:"grpc"`
}

type (
	text     = strictyaml.Value[string]
	flag     = strictyaml.Value[bool]
	number   = strictyaml.Value[int]
	duration = strictyaml.Value[strictyaml.Duration]
	rate     = strictyaml.Value[Rate]
	anything = strictyaml.Value[any]
)
