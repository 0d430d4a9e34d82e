package mapping_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/mapping"
)

func TestOwn(t *testing.T) {
	const policy = `version: 1
workspaces:
  prod: {host: https://dbc.cloud.databricks.com, account: aws}
principals:
  writer:
    workspace: prod
    application_id: 6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11
    scopes: [files]
    max_lifetime: 15m
    owner: security
rules: []
`
	p, err := mapping.Compile([]mapping.File{{Name: "p.yaml", Data: []byte(policy)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Own("prod", "writer")
	want := exchange.Grant{
		Workspace: "prod", Principal: "writer", Account: "aws", Host: "https://dbc.cloud.databricks.com", ApplicationID: "6f1c2b9e-0f0e-4c56-9d58-3c1b0b1c7a11",
		Method: exchange.MethodFederation, Scopes: []string{"files"}, Lifetime: 15 * time.Minute, MinLifetime: time.Minute,
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, c := range []struct{ workspace, principal, says string }{
		{"prod", "reader", "no principal"}, {"staging", "writer", `of the workspace "prod"`},
	} {
		if _, err := p.Own(c.workspace, c.principal); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s in %s: %v", c.principal, c.workspace, err)
		}
	}
}
