package aws_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/aws"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/awssts"
)

func TestNewRefuses(t *testing.T) {
	_, err := aws.New(aws.Config{Once: &marks{}, Provider: &aws.Provider{
		Name: "aws", Audience: "two words", AccountIDs: []string{"12345678901", "a23456789012"}, Regions: []string{"eu-central", "sts.evil.example"},
		Endpoints: map[string]string{"us-east-1": "https://vpce.example", "eu-central": "http://vpce.example"}, ClockSkew: time.Hour, MaxTokenAge: time.Hour,
	}})
	for _, want := range []string{
		"audience", "12 digits", `"eu-central", which is no region`, `"sts.evil.example", which is no region`, `"us-east-1", which is not among regions`,
		`the endpoint for "eu-central" must be`, "clock_skew", "max_token_age",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoesn't say %q", err, want)
		}
	}
	if _, err := aws.New(aws.Config{Provider: &aws.Provider{}}); err == nil {
		t.Error("requests that could be used again are accepted")
	}
}

func TestEndpoints(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"https://vpce-1.sts.eu-central-1.vpce.amazonaws.com": true, "https://vpce.example/": true, "http://127.0.0.1:1": true, "http://localhost": true,
		"http://[::1]:80": true, "https://vpce.example:8443": true, "http://vpce.example": false, "https://vpce.example/x": false, "https://a@vpce.example": false,
		"https://vpce.example?x": false, "https://vpce.example#x": false, "vpce.example": false, "": false, "ftp://vpce.example": false, "https://": false, "https://vpce.example//": false,
	} {
		_, err := aws.New(aws.Config{Once: &marks{}, Provider: &aws.Provider{
			Name: "aws", Audience: audience, AccountIDs: []string{account}, Regions: []string{"eu-central-1"}, Endpoints: map[string]string{"eu-central-1": endpoint},
		}})
		if (err == nil) != ok {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

// A request in flight ends by the settings that it began with; the next has those of the reload.
func TestReload(t *testing.T) {
	w := newWorld(t)
	if _, err := w.verifier.Prepare(&aws.Provider{}); err == nil {
		t.Error("a bad provider is accepted")
	}
	if _, err := w.verify(w.sign(awssts.Ask{}).Text()); err != nil {
		t.Errorf("after a refused reload: %v", err)
	}
	next := *w.settings
	next.AccountIDs = []string{"210987654321"}
	commit, err := w.verifier.Prepare(&next)
	if err != nil {
		t.Fatal(err)
	}
	commit()
	_, err = w.verify(w.sign(awssts.Ask{}).Text())
	w.refused(err, exchange.CodeInvalidRequest, exchange.ReasonIssuerUnknown)
	if commit, err = w.verifier.Prepare(nil); err != nil {
		t.Fatal(err)
	}
	commit()
	_, err = w.verify(w.sign(awssts.Ask{}).Text())
	w.refused(err, exchange.CodeInvalidRequest, exchange.ReasonTokenTypeUnsupported)
}

// Each region has its host, its scope and its partition; the token's host chooses among them.
func TestRegions(t *testing.T) {
	for region, host := range map[string]string{
		"eu-central-1": "sts.eu-central-1.amazonaws.com", "cn-north-1": "sts.cn-north-1.amazonaws.com.cn", "us-gov-west-1": "sts.us-gov-west-1.amazonaws.com",
	} {
		c := newClock()
		sts := awssts.New(awssts.Config{Region: region, Now: c.now})
		url, err := sts.Start()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sts.Close)
		v, err := aws.New(aws.Config{Once: &marks{seen: map[string]bool{}}, Now: c.now, Provider: &aws.Provider{
			Name: "aws", Audience: audience, AccountIDs: []string{account}, Regions: []string{"us-east-1", region}, Endpoints: map[string]string{region: url},
		}})
		if err != nil {
			t.Fatal(err)
		}
		draft, err := sts.Sign(sts.Role(account, "etl", "s1"), awssts.Ask{Audience: audience})
		if err != nil {
			t.Fatal(err)
		}
		id, err := v.Verify(t.Context(), exchange.Presented{Token: exchange.Secret(draft.Text())}, exchange.UseSubject)
		if err != nil || sts.Host() != host || id.Claims["region"] != region || !strings.HasSuffix(id.Subject, ":iam::"+account+":role/etl") {
			t.Errorf("%s: %+v, %v", region, id, err)
		}
	}
}

// Tokens of all kinds are counted in one metric.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	w := newWorld(t)
	var err error
	for range 2 { // the second finds the metric there
		w.verifier, err = aws.New(aws.Config{Provider: w.settings, Once: w.marks, Now: func() time.Time { return w.now().Add(90 * time.Second) }, Metrics: registry})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, _ = w.verify(w.sign(awssts.Ask{}).Text())
	_, _ = w.verify("{}")
	got := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[f.GetName()+" "+m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	if diff := cmp.Diff(map[string]float64{
		"sts_identity_verifications_total aws ok": 1, "sts_identity_verifications_total aws subject_token_invalid": 1,
		"sts_identity_clock_skew_seconds aws date": -90, // AWS's clock is right, and ours is ahead
	}, got); diff != "" {
		t.Error(diff)
	}
}

// A look at it tells which region's AWS STS can't be asked, without a signature of anybody.
func TestExamine(t *testing.T) {
	w := newWorld(t, func(p *aws.Provider) {
		p.Regions = append(p.Regions, "us-east-1")
		p.Endpoints["us-east-1"] = "http://127.0.0.1:1"
	})
	look := w.verifier.Examine(t.Context(), "aws")
	if len(look.Findings) != 2 || look.Findings[0].Fault || look.Ahead == nil || look.Leeway != 30*time.Second ||
		!look.Findings[1].Fault || !strings.Contains(look.Findings[1].Text, "let the service reach sts.us-east-1.amazonaws.com") {
		t.Errorf("%+v", look)
	}
	defer w.sts.AddFault(emulator.Fault{Status: 403, Body: "<html>no</html>"})()
	if look := w.verifier.Examine(t.Context(), "aws"); !look.Findings[0].Fault || !strings.Contains(look.Findings[0].Text, "not as AWS STS does") {
		t.Errorf("%+v", look)
	}
	if look := w.verifier.Examine(t.Context(), "other"); len(look.Findings) != 1 || !look.Findings[0].Fault {
		t.Errorf("%+v", look)
	}
}
