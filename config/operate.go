package config

import (
	"log/slog"
	"time"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Policy is where the policy is.
type Policy struct {
	Files []string `yaml:"files"` // absolute; whether they are there, and good, is for mapping to say: a bad policy is no reason not to start
}

// Store is the token cache.
type Store struct {
	Redis      *Redis `yaml:"redis,omitempty"`       // nil: each replica keeps its own tokens
	KeysetFile string `yaml:"keyset_file,omitempty"` // absolute; "" makes one beside the SQLite file, once
}

// Audit is the log.
type Audit struct {
	Directory    string        `yaml:"directory"` // absolute
	Sync         string        `yaml:"sync"`      // mint, always, written
	Retention    time.Duration `yaml:"retention"`
	RecordClaims []string      `yaml:"record_claims,omitempty"` // beside the claims that a rule names
	// SigningKeyFile is the absolute path of the key that signs checkpoints; "" for one that is made once and kept in the ledger.
	SigningKeyFile string   `yaml:"signing_key_file,omitempty"`
	Witness        *Witness `yaml:"witness,omitempty"` // nil: the ledger alone
	Exports        []Export `yaml:"exports,omitempty"` // where records go beside
}

// Witness is who gets the log's checkpoints, beside the ledger.
type Witness struct {
	URL     string   `yaml:"url,omitempty"`     // checkpoints are posted to it; "" for none
	Command []string `yaml:"command,omitempty"` // a program and its arguments, which is run for each; nil for none
}

// Limits are those of all clients together.
type Limits struct {
	Global Rate `yaml:"global,omitempty"` // zero: none
}

// Telemetry is where traces go.
type Telemetry struct {
	OTLPEndpoint string  `yaml:"otlp_endpoint,omitempty"` // URL of an OTLP collector (gRPC); "" for none
	SampleRatio  float64 `yaml:"sample_ratio"`            // 0 to 1
}

// Log is the log on stderr.
type Log struct {
	Level  slog.Level `yaml:"level"`
	Format string     `yaml:"format"` // json
}

type policyFile struct {
	Files list[string] `yaml:"files,required"`
}

type storeFile struct {
	Redis      *redisFile `yaml:"redis"`
	KeysetFile text       `yaml:"keyset_file"`
}

type auditFile struct {
	Directory      text                           `yaml:"directory"`
	Sync           strictyaml.Value[syncMode]     `yaml:"sync"`
	Retention      duration                       `yaml:"retention"`
	RecordClaims   strictyaml.Value[[]text]       `yaml:"record_claims"`
	SigningKeyFile text                           `yaml:"signing_key_file"`
	Witness        *witnessFile                   `yaml:"witness"`
	Exports        strictyaml.Value[[]exportFile] `yaml:"exports"`
}

type witnessFile struct {
	Pos     strictyaml.Pos
	Keys    strictyaml.Keys
	URL     strictyaml.Value[endpointURL] `yaml:"url"`
	Command strictyaml.Value[[]text]      `yaml:"command"`
}

type limitsFile struct {
	Global rate `yaml:"global"`
}

type telemetryFile struct {
	OTLPEndpoint strictyaml.Value[optionalURL] `yaml:"otlp_endpoint"`
	SampleRatio  strictyaml.Value[float64]     `yaml:"sample_ratio"`
}

type logFile struct {
	Level  strictyaml.Value[logLevel]  `yaml:"level"`
	Format strictyaml.Value[logFormat] `yaml:"format"`
}

const (
	defaultAuditDirectory = "data/audit"
	defaultSync           = "mint"
	defaultRetention      = 8760 * time.Hour
	defaultSampleRatio    = 0.01
	defaultLogFormat      = "json"
)

func (c *checker) policy(f *policyFile) Policy {
	var p Policy
	for _, file := range f.Files.Items {
		p.Files = append(p.Files, c.path(file, "policy.files", ""))
	}
	return p
}

func (c *checker) store(f *storeFile) Store {
	return Store{Redis: c.redis(f.Redis, f.KeysetFile.Set()), KeysetFile: c.file(f.KeysetFile, "store.keyset_file")}
}

func (c *checker) audit(f *auditFile, credentials strictyaml.Map[credentialFile]) Audit {
	a := Audit{
		Directory: c.path(f.Directory, "audit.directory", defaultAuditDirectory),
		Sync:      string(f.Sync.Or(defaultSync)),
		Retention: c.span(f.Retention, "audit.retention", defaultRetention, time.Hour, 0),
	}
	for _, claim := range f.RecordClaims.V {
		if claim.V == "act" {
			// Of who acts nothing is kept but who he is (RFC 8693 §4.1), and that always is.
			c.fault(claim.Pos, "audit.record_claims", "the claim act; who acts is recorded anyway, as actors", "leave it out")
			continue
		}
		a.RecordClaims = append(a.RecordClaims, c.filled(claim, "audit.record_claims"))
	}
	a.SigningKeyFile = c.file(f.SigningKeyFile, "audit.signing_key_file")
	if f.Witness != nil {
		a.Witness = c.witness(f.Witness)
	}
	a.Exports = c.exports(f.Exports, credentials)
	return a
}

func (c *checker) witness(f *witnessFile) *Witness {
	w := &Witness{URL: string(f.URL.V)}
	for i, word := range f.Command.V {
		if i == 0 {
			c.filled(word, "audit.witness.command")
		}
		w.Command = append(w.Command, word.V)
	}
	if empty := f.Command.Set() && len(w.Command) == 0; !f.Keys.Has("url") && (empty || !f.Keys.Has("command")) {
		c.fault(f.Pos, "audit.witness", "neither a url nor a command", "name one, or leave the key out")
	}
	return w
}

func (c *checker) telemetry(f *telemetryFile) Telemetry {
	t := Telemetry{OTLPEndpoint: string(f.OTLPEndpoint.V), SampleRatio: f.SampleRatio.Or(defaultSampleRatio)}
	if t.SampleRatio < 0 || t.SampleRatio > 1 {
		c.fault(f.SampleRatio.Pos, "telemetry.sample_ratio", "not between 0 and 1", "write the part of all requests that is traced, like 0.01")
	}
	return t
}

func (c *checker) log(f *logFile) Log {
	return Log{Level: slog.Level(f.Level.V), Format: string(f.Format.Or(defaultLogFormat))}
}

// filled is a text that isn't empty if it is there.
func (c *checker) filled(v text, path string) string {
	if v.Set() && v.V == "" {
		c.fault(v.Pos, path, "an empty text", "fill it in, or leave it out")
	}
	return v.V
}

// syncMode is what a record must have reached before its answer.
type syncMode string

func (m *syncMode) UnmarshalScalar(text string) error {
	*m = syncMode(text)
	return strictyaml.OneOf(text, "mint", "always", "written")
}

// optionalURL may be empty, which means none.
type optionalURL string

func (u *optionalURL) UnmarshalScalar(text string) error {
	*u = optionalURL(text)
	if text == "" {
		return nil
	}
	return new(endpointURL).UnmarshalScalar(text)
}

// logLevel is the least level that is logged; the zero value is info.
type logLevel slog.Level

func (l *logLevel) UnmarshalScalar(text string) error {
	if err := strictyaml.OneOf(text, "debug", "info", "warn", "error"); err != nil {
		return err
	}
	return (*slog.Level)(l).UnmarshalText([]byte(text))
}

// logFormat is json: programs read the log, and the first line tells them our ports.
type logFormat string

func (f *logFormat) UnmarshalScalar(text string) error {
	*f = logFormat(text)
	return strictyaml.OneOf(text, defaultLogFormat)
}
