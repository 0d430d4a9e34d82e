package e2e_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// sources are the places where no secret may ever be.
type sources struct {
	log, audit, metrics, traces, errors string
}

func (s *sources) each() map[string]*string {
	return map[string]*string{"log": &s.log, "audit": &s.audit, "metrics": &s.metrics, "traces": &s.traces, "errors": &s.errors}
}

// window is how much of a secret must be seen to call it found. It is shorter than any segment that matters.
const window = 16

// scanner looks for many secrets at once, each in every form in which it may have leaked.
type scanner struct {
	forms map[string]string // the first window bytes of a form: what it is a form of
}

func newScanner(secrets []string) *scanner {
	s := &scanner{forms: map[string]string{}}
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if len(form) >= window {
				s.forms[form[:window]] = secret
			}
		}
	}
	return s
}

// forms are the secret whole, by segment, in base64 and percent-encoded.
func forms(secret string) []string {
	all := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	if parts := strings.Split(secret, "."); len(parts) == 3 {
		all = append(all, parts[1], parts[2]) // the header of a token is no secret, and alike in all
		if middle := len(parts[2]) / 2; middle >= window {
			all = append(all, parts[2][middle:])
		}
	}
	for _, form := range all[:1] {
		all = append(all, base64.StdEncoding.EncodeToString([]byte(form)), base64.URLEncoding.EncodeToString([]byte(form)))
		// Behind "id:", as in HTTP Basic, the encoding is shifted by one or two bytes.
		for shift := 1; shift <= 2; shift++ {
			all = append(all, base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + form))[4:])
		}
	}
	return all
}

// find returns the first secret in text, "" if there is none.
func (s *scanner) find(text string) string {
	for i := 0; i+window <= len(text); i++ {
		if secret, found := s.forms[text[i:i+window]]; found {
			return secret
		}
	}
	return ""
}

// planted is a secret that has never been used: the scanner must find it where it is put.
var planted = []string{
	"eyJwbGFudGVkIjp0cnVlfQ.eyJzdWIiOiJwbGFudGVkLXN1YmplY3QifQ.cGxhbnRlZC1zaWduYXR1cmUtMDEyMzQ1Njc4OWFiY2RlZg",
	"planted+client/secret=with%20marks~0123456789",
}

// holdsNoSecret proves that the scan sees each source and each form, and then that no source holds a secret.
func holdsNoSecret(t *testing.T, s sources, secrets []string) {
	t.Helper()
	proof := newScanner(planted)
	for name, text := range s.each() {
		for _, secret := range planted {
			for _, form := range forms(secret) {
				middle := len(*text) / 2
				if proof.find((*text)[:middle]+form+(*text)[middle:]) != secret {
					t.Fatalf("the scan doesn't find a planted secret in %s as %q", name, form)
				}
			}
		}
		if found := proof.find(*text); found != "" {
			t.Fatalf("the planted secret was in %s before it was planted", name)
		}
	}
	scan := newScanner(secrets)
	for name, text := range s.each() {
		if found := scan.find(*text); found != "" {
			t.Errorf("%s holds a secret: %.12s…", name, found)
		}
	}
}

// collected is what a world's answers and traces said, kept for the scan.
type collected struct {
	mu     sync.Mutex
	errors strings.Builder
	traces strings.Builder
	// secrets are those that the test made itself and sent.
	secrets []string
}

func (c *collected) addSecret(secret string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets = append(c.secrets, secret)
}

func (c *collected) addError(a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(&c.errors, "%d %v %s\n", a.Status, a.Header, a.Body)
}

func (c *collected) addTrace(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.traces.WriteString(text)
	c.traces.WriteByte('\n')
}

// scan looks through everything that this world's service has said. It runs at the end of every test, so that the whole
// suite is the search.
func (w *world) scan() {
	w.t.Helper()
	secrets := append(w.idp.Secrets(), w.dbx.Secrets()...)
	for _, s := range w.secrets {
		secrets = append(secrets, s)
	}
	var audit strings.Builder
	err := filepath.WalkDir(w.auditDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		audit.Write(text)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		w.t.Error(err)
	}
	w.said.mu.Lock()
	defer w.said.mu.Unlock()
	secrets = append(secrets, w.said.secrets...)
	holdsNoSecret(w.t, sources{
		log: w.sts.Log(), audit: audit.String(), metrics: w.lastMetrics,
		traces: w.said.traces.String(), errors: w.said.errors.String(),
	}, secrets)
}

// TestScan uses every kind of secret, in good requests and in bad ones, and sees that there was something to look
// through. The looking itself is done at the end of this test as of every other.
func TestScan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, group := range []string{"data-eng", "legacy", "details", "nobody"} {
		w.Ask(token(w.Token(map[string]any{"groups": []string{group}})))
	}
	w.Ask(as("poster"))
	w.Ask(as("poster"), with("scope", w.secrets["poster"]))
	w.Ask(with("subject_token", w.Token(nil)+"x"))
	w.Ask(with("audience", w.Token(nil)))
	w.Ask(with("resource", "https://h.example/"+w.Token(nil)))
	w.Ask(with("requested_token_type", w.Token(nil)))
	w.Ask(with("subject_token_type", w.Token(nil)))
	w.Ask(with("grant_type", w.Token(nil)))
	w.Ask(with("requested_lifetime", w.Token(nil)))
	w.Ask(with("authorization_details", w.Token(nil)))
	w.Ask(with("actor_token", w.Token(nil), "actor_token_type", typeJWT))
	w.Ask(as(w.secrets["kong"]))
	query := w.FormRequest(b0(w).Params.Encode())
	query.URL.RawQuery = url.Values{"subject_token": {w.Token(nil)}, "client_secret": {w.secrets["kong"]}}.Encode()
	w.Do(query)
	w.Ask(func(r *request) { r.Header = map[string][]string{"X-Request-Id": {w.Token(nil)}} }, as("tracker"))

	w.Finish()
	for name, text := range (&sources{log: w.sts.Log(), metrics: w.lastMetrics, traces: w.said.traces.String(), errors: w.said.errors.String(), audit: "checked below"}).each() {
		if *text == "" {
			t.Errorf("there is no %s to look through", name)
		}
	}
	if len(w.Of("exchange")) < 10 || len(w.Of("mint")) < 3 || len(w.Of("subject")) < 3 {
		t.Error("there are too few records to look through")
	}
}
