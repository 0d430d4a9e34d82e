package config

import (
	"net/netip"
	"strconv"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Listen is where the service listens.
type Listen struct {
	HTTP      string `yaml:"http"`           // host:port; OAuth endpoints and the JSON API
	GRPC      string `yaml:"grpc,omitempty"` // host:port; the API over gRPC; "" for none
	Admin     string `yaml:"admin"`          // host:port; /livez, /readyz, /metrics, always plaintext
	Plaintext bool   `yaml:"plaintext"`      // [false]; true for HTTP and gRPC without TLS on a host that is not the loopback
	// TrustedProxies are the networks whose forwarded client certificates are believed.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies,omitempty"`
	TLS            *TLS           `yaml:"tls,omitempty"`
}

// GRPC is how gRPC is served.
type GRPC struct {
	Reflection bool `yaml:"reflection"` // clients may ask for the description of the services
}

// TLS names files, absolute. Without the server's certificate the listeners are plaintext, and ClientCAFile is for
// certificates that a proxy forwards.
type TLS struct {
	CertFile     string `yaml:"cert_file,omitempty"`
	KeyFile      string `yaml:"key_file,omitempty"`
	ClientCAFile string `yaml:"client_ca_file,omitempty"` // of clients that authenticate by certificate
}

type listenFile struct {
	Pos            strictyaml.Pos
	HTTP           strictyaml.Value[address]   `yaml:"http,required"`
	GRPC           strictyaml.Value[address]   `yaml:"grpc"`
	Admin          strictyaml.Value[address]   `yaml:"admin,required"`
	Plaintext      flag                        `yaml:"plaintext"`
	TrustedProxies []strictyaml.Value[network] `yaml:"trusted_proxies"`
	TLS            *tlsFile                    `yaml:"tls"`
}

type grpcFile struct {
	Reflection flag `yaml:"reflection"`
}

type tlsFile struct {
	Pos          strictyaml.Pos
	CertFile     text `yaml:"cert_file"`
	KeyFile      text `yaml:"key_file"`
	ClientCAFile text `yaml:"client_ca_file"`
}

func (c *checker) listen(f *listenFile) Listen {
	l := Listen{HTTP: string(f.HTTP.V), GRPC: string(f.GRPC.V), Admin: string(f.Admin.V), Plaintext: f.Plaintext.V}
	for _, proxy := range f.TrustedProxies {
		l.TrustedProxies = append(l.TrustedProxies, netip.Prefix(proxy.V))
	}
	secure := f.TLS != nil && (f.TLS.CertFile.Set() || f.TLS.KeyFile.Set() || !f.TLS.ClientCAFile.Set())
	if f.TLS != nil {
		l.TLS = c.tls(f.TLS, secure)
	}
	if l.Plaintext && secure {
		c.fault(f.Plaintext.Pos, "listen.plaintext", "plaintext beside tls", "keep one of them; of tls, client_ca_file alone may stay")
	}
	if !l.Plaintext && !secure {
		c.mustBeLoopback(f.HTTP, "listen.http")
		c.mustBeLoopback(f.GRPC, "listen.grpc")
	}
	return l
}

// mustBeLoopback refuses to take credentials over a network in plaintext.
func (c *checker) mustBeLoopback(v strictyaml.Value[address], path string) {
	if v.Set() && !v.V.loopback() {
		c.fault(v.Pos, path, "listens at "+strconv.Quote(string(v.V))+" without TLS", "add listen.tls, or listen.plaintext: true behind a mesh that encrypts, or listen at the loopback")
	}
}

func (c *checker) grpc(f *grpcFile, listen Listen) GRPC {
	if f.Reflection.V && listen.GRPC == "" {
		c.fault(f.Reflection.Pos, "grpc.reflection", "gRPC is not served", "add listen.grpc, or leave this out")
	}
	return GRPC{Reflection: f.Reflection.V}
}

// tls reads the names of the files. Only client_ca_file can stand alone: for a listener in plaintext that is given client
// certificates by its proxy.
func (c *checker) tls(f *tlsFile, secure bool) *TLS {
	if secure && !f.CertFile.Set() {
		c.missing(f.Pos, "listen.tls", "cert_file", "add it")
	}
	if secure && !f.KeyFile.Set() {
		c.missing(f.Pos, "listen.tls", "key_file", "add it")
	}
	return &TLS{
		CertFile: c.file(f.CertFile, "listen.tls.cert_file"), KeyFile: c.file(f.KeyFile, "listen.tls.key_file"),
		ClientCAFile: c.file(f.ClientCAFile, "listen.tls.client_ca_file"),
	}
}
