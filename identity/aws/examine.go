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
		date, err := p.examine(ctx, p.places[r.host])
		if err != nil {
			found.Fault = true
			found.Text = fmt.Sprintf("AWS STS can't be asked (%s); let the service reach %s, set aws.endpoints, or take the region out of aws.regions", err, r.host)
		} else if !date.IsZero() {
			ahead := date.Sub(v.now()).Round(time.Second) // a Date has whole seconds
			e.Ahead = &ahead
		}
		e.Findings = append(e.Findings, found)
	}
	return e
}

// examine asks one region, and reads off its clock.
func (p *provider) examine(ctx context.Context, at *place) (date time.Time, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at.endpoint+"/?"+paramAction+"="+action+"&"+paramVersion+"="+version, http.NoBody)
	if err != nil {
		return date, errors.New("its endpoint is no URL")
	}
	request.Host = at.region.host
	request.Header.Set("Accept", "application/json")
	response, err := p.client.Do(request)
	if err != nil {
		return date, outbound.Redact(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return date, outbound.Redact(err)
	case response.StatusCode != http.StatusForbidden && response.StatusCode != http.StatusBadRequest, errorCode(string(body)) == "":
		return date, fmt.Errorf("it answered %d, and not as AWS STS does", response.StatusCode)
	}
	date, err = http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return time.Time{}, nil // then its clock isn't known
	}
	return date, nil
}
