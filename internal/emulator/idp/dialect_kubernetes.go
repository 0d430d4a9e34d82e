package idp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// KubernetesIssuer is what most clusters call themselves, so that nobody outside can ask them for their keys.
const KubernetesIssuer = "https://kubernetes.default.svc.cluster.local"

// Kubernetes is the API server of a cluster, as far as tokens of service accounts go: it tells its keys over TLS by a CA of
// its own, and only to who has a token for itself.
type Kubernetes struct {
	*Server
	ca, address string
	api         *http.Server

	mu     sync.Mutex
	tokens map[string]time.Time // for the API itself, with their ends
}

// NewKubernetes makes a cluster. Start serves it.
func NewKubernetes(cfg Config) (*Kubernetes, error) {
	cfg.Issuers = []IssuerConfig{{Name: "cluster", Issuer: KubernetesIssuer, Algorithms: []string{"RS256"}}}
	cfg.URL = "https://kubernetes.default.svc"
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	k := &Kubernetes{Server: s, tokens: map[string]time.Time{}}
	s.Handle("GET /openid/v1/jwks", k.toWhoIsKnown(func(w http.ResponseWriter, _ *http.Request) {
		emulator.WriteJSON(w, http.StatusOK, s.Issuer("").JWKS())
	}))
	s.Handle("GET /.well-known/openid-configuration", k.toWhoIsKnown(func(w http.ResponseWriter, _ *http.Request) {
		emulator.WriteJSON(w, http.StatusOK, map[string]any{
			"issuer": KubernetesIssuer, "jwks_uri": k.JWKSURI(), "response_types_supported": []string{"id_token"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	}))
	return k, nil
}

// Start serves TLS on a port of its own, until Close.
func (k *Kubernetes) Start() (string, error) {
	certificate, ca, err := newServerCertificate()
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	k.ca, k.address = ca, "https://"+listener.Addr().String()
	k.api = &http.Server{Handler: http.HandlerFunc(k.serve), ReadHeaderTimeout: 10 * time.Second, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}}
	go func() { _ = k.api.ServeTLS(listener, "", "") }()
	return k.address, nil
}

// Close stops serving.
func (k *Kubernetes) Close() { _ = k.api.Close() }

// CA is the certificate that vouches for the API server, in PEM.
func (k *Kubernetes) CA() string { return k.ca }

// JWKSURI is where its keys are.
func (k *Kubernetes) JWKSURI() string { return k.address + "/openid/v1/jwks" }

// serve keeps the routes of an ordinary provider, which asks nobody who he is, out of reach.
func (k *Kubernetes) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/cluster/") {
		status(w, http.StatusNotFound)
		return
	}
	k.ServeHTTP(w, r)
}

func (k *Kubernetes) toWhoIsKnown(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, is := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		k.mu.Lock()
		end, known := k.tokens[token]
		k.mu.Unlock()
		if !is || !known || !k.Now().Before(end) {
			status(w, http.StatusUnauthorized)
			return
		}
		serve(w, r)
	}
}

// status answers as the API does.
func status(w http.ResponseWriter, code int) {
	emulator.WriteJSON(w, code, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": strings.ReplaceAll(http.StatusText(code), " ", ""), "code": code})
}

// APIToken makes a token for the API itself, as the kubelet puts one into each pod and replaces it within the hour.
func (k *Kubernetes) APIToken(lifetime time.Duration) (string, error) {
	recipe := k.ServiceAccountToken(Pod{Namespace: "lakegate", ServiceAccount: "sts", Name: "sts-0", Node: "node-a"}, KubernetesIssuer)
	recipe.Lifetime = lifetime
	token, err := k.Mint(recipe)
	if err != nil {
		return "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tokens[token] = k.Now().Add(lifetime)
	return token, nil
}

// Pod is who a projected token is bound to.
type Pod struct{ Namespace, ServiceAccount, Name, Node string }

// ServiceAccountToken is a projected one, for an hour. Kubernetes writes no typ.
func (k *Kubernetes) ServiceAccountToken(p Pod, audience string) Token {
	now := k.Now()
	named := func(name string) map[string]any {
		return map[string]any{"name": name, "uid": fmt.Sprintf("%08x-0000-4000-8000-000000000000", len(name))}
	}
	return Token{Lifetime: time.Hour, Header: map[string]any{"typ": nil}, Claims: map[string]any{
		"sub": "system:serviceaccount:" + p.Namespace + ":" + p.ServiceAccount, "aud": []string{audience}, "nbf": now.Unix(),
		"kubernetes.io": map[string]any{
			"namespace": p.Namespace, "serviceaccount": named(p.ServiceAccount), "pod": named(p.Name), "node": named(p.Node),
			"warnafter": now.Add(50 * time.Minute).Unix(),
		},
	}}
}

// LegacyServiceAccountToken is one that was kept in a secret: without an audience, and for ever.
func (k *Kubernetes) LegacyServiceAccountToken(namespace, account string) Token {
	return Token{Header: map[string]any{"typ": nil}, Claims: map[string]any{
		"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:" + namespace + ":" + account, "iat": nil, "exp": nil, "jti": nil,
		"kubernetes.io/serviceaccount/namespace": namespace, "kubernetes.io/serviceaccount/service-account.name": account,
		"kubernetes.io/serviceaccount/secret.name": account + "-token-x7k2p", "kubernetes.io/serviceaccount/service-account.uid": "1",
	}}
}

// newServerCertificate makes a certificate for the loopback, and the CA that signed it, in PEM.
func newServerCertificate() (certificate tls.Certificate, ca string, err error) {
	issue := func(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) []byte {
		template.NotBefore, template.NotAfter = time.Unix(0, 0), time.Unix(1<<33, 0) // whatever a test makes of the clock
		der, failed := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
		if failed != nil {
			err = failed
		}
		return der
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificate, "", err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return certificate, "", err
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"kubernetes.default.svc"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	rootDER := issue(root, root, caKey, caKey)
	leafDER := issue(leaf, root, key, caKey)
	if err != nil {
		return certificate, "", err
	}
	return tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})), nil
}
