package saml_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/identity/saml"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/samlidp"
)

// TestExamine holds what is said of a provider that is well, of one that doesn't answer, and of one that isn't there.
func TestExamine(t *testing.T) {
	for _, test := range []struct {
		name, provider string
		fault          *emulator.Fault
		want           []string
	}{
		{"well", "legacy", nil, []string{"certificates", "until 20"}},
		{"down", "legacy", &emulator.Fault{Status: http.StatusServiceUnavailable}, []string{"503", "mend saml.metadata_uri"}},
		{"no metadata", "legacy", &emulator.Fault{Body: "<html/>"}, []string{"mend saml.metadata_uri"}},
		{"not there", "else", nil, []string{"identity_providers"}},
	} {
		w := newWorld(t)
		if test.fault != nil {
			test.fault.Route = samlidp.MetadataRoute
			w.idp.AddFault(*test.fault)
		}
		findings := w.pool.Examine(t.Context(), test.provider).Findings
		if len(findings) != 1 || findings[0].Fault != (test.name != "well") {
			t.Errorf("%s: %+v", test.name, findings)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(findings[0].Text, want) {
				t.Errorf("%s: %q doesn't say %q", test.name, findings[0].Text, want)
			}
		}
	}
}

// TestClock holds that the clock of whoever serves the metadata is known, to the doctor and as a metric.
func TestClock(t *testing.T) {
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	pool, err := saml.New(saml.Config{
		Providers: []saml.Provider{w.provider()}, Once: w.marks, Metrics: registry, Now: func() time.Time { return w.clock.Now().Add(-90 * time.Second) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if ahead := pool.Examine(t.Context(), "legacy").Ahead; ahead == nil || *ahead != 90*time.Second {
		t.Errorf("it is ahead by %v, want 90 s", ahead)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sts_identity_clock_skew_seconds" && f.GetMetric()[0].GetGauge().GetValue() == 90 {
			return
		}
	}
	t.Errorf("no metric says so: %v", families)
}
