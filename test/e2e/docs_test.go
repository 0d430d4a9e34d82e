package e2e_test

import (
	"crypto/tls"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestClientsDocument runs the commands of docs/clients.md and lets the clients in that they make.
func TestClientsDocument(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	// script is the document's commands that begin so, but for those that need a service at that name.
	script := func(starts ...string) string {
		var script strings.Builder
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(document), -1) {
			for _, start := range starts {
				if strings.HasPrefix(block[1], start) {
					script.WriteString(block[1])
				}
			}
		}
		return script.String()
	}
	run := func(w *world, script string) string {
		t.Helper()
		sh := exec.Command("sh", "-euc", script)
		sh.Dir = w.dir
		out, err := sh.Output()
		if err != nil {
			t.Fatalf("%v: %s\n%s", err, out, script)
		}
		return strings.TrimSpace(string(out))
	}
	var subject string
	w := prepareWorld(t, func(w *world, s *setup) {
		cert, key := certificate(t, 1)
		w.WriteFile("server.crt", cert)
		w.WriteFile("server.key", key)
		run(w, script("base64url"))
		subject = strings.TrimPrefix(run(w, script("openssl req")), "subject=")
		s.config["listen"].(object)["tls"] = object{"cert_file": "server.crt", "key_file": "server.key", "client_ca_file": "clients-ca.crt"}
		c := s.config["clients"].(object)
		c["nightly-etl"] = w.clientWithoutSecret(object{"auth_method": "private_key_jwt", "jwks_file": "etl.jwks.json"}, nil)
		c["by-certificate"] = w.clientWithoutSecret(object{"auth_method": "tls_client_auth", "tls_client_auth_subject_dn": subject}, nil)
	})
	if want := "CN=nightly-etl,OU=Data,O=Acme"; subject != want || !strings.Contains(string(document), "tls_client_auth_subject_dn: "+want) {
		t.Errorf("the subject is %q, want %q", subject, want)
	}
	// The commands take the machine's time, so the service starts in the past and is then set right.
	w.Move(-settled)
	w.Start()
	w.Move(0)

	made := script("base64url", "now=")
	made = strings.Replace(made[:strings.Index(made, "openssl genpkey")]+made[strings.Index(made, "now="):], "https://sts.acme.example", stsIssuer, 1)
	assertion := run(w, made+"\nprintf %s \"$assertion\"")
	mustGrant(t, w.Presenting((*pair)(nil).tls()).Ask(w.byItself("", signing(assertion))...), tenMinutes)

	certificate, err := tls.LoadX509KeyPair(w.dir+"/etl.crt", w.dir+"/etl-tls.key")
	if err != nil {
		t.Fatal(err)
	}
	mustGrant(t, w.Presenting(&certificate).Ask(w.byItself("by-certificate")...), tenMinutes)
}
