package mapping_test

import (
	"strings"
	"testing"

	"github.com/lakegate/sts/exchange"
)

// What Kubernetes says of pod and node stands in one claim whose name has a dot. A condition reads its members, and is
// explained by what it saw.
func TestConditionOnAPod(t *testing.T) {
	p := compile(t, `rules:
  - id: etl
    match:
      issuer: [okta]
      subject: ["system:serviceaccount:data:etl"]
      when: claims["kubernetes.io"].namespace == "data" && claims["kubernetes.io"].pod.name.startsWith("etl-") && claims["kubernetes.io"].node.name == "node-a"
    grant: {principal: ml}
`)
	pod := func(node string) *exchange.Attempt {
		return attempt(&exchange.Identity{Provider: "okta", Subject: "system:serviceaccount:data:etl", Claims: map[string]any{
			"kubernetes.io": map[string]any{
				"namespace": "data", "serviceaccount": map[string]any{"name": "etl", "uid": "2"}, "warnafter": int64(1),
				"node": map[string]any{"name": node, "uid": "3"}, "pod": map[string]any{"name": "etl-7d4b", "uid": "4"},
			},
		}}, "prod")
	}
	if d := p.Decide(pod("node-a")); d.Denial != nil {
		t.Errorf("%+v", d.Denial)
	}
	if d := p.Decide(pod("node-b")); d.Denial == nil {
		t.Error("granted on another node")
	}
	text := p.Explain(pod("node-b")).Text()
	for _, want := range []string{`claims["kubernetes.io"].node.name == "node-a"`, "node-b"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not tell %q", text, want)
		}
	}
}
