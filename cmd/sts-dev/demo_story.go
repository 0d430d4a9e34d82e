package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/lakegate/sts/internal/emulator/databricks"
)

// story is the demo as it is told: each step is shown as a command, done in Go, and held against what it claims.
type story struct {
	*screen
	shell shell
	ctx   context.Context // lives as long as the telling
}

// tell tells the whole story.
func (s *story) tell(ctx context.Context, dir string) {
	s.ctx = ctx
	s.opening(dir)
	for _, step := range []func(){s.scientist, s.contractor, s.again, s.lifetime, s.records, s.audit} {
		step()
		s.gap()
		if ctx.Err() != nil {
			return
		}
	}
	s.closing()
}

func (s *story) opening(dir string) {
	s.title("sts: your identity provider's token in, a short-lived Databricks token out")
	s.prose("The service runs between an emulated identity provider and an emulated Databricks, all on this machine.",
		"Every step below has been done and checked. To repeat it, paste these lines into a second terminal, then",
		"the commands of the steps; times, ids and counts will be your own. SECRET is the password of the client",
		"kong, made for this run.")
	var lines []string
	for _, v := range s.shell {
		lines = append(lines, v.name+"="+v.value)
	}
	s.command(lines...)
	s.prose("The configuration sts.yaml and the policy policy.yaml of this run are in", dir)
}

// scientist is the way that everything is made for.
func (s *story) scientist() {
	s.title("1  A data scientist calls a model")
	s.prose("Ada signs in. The token that she gets says that she is in the group data-science.")
	s.signIn("ADA", `{"claims": {"sub": "ada", "groups": ["data-science"]}, "lifetime": "1h"}`)

	s.prose("The gateway, the client kong, hands her token to sts and asks for one that the workspace prod takes.")
	a := s.exchange("ADA")
	s.check(a.status == http.StatusOK && a.member("access_token") != "", "sts answers 200, with a token of Databricks.")
	s.gap()

	s.prose("With it the gateway calls the model churn: how likely is this customer to leave?")
	s.command(s.take("TOKEN", "access_token"))
	model := call{
		url: "$DBX/serving-endpoints/churn/invocations", header: []string{"Authorization: Bearer $TOKEN"},
		data: []string{`{"inputs": [[4711]]}`},
	}
	s.command(model.curl())
	a = model.do(s.ctx, s.shell)
	s.answer(a.body)
	s.check(a.status == http.StatusOK && a.body == `{"predictions":[0.87]}`, "The model answers: 0.87.")
	s.check(a.header.Get(databricks.PrincipalHeader) == appInference,
		"Databricks saw ml-inference, an account for programs (a service principal), and not Ada.")
}

// contractor is refused, and learns no more than the reason.
func (s *story) contractor() {
	s.title("2  A contractor is refused, and you can see why")
	s.prose("Eve is in the group data-science too, but also in the group contractors.")
	s.signIn("EVE", `{"claims": {"sub": "eve", "groups": ["data-science", "contractors"]}, "lifetime": "1h"}`)
	a := s.exchange("EVE")
	s.check(a.status == http.StatusBadRequest && a.member("reason") == "denied_by_rule" && a.member("access_token") == "",
		"sts answers 400 and no token. The reason is denied_by_rule.")
	s.gap()

	s.prose("Which rule is not told to the caller. Whoever may read the audit log finds it by the decision_id.")
	s.command(s.take("ID", "decision_id"), s.grep("ID"))
	r := s.find("ID", "exchange")
	s.record(r, field{"client", ""}, field{"subject.sub", ""}, field{"outcome", ""}, field{"reason", ""}, field{"rule", ""})
	s.check(r.get("rule") == "no-contractors" && r.get("outcome") == "denied", "The rule is no-contractors in policy.yaml. A rule that denies beats every rule that allows.")
	s.check(s.mints() == 1, "Databricks was not asked: it has made 1 token so far, Ada's.")
}

// again is a second call, which costs Databricks nothing.
func (s *story) again() {
	s.title("3  The second call is answered from memory")
	s.prose("Ada calls again. Her token and the policy are checked again, but no new token is made.")
	a := s.exchange("ADA")
	s.check(a.member("access_token") != "" && a.member("access_token") == s.shell.get("TOKEN"), "It is the same token as before.")
	s.gap()

	count := call{url: "$DBX/_emulator/calls"}
	s.prose("How often was Databricks asked for a token, and how does the audit log call it?")
	s.command(s.take("ID", "decision_id"),
		count.curl()+` | grep -o '"`+databricks.TokenRoute+`":{[^}]*}'`, s.grep("ID")+` | grep -o '"cache":"[a-z]*"'`)
	n, cache := s.mints(), s.find("ID", "repeat").get("cache")
	s.answer(fmt.Sprintf(`"%s":{"calls":%d,"ok":%[2]d}`, databricks.TokenRoute, n))
	s.answer(`"cache":"` + cache + `"`)
	s.check(n == 1, "Once, for both calls.")
	s.check(cache == "memory", "The record says that the token came from memory.")
}

// lifetime holds the token's own end against the policy.
func (s *story) lifetime() {
	s.title("4  The token lives as long as policy says, and no longer than the sign-in behind it")
	s.prose("The rule data-scientists-call-models grants 10 minutes. What does the token say of itself? Its middle",
		"part, decoded:")
	s.command(decode("TOKEN"))
	payload := s.payload("TOKEN")
	s.answer(payload)
	ends := parse(payload).time("exp")
	life := ends.Sub(parse(payload).time("iat"))
	s.check(life > 9*time.Minute && life <= 10*time.Minute,
		"From iat, when it was made, to exp, its end, are %d seconds. Databricks enforces that.", int(life.Seconds()))
	told, _ := strconv.Atoi(parse(s.shell.get("ANSWER")).get("expires_in"))
	s.check(told > 0 && time.Now().Add(time.Duration(told-2)*time.Second).Before(ends),
		"The second call was told what was left of it, in expires_in: %d seconds.", told)
	s.gap()

	s.prose("And where the sign-in ends sooner? Bob's has 3 minutes left.")
	s.signIn("BOB", `{"claims": {"sub": "bob", "groups": ["data-science"]}, "lifetime": "3m"}`)
	a := s.exchange("BOB")
	s.command(s.take("SHORT", "access_token"), decode("SHORT"))
	payload = s.payload("SHORT")
	s.answer(payload)
	ends, signIn := parse(payload).time("exp"), parse(s.payload("BOB")).time("exp")
	s.check(a.status == http.StatusOK && ends.After(time.Now()) && !ends.After(signIn),
		"His token ends at %s, his sign-in at %s.", clock(ends), clock(signIn))
	s.check(s.shell.get("SHORT") != s.shell.get("TOKEN"), "The one in memory lives longer than that, so he did not get it.")
}

// records shows what is on record of Ada's calls.
func (s *story) records() {
	s.title("5  Who became whom is on record")
	s.prose("What the audit log says of Ada's second call, of the first, which it repeats, and of how their token was",
		"made. Each record was written before anybody got the token.")
	byID := func(name string) string { return `grep -h "\"id\":\"$` + name + `\"" "$LOG"/*.jsonl` }
	s.command(s.grep("ID"), `FIRST=$(`+byID("ID")+` | sed -n 's/.*"of":"\([^"]*\)".*/\1/p')`,
		byID("FIRST"), `MINT=$(`+byID("FIRST")+` | sed -n 's/.*"mint":"\([^"]*\)".*/\1/p')`, byID("MINT"))
	again := s.find("ID", "repeat")
	s.shell.set("FIRST", again.get("of"))
	r := s.find("FIRST", "exchange")
	s.shell.set("MINT", r.get("mint"))
	m := s.find("MINT", "mint")
	s.record(again, field{"time", ""}, field{"of", "it went as this one did:"}, field{"cache", "the token was there already"})
	s.record(r,
		field{"time", ""}, field{"client", "the gateway"}, field{"subject.sub", "became"}, field{"principal", "this service principal,"},
		field{"workspace", "in this workspace,"}, field{"rule", "by this rule"}, field{"policy", "of the policy with this digest,"},
		field{"scopes", "with this reach,"}, field{"expires_at", "until then"},
		field{"mint", "this record tells how it was made"}, field{"token_sha256", "the token's hash"})
	s.record(m,
		field{"time", ""}, field{"cause", "nothing was in the cache"}, field{"method", "Databricks trusts our key: no secret"},
		field{"principal", ""}, field{"outcome", ""}, field{"bound", "Databricks itself ends the token"},
		field{"true_expires_at", "at this time"}, field{"token_sha256", "the same token"})
	token := s.shell.get("TOKEN")
	sum := sha256.Sum256([]byte(token))
	hash := hex.EncodeToString(sum[:])
	s.check(r.get("outcome") == "granted" && r.get("rule") == "data-scientists-call-models" && r.get("principal") == "ml-inference",
		"The record of the call names person, rule and principal.")
	s.check(m.get("outcome") == "granted" && m.get("token_sha256") == hash && r.get("token_sha256") == hash,
		"Both carry the hash of the token: where a token turns up, it can be found who got it.")
	s.check(token != "" && len(s.lines(token)) == 0 && len(s.lines(s.shell.get("ADA"))) == 0 && len(s.lines(s.shell.get("SECRET"))) == 0,
		"No token and no secret is in the log.")
}

// audit asks the service itself, where the step before looked into its files.
func (s *story) audit() {
	s.title("6  The audit answers")
	s.prose("Sue is in the group security, which the policy makes an auditor. She asks who became ml-inference.")
	s.signIn("SUE", `{"claims": {"sub": "sue", "groups": ["security"]}, "lifetime": "1h"}`)
	sue := []string{"Authorization: Bearer $SUE"}
	who := call{url: "$STS/v1/audit/events?principal=ml-inference&type=exchange", header: sue}
	s.command(who.curl())
	events := s.events(who, 3)
	for _, e := range events {
		s.record(e, field{"subject.sub", ""}, field{"rule", ""}, field{"expires_at", ""})
	}
	s.check(len(events) == 3 && events[0].get("subject.sub") == "bob" && events[1].get("subject.sub") == "ada" && events[2].get("rule") == "data-scientists-call-models",
		"Bob once and Ada twice, the newest first, each with the rule that let them.")
	s.gap()

	s.prose("A token has turned up in a chat. Whose is it, and does it still open anything?")
	leaked := call{
		url: "$STS/v1/audit/tokens:lookup", header: append(sue, "Content-Type: application/json"), data: []string{`{"token":"$TOKEN"}`},
	}
	s.command(leaked.curl())
	a := leaked.do(s.ctx, s.shell)
	found := parse(a.body)
	s.answer(fmt.Sprintf(`{"kind":%q,"alive":%s,"expires_at":%q}`, found.get("kind"), found.get("alive"), found.get("expires_at")))
	handed := found.objects("events")
	s.check(found.get("kind") == "handed_out" && found.get("alive") == "true" && len(handed) == 2 && handed[0].get("subject.sub") == "ada",
		"It is Ada's, from both of her calls, and Databricks takes it until %s.", found.get("expires_at"))
}

func (s *story) closing() {
	if s.failed == 0 {
		s.title(fmt.Sprintf("All %d checks held.", s.checks))
		return
	}
	s.title(s.paint(red, fmt.Sprintf("%d of %d checks did not hold.", s.failed, s.checks)))
}
