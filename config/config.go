package config

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/lakegate/sts/internal/strictyaml"
)

// maxBytes bounds the file; 1,000 clients need about 400 kB.
const maxBytes = 8 << 20

// Config is the effective configuration: everything that was left out has its default, every path is absolute, and every name that
// one section gives to another is known there.
type Config struct {
	Issuer            string              `yaml:"issuer"` // our own issuer identifier (RFC 8414)
	Listen            Listen              `yaml:"listen"`
	GRPC              GRPC                `yaml:"grpc,omitempty"`
	Database          Database            `yaml:"database"`
	IdentityProviders map[string]Provider `yaml:"identity_providers"` // reloaded
	Clients           map[string]Client   `yaml:"clients"`            // reloaded
	Databricks        Databricks          `yaml:"databricks"`         // reloaded
	Policy            Policy              `yaml:"policy"`
	Store             Store               `yaml:"store,omitempty"`
	Audit             Audit               `yaml:"audit"`
	Limits            Limits              `yaml:"limits,omitempty"`
	Telemetry         Telemetry           `yaml:"telemetry"`
	Log               Log                 `yaml:"log"`
	Delegation        Delegation          `yaml:"delegation"`

	where map[string]strictyaml.Pos
}

// Load reads the file. Its error is strictyaml.Faults, all at once, unless the file itself can't be read.
func Load(path string) (*Config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if info.Size() > maxBytes {
		return nil, fmt.Errorf("reading the configuration: %s has %d bytes, more than the %d that are allowed", path, info.Size(), maxBytes)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse is Load for a file that has been read already. Positions carry the path as it is given; relative paths in the file start at
// its folder.
func Parse(path string, data []byte) (*Config, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c := &checker{folder: filepath.Dir(absolute), where: map[string]strictyaml.Pos{}}
	var d document
	c.faults = strictyaml.Decode(strictyaml.Config{File: path, MaxBytes: maxBytes}, data, &d)
	cfg := c.config(&d)
	if err := c.faults.Err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// config checks one section after the other. It goes on after a fault, and what it returns then is of no use.
func (c *checker) config(d *document) *Config {
	cfg := &Config{
		Issuer:   string(d.Issuer.V),
		Listen:   c.listen(&d.Listen),
		Database: c.database(d.Database),
		Policy:   c.policy(&d.Policy),
		Store:    c.store(&d.Store),
		Audit:    c.audit(&d.Audit, d.Databricks.Credentials),
		Limits:   Limits{Global: d.Limits.Global.V},
	}
	cfg.Delegation = c.delegation(&d.Delegation)
	cfg.GRPC = c.grpc(&d.GRPC, cfg.Listen)
	cfg.Telemetry, cfg.Log = c.telemetry(&d.Telemetry), c.log(&d.Log)
	c.issuer = cfg.Issuer
	cfg.IdentityProviders = c.providers(d.IdentityProviders)
	cfg.Clients = c.clients(d.Clients, d.IdentityProviders, cfg.Listen.TLS != nil && cfg.Listen.TLS.ClientCAFile != "")
	cfg.Databricks = c.databricks(&d.Databricks, cfg.Issuer)
	c.sharedKeyset(cfg, d.Database)
	c.sharedMarks(cfg, d.IdentityProviders, d.Clients)
	c.federated(cfg, d.Clients)
	c.later(d)
	cfg.where = c.where
	return cfg
}

// Where is the position of a named part, for faults that only its users can find: "clients.kong", "identity_providers.okta",
// "databricks.accounts.aws", "databricks.credentials.etl". It is zero for what the file doesn't name.
func (c *Config) Where(part string) strictyaml.Pos { return c.where[part] }
