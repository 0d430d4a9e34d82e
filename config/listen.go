package config

import (
	"strconv"
	"strings"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Listen is where the service listens.
type Listen struct {
	HTTP      string `yaml:"http"`      // host:port; OAuth endpoints and the JSON API
	Admin     string `yaml:"admin"`     // host:port; /livez, /readyz, /metrics, always plaintext
	Plaintext bool   `yaml:"plaintext"` // [false]; true for HTTP without TLS on a host that is not the loopback
	TLS       *TLS   `yaml:"tls,omitempty"`
}

// TLS names the files of the server's certificate, absolute.
type TLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// Database is the ledger's.
type Database struct {
	SQLite string // absolute path of the file
}

// String is the database as it is written.
func (d Database) String() string { return "sqlite:" + d.SQLite }

type listenFile struct {
	Pos            strictyaml.Pos
	HTTP           strictyaml.Value[address] `yaml:"http,required"`
	GRPC           anything                  `yaml:"grpc"`
	Admin          strictyaml.Value[address] `yaml:"admin,required"`
	Plaintext      flag                      `yaml:"plaintext"`
	TrustedProxies strictyaml.Value[[]any]   `yaml:"trusted_proxies"`
	TLS            *tlsFile                  `yaml:"tls"`
}

type tlsFile struct {
	Pos          strictyaml.Pos
	CertFile     text     `yaml:"cert_file,required"`
	KeyFile      text     `yaml:"key_file,required"`
	ClientCAFile anything `yaml:"client_ca_file"`
}

func (c *checker) listen(f *listenFile) Listen {
	l := Listen{HTTP: string(f.HTTP.V), Admin: string(f.Admin.V), Plaintext: f.Plaintext.V}
	if f.TLS != nil {
		l.TLS = &TLS{CertFile: c.file(f.TLS.CertFile, "listen.tls.cert_file"), KeyFile: c.file(f.TLS.KeyFile, "listen.tls.key_file")}
	}
	switch {
	case l.Plaintext && l.TLS != nil:
		c.fault(f.Plaintext.Pos, "listen.plaintext", "plaintext beside tls", "keep one of them")
	case f.HTTP.Set() && !f.HTTP.V.loopback() && !l.Plaintext && l.TLS == nil:
		c.fault(f.HTTP.Pos, "listen.http", "listens at "+strconv.Quote(l.HTTP)+" without TLS", "add listen.tls, or listen.plaintext: true behind a mesh that encrypts, or listen at the loopback")
	}
	return l
}

const defaultDatabase = "sqlite:data/sts.db"

func (c *checker) database(v text) Database {
	kind, rest, _ := strings.Cut(v.Or(defaultDatabase), ":")
	switch {
	case kind == "postgres" || kind == "postgresql":
		c.notYet(v.Pos, "database", "a ledger in PostgreSQL, for several replicas")
	case kind != "sqlite" || rest == "" || strings.HasPrefix(rest, "//"):
		c.fault(v.Pos, "database", "not a database that we know", "write sqlite: and a path, like "+defaultDatabase)
	default:
		return Database{SQLite: c.path(text{V: rest, Pos: v.Pos}, "database", rest)}
	}
	return Database{}
}
