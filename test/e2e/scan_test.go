package e2e_test

import (
	"errors"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// planted are secrets that have never been used: the scan must find them where they are put.
var planted = []string{
	"eyJwbGFudGVkIjp0cnVlfQ.eyJzdWIiOiJwbGFudGVkLXN1YmplY3QifQ.cGxhbnRlZC1zaWduYXR1cmUtMDEyMzQ1Njc4OWFiY2RlZg",
	"planted+client/secret=with%20marks~0123456789",
	"dGhpcmQ6IGJ5dGVzIGluIGJhc2U2NCwgMzIgbG9uZw",
}

// holdsNoSecret returns what is wrong with sources, by name: a secret in one, or that the scan doesn't see a planted one
// there, in any form. Each is gone through once, with the planted ones in its middle.
func holdsNoSecret(sources map[string]string, secrets []string) (faults []string) {
	scan := newScanner(slices.Concat(planted, secrets))
	var middle strings.Builder
	places := map[int]string{} // where in the middle a secret begins
	for _, secret := range planted {
		for _, form := range forms(secret) {
			middle.WriteString("\n")
			places[middle.Len()] = secret
			middle.WriteString(form)
		}
	}
	middle.WriteString("\n")
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		text := sources[name]
		from := len(text) / 2
		to := from + middle.Len()
		unseen := maps.Clone(places)
		for _, h := range scan.all(text[:from] + middle.String() + text[from:]) {
			switch {
			case h.at >= from && h.at < to:
				if unseen[h.at-from] == h.secret {
					delete(unseen, h.at-from)
				}
			case slices.Contains(planted, h.secret):
				faults = append(faults, "the planted secret was in "+name+" before it was planted")
			default:
				faults = append(faults, name+" holds a secret: "+h.secret[:min(len(h.secret), 12)]+"…")
			}
		}
		for at := range unseen {
			faults = append(faults, "the scan doesn't find a planted secret in "+name+" as "+middle.String()[at:at+window]+"…")
		}
	}
	return slices.Compact(faults)
}

// sources are all places where no secret may ever be, as this world has them. What must have said something and hasn't
// is a fault: there was nothing to look through.
func (w *world) sources() map[string]string {
	w.t.Helper()
	said := func(name, text string, must bool, err error) string {
		if err != nil {
			w.t.Errorf("looking through %s: %v", name, err)
		} else if must && text == "" {
			w.t.Errorf("there is no %s to look through", name)
		}
		return text
	}
	var records []string
	err := filepath.WalkDir(w.auditDir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			records = append(records, path)
		}
		return err
	})
	sources := map[string]string{"log": said("log", w.sts.Log(), true, nil), "metrics": w.lastMetrics}
	if !os.IsNotExist(err) { // a disk of the service's own has gone with it
		audit, readErr := readFiles(records...)
		sources["audit"] = said("audit", audit, true, errors.Join(err, readErr))
	}
	ledger, err := w.dumpLedger()
	sources["ledger"] = said("ledger", ledger, true, err)
	if w.redis != nil {
		shared, err := dumpRedis(w.redis)
		written := strings.Contains(w.lastMetrics, `sts_redis_calls_total{operation="set",result="ok"}`)
		sources["redis"] = said("redis", shared, written, err)
	}
	for name, text := range w.sinks {
		there, err := text()
		sources["what was exported to "+name] = said("far end "+name, there, name != "volume" && name != "command", err)
	}
	w.said.mu.Lock()
	defer w.said.mu.Unlock()
	sources["traces"], sources["errors"], sources["grpc"] = w.said.traces.String(), w.said.errors.String(), w.said.grpc.String()
	return sources
}

// scan looks through everything that this world's service has said and kept. It runs at the end of every test, so that
// the whole suite is the search.
func (w *world) scan() {
	w.t.Helper()
	secrets := slices.Concat(w.idp.Secrets(), w.dbx.Secrets(), slices.Collect(maps.Values(w.secrets)))
	keys, err := w.keysetSecrets()
	if err != nil {
		w.t.Error(err)
	}
	sources := w.sources()
	w.said.mu.Lock()
	secrets = slices.Concat(secrets, keys, w.said.secrets)
	w.said.mu.Unlock()
	for _, fault := range holdsNoSecret(sources, secrets) {
		w.t.Error(fault)
	}
}

// TestScanFinds holds that the scan finds a secret wherever it is, and that nothing passes unseen.
func TestScanFinds(t *testing.T) {
	t.Parallel()
	const secret = "c2VjcmV0LW9mLWEtdGVzdC10aGF0LWlzLW5vLW9uZS4"
	for _, form := range forms(secret) {
		text := strings.Repeat("other things, \x00\xff ", 20) + form + strings.Repeat(" and more", 20)
		if faults := holdsNoSecret(map[string]string{"redis": text, "log": "none"}, []string{secret}); len(faults) != 1 || !strings.HasPrefix(faults[0], "redis holds") {
			t.Errorf("%q: %v", form, faults)
		}
	}
	if faults := holdsNoSecret(map[string]string{"ledger": "x" + planted[1]}, nil); len(faults) != 1 {
		t.Errorf("a planted one: %v", faults)
	}
	if faults := holdsNoSecret(map[string]string{"empty": "", "log": strings.Repeat("nothing ", 100)}, []string{secret}); len(faults) != 0 {
		t.Errorf("nothing: %v", faults)
	}
}

// TestScan uses every kind of secret, in good requests and in bad ones, and sees that there was something to look
// through. The looking itself is done at the end of this test as of every other.
func TestScan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, on(postgres.NewDatabase(t)), over(startRedis(t), "1s"), exporting("file", "ocsf", "otlp"))
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

	for _, change := range []func(*request){token(w.Token(nil)), with("subject_token", w.Token(nil)+"x"), as(w.secrets["kong"]), with("audience", w.Token(nil))} {
		r := b0(w)
		change(&r)
		askGRPC(w, r)
	}

	w.Finish()
	for name, text := range w.sources() {
		if text == "" {
			t.Errorf("there is no %s to look through", name)
		}
	}
	if len(w.Of("exchange")) < 10 || len(w.Of("mint")) < 3 || len(w.Of("subject")) < 3 {
		t.Error("there are too few records to look through")
	}
}
