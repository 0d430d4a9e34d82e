package e2e_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// metric is what documentation and exposition both say of one: its type, and its labels, sorted.
type metric struct{ Type, Labels string }

// TestMetricsAreDocumented holds docs/metrics.md against what a service that has served shows, in both directions.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	p := &people{}
	w := newWorld(t, on(postgres.NewDatabase(t)), over(startRedis(t), "50ms"), exporting("file"), asking, withSAML, p.join)
	t.Cleanup(p.tell)
	mustGrant(t, w.Ask(), tenMinutes)
	for range 2 { // the second time, the groups are known
		mustGrant(t, w.Ask(as("people"), with("subject_token_type", typeAccessToken), p.mint(p.entra.AccessToken(p.over(), true))), tenMinutes)
	}
	w.API("/v1/mappings", "") // is counted, whatever comes of it
	w.Eventually("the parts and the provider's keys are looked at", func() bool {
		shown := w.Metrics()
		return strings.Contains(shown, "sts_part_ok{") && strings.Contains(shown, "sts_jwks_age_seconds{") &&
			strings.Contains(shown, "sts_identity_introspections_total{") && strings.Contains(shown, "sts_saml_metadata_age_seconds{")
	})
	if diff := cmp.Diff(documented(t), exposed(w.Metrics())); diff != "" {
		t.Errorf("documented (-), exposed (+):\n%s", diff)
	}
}

var (
	documentedRow = regexp.MustCompile("(?m)^\\| `(sts_[a-z_]+)` \\| ([a-z]+) \\|([^|]*)\\|")
	exposedType   = regexp.MustCompile(`(?m)^# TYPE (sts_[a-z_]+) ([a-z]+)$`)
	exposedSeries = regexp.MustCompile(`(?m)^(sts_[a-z_]+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? [^ ]+$`)
	labelName     = regexp.MustCompile(`([a-z_]+)="(?:[^"\\]|\\.)*"`)
	word          = regexp.MustCompile(`[a-z_]+`)
)

// documented reads the tables of docs/metrics.md.
func documented(t *testing.T) map[string]metric {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string]metric{}
	for _, row := range documentedRow.FindAllStringSubmatch(string(text), -1) {
		labels := word.FindAllString(row[3], -1)
		slices.Sort(labels)
		if _, twice := metrics[row[1]]; twice {
			t.Errorf("%s is documented twice", row[1])
		}
		metrics[row[1]] = metric{row[2], strings.Join(labels, " ")}
	}
	return metrics
}

// exposed reads our metrics from the text of /metrics.
func exposed(text string) map[string]metric {
	labels := map[string]map[string]bool{}
	for _, series := range exposedSeries.FindAllStringSubmatch(text, -1) {
		if labels[series[1]] == nil {
			labels[series[1]] = map[string]bool{}
		}
		for _, l := range labelName.FindAllStringSubmatch(series[2], -1) {
			if l[1] != "le" { // every histogram's
				labels[series[1]][l[1]] = true
			}
		}
	}
	metrics := map[string]metric{}
	for _, m := range exposedType.FindAllStringSubmatch(text, -1) {
		metrics[m[1]] = metric{m[2], strings.Join(slices.Sorted(maps.Keys(labels[m[1]])), " ")}
	}
	return metrics
}
