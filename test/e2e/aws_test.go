package e2e_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/awssts"
)

const (
	typeAWS    = string(exchange.TypeAWS4Request)
	awsAccount = "123456789012"
)

// inAWS is a world with roles of AWS, whose policy grants the role etl to its account's sessions of EC2 instances.
func inAWS(w *world, s *setup) {
	w.aws = awssts.New(awssts.Config{Now: emulator.FileClock(w.clock)})
	url, err := w.aws.Start()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.aws.Close)
	s.config["identity_providers"].(object)["aws"] = object{"aws": object{
		"account_ids": list{awsAccount, "210987654321"}, "regions": list{w.aws.Region()}, "endpoints": object{w.aws.Region(): url},
	}}
	clients := s.config["clients"].(object)
	kong := clients["kong"].(object)
	kong["identity_providers"] = append(kong["identity_providers"].(list), "aws")
	for i := range 2 * len(entrances) {
		clients[attacker(i)] = w.client(attacker(i), object{"identity_providers": list{"aws"}, "limits": object{"rate": "100000/s", "burst": 100000}})
	}
	s.policy["rules"] = append(s.policy["rules"].(list), object{
		"id": "etl-in-aws", "owner": "tests", "match": object{
			"issuer": list{"aws"}, "subject": list{"arn:aws:iam::*:role/etl*"},
			"when": `claims.account == "` + awsAccount + `" && !claims.session_name.startsWith("someone")`,
		},
		"grant": object{"principal": "etl", "lifetime": "1h"},
	})
}

// startAWS starts a world in AWS whose service has kept marks for long enough.
func startAWS(t *testing.T, change ...func(w *world, s *setup)) *world {
	t.Helper()
	w := prepareWorld(t, append(change, inAWS)...)
	w.Move(-onceSettled)
	w.Start()
	t.Cleanup(func() { w.said.addSecrets(w.aws.Secrets()) })
	mustRefuse(t, w.Ask(w.signed("etl", "i-0", awssts.Ask{})), http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonReplayCheckUnavailable)
	w.Move(0)
	return w
}

// signed asks with a request to AWS STS that a role's session has signed.
func (w *world) signed(role, session string, ask awssts.Ask) func(*request) {
	w.t.Helper()
	if ask.Audience == "" {
		ask.Audience = stsIssuer
	}
	draft, err := w.aws.Sign(w.aws.Role(awsAccount, role, session), ask)
	if err != nil {
		w.t.Fatal(err)
	}
	return awsToken(draft.Encoded())
}

func awsToken(text string) func(*request) {
	return with("subject_token", text, "subject_token_type", typeAWS)
}

// TestAWS takes roles of AWS to a principal of Databricks, through all entrances, once for each request that they sign.
func TestAWS(t *testing.T) {
	t.Parallel()
	w := startAWS(t)
	eachEntrance(t, w, "AWS", func(t *testing.T, w *world) {
		ask := w.signed("etl-nightly", "i-0123456789abcdef0", awssts.Ask{})
		a := w.Ask(ask)
		mustGrant(t, a, tenMinutes) // of the hour of policy: the request is good for 15 min, and the ladder has a step at 10
		if status := w.Invoke("churn", a.AccessToken); status != http.StatusOK {
			t.Errorf("Databricks answers %d", status)
		}
		subject := "arn:aws:iam::" + awsAccount + ":role/etl-nightly"
		if r := w.Exchange(a.DecisionID); r.Rule != "etl-in-aws" || r.Subject.Sub != subject || r.Subject.Issuer != "https://sts.amazonaws.com" {
			t.Errorf("recorded as %+v", r)
		}
		again := w.Ask(ask)
		mustRefuse(t, again, http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenReplayed)
		if r := w.Exchange(again.DecisionID); r.Subject.Sub != subject {
			t.Errorf("the record of a replay doesn't say whose it was: %+v", r)
		}
		mustGrant(t, w.Ask(w.signed("etl-nightly", "i-1", awssts.Ask{Presigned: true, Expires: 330 * time.Second})), fiveMinutes)

		for _, denied := range []func(*request){
			w.signed("web", "i-2", awssts.Ask{}),
			w.signed("etl-nightly", "someone@acme.example", awssts.Ask{}),
		} {
			mustRefuse(t, w.Ask(denied), http.StatusBadRequest, "invalid_request", exchange.ReasonNoMatchingRule)
		}
		mustRefuse(t, w.Ask(as("both"), w.signed("etl-nightly", "i-3", awssts.Ask{})), http.StatusBadRequest, "invalid_request", exchange.ReasonIssuerNotAllowed)
		mustRefuse(t, w.Ask(w.signed("etl-nightly", "i-4", awssts.Ask{Audience: "https://other.example"})),
			http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenInvalid)
		mustRefuse(t, w.Ask(with("subject_token_type", typeAWS)), http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenInvalid)
		mustRefuse(t, w.Ask(w.signed("etl-nightly", "i-5", awssts.Ask{}), with("subject_token_type", typeJWT)),
			http.StatusBadRequest, "invalid_request", exchange.ReasonSubjectTokenInvalid)

		remove := w.aws.AddFault(emulator.Fault{Status: http.StatusServiceUnavailable})
		mustRefuse(t, w.Ask(w.signed("etl-nightly", "i-6", awssts.Ask{})), http.StatusServiceUnavailable, "temporarily_unavailable", exchange.ReasonProviderUnavailable)
		remove()
		mustGrant(t, w.Ask(w.signed("etl-nightly", "i-7", awssts.Ask{})), tenMinutes)
	})
}

// TestAttacksOnAWS presents attacks on requests to AWS STS to the program, every second one through the form and some through
// each other entrance, since the package's tests have them all: none is accepted, each is refused for what it is, each twin is
// accepted, and nobody is called.
func TestAttacksOnAWS(t *testing.T) {
	t.Parallel()
	canary, calls := newCanary(t)
	w := startAWS(t)
	var workers sync.WaitGroup
	for n, e := range entrances {
		attacks, err := w.aws.Attacks(awssts.Target{Account: awsAccount, Audience: stsIssuer, Canary: strings.TrimPrefix(canary, "http://")})
		if err != nil || len(attacks) < 100 || len(attacks) > 2*strikes {
			t.Fatalf("%d attacks, %v", len(attacks), err)
		}
		workers.Go(func() {
			through, accepted, every := w.Through(e), map[string]bool{}, 2
			if n > 0 {
				every = 20
			}
			for i := n; i < len(attacks); i += every {
				tryAttack(t, through, attacker(2*n+i/every%2), attacks[i], accepted)
			}
		})
	}
	workers.Wait()
	if n := calls.Load(); n != 0 {
		t.Errorf("the canary has seen %d connections", n)
	}
}
