package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lakegate/sts/exchange"
)

const (
	stagingHost = "https://staging.cloud.databricks.example"
	churnDetail = `{"type":"workspace_permission","object_type":"serving-endpoints","object_path":"/serving-endpoints/churn","actions":["query_inference_endpoint"]}`
	fraudDetail = `{"type":"workspace_permission","object_type":"serving-endpoints","object_path":"/serving-endpoints/fraud","actions":["query_inference_endpoint"]}`
)

func TestRowsE(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	target := func(id string, pairs ...string) row {
		return row{id: id, ask: change(with(pairs...)), status: 400, code: "invalid_target", reason: exchange.ReasonTargetUnknown}
	}
	resource := func(id string, of func(host string) string) row {
		return row{id: id, ask: func(w *world) request { return change(with("audience", "", "resource", of(w.dbx.URL())))(w) }}
	}
	group := func(name string, pairs ...string) func(*world) request {
		return subject(map[string]any{"groups": []string{name}}, with(pairs...))
	}
	scope := func(want string) func(*testing.T, *world, answer) {
		return func(t *testing.T, _ *world, a answer) {
			if a.Scope != want {
				t.Errorf("scope is %q, want %q", a.Scope, want)
			}
		}
	}
	details := func(id, text string, reason exchange.Reason) row {
		return row{id: id, ask: group("details", "authorization_details", text), status: 400, code: "invalid_authorization_details", reason: reason}
	}
	runRows(t, w, []row{
		target("E01", "audience", "nowhere"),
		target("E02", "audience", "staging"),
		target("E04", "resource", stagingHost+"/x#frag"),
		target("E05 matched exactly", "audience", "", "resource", w.dbx.URL()+"/x?o=1"),
		target("E05 no prefix", "audience", "", "resource", w.dbx.URL()+"/serving-endpoints"),
		resource("E06 trailing slash", func(host string) string { return host + "/" }),
		resource("E06 capitals", func(host string) string { return strings.Replace(host, "http", "HTTP", 1) }),
		{id: "E06 capitals and default port", ask: func(w *world) request {
			return change(as("both"), with("audience", "staging", "resource", "https://STAGING.cloud.Databricks.example:443/"),
				with("subject_token", w.Token(map[string]any{"groups": []string{"nobody"}})))(w)
		}, status: 400, code: "invalid_request", reason: exchange.ReasonNoMatchingRule}, // the target is found, then policy speaks
		target("E07 userinfo", "audience", "", "resource", "https://user@staging.cloud.databricks.example"),
		target("E07 IP literal", "audience", "", "resource", "https://169.254.169.254/latest"),
		target("E07 http", "audience", "", "resource", "http://staging.cloud.databricks.example"),
		target("E07 unlisted", "audience", "", "resource", "https://unlisted.example"),
		{id: "E08", ask: change(with("audience", ""))},
		{id: "E08 several", ask: change(as("both"), with("audience", "")), status: 400, code: "invalid_target", reason: exchange.ReasonTargetUnknown, says: "audience"},
		{id: "E09", ask: group("etl", "scope", "sql"), check: scope("sql")},
		{id: "E09 all", ask: group("etl"), check: scope("all-apis sql")},
		{id: "E10", ask: group("etl", "scope", "sql unity-catalog"), status: 400, code: "invalid_scope", reason: exchange.ReasonScopeExceedsPolicy},
		{id: "E14", ask: group("data-eng", "scope", "model-serving sql"), status: 400, code: "invalid_scope", reason: exchange.ReasonScopeExceedsPolicy}, // sql is another principal's
		{id: "E12 quote", ask: change(with("scope", `a"b`)), status: 400, code: "invalid_scope", reason: malformed},
		{id: "E12 backslash", ask: change(with("scope", `a\b`)), status: 400, code: "invalid_scope", reason: malformed},
		{id: "E12 control", ask: change(with("scope", "a\x01b")), status: 400, code: "invalid_scope", reason: malformed},
		{id: "E12 not ASCII", ask: change(with("scope", "sqü")), status: 400, code: "invalid_scope", reason: malformed},
		of(formOnly, details("E16 not JSON", "nonsense", malformed)),
		of(formOnly, details("E16 an object", churnDetail, malformed)),
		details("E16 no type", `[{"object_type":"serving-endpoints","object_path":"/serving-endpoints/churn","actions":["query_inference_endpoint"]}]`, malformed),
		details("E16 unknown type", `[{"type":"payment_initiation"}]`, malformed),
		details("E17", "["+fraudDetail+"]", exchange.ReasonDetailsExceedPolicy),
		details("E17 one of two", "["+churnDetail+","+fraudDetail+"]", exchange.ReasonDetailsExceedPolicy),
		{id: "E17 twin", ask: group("details", "authorization_details", "["+churnDetail+"]")},
		{id: "E17 unasked", ask: group("details"), check: func(t *testing.T, w *world, a answer) {
			if len(a.Details) != 1 {
				t.Errorf("a request without details gets the ceiling: %s", a.Body)
			}
			if status := w.Invoke("churn", a.AccessToken); status != http.StatusOK {
				t.Errorf("the token calls its model: status %d", status)
			}
		}},
		{id: "E18", ask: change(with("authorization_details", "["+churnDetail+"]")), status: 400, code: "invalid_authorization_details", reason: exchange.ReasonDetailsExceedPolicy},
		{id: "order: policy before scope", ask: group("nobody", "scope", `a"b`), status: 400, code: "invalid_request", reason: exchange.ReasonNoMatchingRule},
		{id: "order: subject token before policy", ask: change(with("subject_token", "x", "scope", `a"b`)), status: 400, code: "invalid_request", reason: exchange.ReasonSubjectTokenInvalid},
		{id: "order: target syntax before subject token", ask: change(with("subject_token", "x", "resource", "https://h.example#f")), status: 400, code: "invalid_target", reason: exchange.ReasonTargetUnknown},
	})
}

// TestRowE02 holds that a client can't tell a target that it may not ask for from one that doesn't exist.
func TestRowE02(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "E02", func(t *testing.T, w *world) {
		strip := func(a answer) string { return strings.ReplaceAll(string(a.Body), a.DecisionID, "") }
		for _, pair := range []struct{ client, unknown, foreign string }{
			{"kong", "nowhere", "staging"},
			{"kong", "nowhere/ml-inference", "staging/stage"},
			// A client that may ask for one principal alone learns nothing of its neighbours.
			{"pinned", "prod/nothing", "prod/etl"},
		} {
			unknown, foreign := w.Ask(as(pair.client), with("audience", pair.unknown)), w.Ask(as(pair.client), with("audience", pair.foreign))
			mustRefuse(t, unknown, http.StatusBadRequest, "invalid_target", exchange.ReasonTargetUnknown)
			if strip(unknown) != strip(foreign) || unknown.Status != foreign.Status || unknown.Code != foreign.Code {
				t.Errorf("they differ:\n%s\n%s", unknown.Body, foreign.Body)
			}
		}
		mustGrant(t, w.Ask(as("pinned"), with("audience", "prod/ml-inference")), tenMinutes)
	})
}

// TestRowE13 holds that the order of scopes makes no difference, and neither do repetitions.
func TestRowE13(t *testing.T) {
	t.Parallel()
	eachEntrance(t, newWorld(t), "E13 J10", func(t *testing.T, w *world) {
		token := w.Token(map[string]any{"groups": []string{"etl"}})
		first := w.Ask(with("subject_token", token, "scope", "sql all-apis all-apis"))
		second := w.Ask(with("subject_token", token, "scope", "all-apis sql"))
		mustGrant(t, first, quarterHour)
		if first.AccessToken != second.AccessToken || w.dbx.Mints("") != 1 {
			t.Errorf("two entries for one grant: %d mints", w.dbx.Mints(""))
		}
		if narrow := w.Ask(with("subject_token", token, "scope", "sql")); narrow.AccessToken == first.AccessToken { // J10
			t.Error("a narrower request got the wider token")
		}
	})
}
