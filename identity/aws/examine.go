package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/lakegate/sts/identity"
	"github.com/lakegate/sts/internal/outbound"
)

// Examine asks the AWS STS of every configured region a question that nobody has signed, which it must refuse, and says how
// that went. It serves people who look for what is wrong.
func (v *Verifier) Examine(ctx context.Context, name string) identity.Examination {
	p := v.current.Load()
	if p == nil || p.Name != name {
		return identity.Examination{Findings: []identity.Finding{{
			Part: "configuration", Fault: true, Text: "there is no such identity provider; add it to identity_providers",
		}}}
	}
	e := identity.Examination{Leeway: p.ClockSkew}
	for _, name := range slices.Sorted(slices.Values(p.Regions)) {
		r, _ := regionOf(name)
		found := identity.Finding{Part: name, Text: "AWS STS answers"}
		if err := p.examine(ctx, p.places[r.host], v.now); err != nil {
			found.Fault = true
			found.Text = fmt.Sprintf("AWS STS can't be asked (%s); let the service reach %s, set aws.endpoints, or take the region out of aws.regions", err, r.host)
		}
		e.Findings = append(e.Findings, found)
	}
	e.Ahead = p.clock.Ahead()
	return e
}

// examine asks one region, and reads off its clock.
func (p *provider) examine(ctx context.Context, at *place, now func() time.Time) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at.endpoint+"/?"+paramAction+"="+action+"&"+paramVersion+"="+version, http.NoBody)
	if err != nil {
		return errors.New("its endpoint is no URL")
	}
	request.Host = at.region.host
	request.Header.Set("Accept", "application/json")
	response, err := p.client.Do(request)
	if err != nil {
		return outbound.Redact(err)
	}
	defer func() { _ = response.Body.Close() }()
	p.clock.Answered(response.Header, now())
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return outbound.Redact(err)
	case response.StatusCode != http.StatusForbidden && response.StatusCode != http.StatusBadRequest, errorCode(string(body)) == "":
		return fmt.Errorf("it answered %d, and not as AWS STS does", response.StatusCode)
	}
	return nil
}
