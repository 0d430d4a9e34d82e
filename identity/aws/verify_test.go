package aws_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/identity/aws"
	"github.com/lakegate/sts/internal/emulator"
	"github.com/lakegate/sts/internal/emulator/awssts"
)

// A role's session is the role, whatever it calls itself; a user is a user.
func TestIdentity(t *testing.T) {
	w := newWorld(t)
	user := w.sts.User(account, "division/alice")
	for _, test := range []struct {
		name    string
		key     *awssts.Key
		ask     awssts.Ask
		subject string
		claims  map[string]any
	}{
		{"a role", w.sts.Role(account, "etl", "i-1"), awssts.Ask{}, "arn:aws:iam::123456789012:role/etl", map[string]any{
			"arn": "arn:aws:sts::123456789012:assumed-role/etl/i-1", "role": "etl", "session_name": "i-1", "user_id": "AROAXXXXXXXXXXXXXXXXX:i-1",
		}},
		{"a role, presigned", w.sts.Role(account, "etl", "i-2"), awssts.Ask{Presigned: true, Expires: 10 * time.Minute}, "arn:aws:iam::123456789012:role/etl", map[string]any{
			"arn": "arn:aws:sts::123456789012:assumed-role/etl/i-2", "role": "etl", "session_name": "i-2", "user_id": "AROAXXXXXXXXXXXXXXXXX:i-2",
		}},
		{"a user", user, awssts.Ask{}, "arn:aws:iam::123456789012:user/division/alice", map[string]any{
			"arn": "arn:aws:iam::123456789012:user/division/alice", "user": "alice", "user_id": user.UserID,
		}},
		{"a library that hashes the body", w.sts.Role(account, "etl", "js"), awssts.Ask{Headers: []awssts.Header{
			{Key: "x-amz-content-sha256", Value: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		}}, "arn:aws:iam::123456789012:role/etl", map[string]any{
			"arn": "arn:aws:sts::123456789012:assumed-role/etl/js", "role": "etl", "session_name": "js", "user_id": "AROAXXXXXXXXXXXXXXXXX:js",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			draft := w.signBy(test.key, test.ask)
			got, err := w.verify(draft.Text())
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]any{"account": account, "region": "eu-central-1", "partition": "aws"} {
				test.claims[name] = value
			}
			age := 15 * time.Minute
			if test.ask.Presigned {
				age = test.ask.Expires
			}
			want := &exchange.Identity{
				Provider: "aws", Issuer: aws.Issuer, Subject: test.subject, Claims: test.claims, TokenType: exchange.TypeAWS4Request,
				TokenSHA256: sha256.Sum256([]byte(draft.Text())), IssuedAt: w.now(), Expiry: w.now().Add(age),
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(exchange.Identity{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Google's libraries percent-encode the token, and leave the slash out of the URL.
func TestForms(t *testing.T) {
	w := newWorld(t)
	for name, text := range map[string]string{
		"encoded":      w.sign(awssts.Ask{}).Encoded(),
		"encoded %20":  strings.ReplaceAll(w.sign(awssts.Ask{}).Encoded(), "+", "%20"),
		"no slash":     strings.Replace(w.sign(awssts.Ask{}).Text(), ".com/?", ".com?", 1),
		"presigned":    w.sign(awssts.Ask{Presigned: true}).Encoded(),
		"no host":      w.sign(awssts.Ask{}).Set("host", "").Text(),
		"on two lines": strings.Replace(w.sign(awssts.Ask{}).Text(), `{"url"`, "{\n \"url\"", 1),
	} {
		if _, err := w.verify(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAttacks(t *testing.T) {
	w := newWorld(t)
	canary, dialled := newCanary(t)
	attacks, err := w.sts.Attacks(awssts.Target{Account: account, Audience: audience, Canary: canary})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attacks {
		before := w.marks.count()
		id, err := w.verify(a.Token)
		var refused *exchange.Error
		switch {
		case err == nil:
			t.Errorf("%s: accepted as %s", a.Name, id.Subject)
		case !errors.As(err, &refused), refused.Code != exchange.CodeInvalidRequest, !strings.Contains(refused.Message, a.Cause):
			t.Errorf("%s: %v\nwant %q", a.Name, err, a.Cause)
		case w.marks.count() != before:
			t.Errorf("%s: left a mark", a.Name)
		}
		if _, err := w.verify(a.Twin); err != nil {
			t.Errorf("the twin of %s: %v", a.Name, err)
		}
	}
	if len(attacks) < 100 || dialled.Load() != 0 {
		t.Errorf("%d attacks, %d connections to a host that nobody configured", len(attacks), dialled.Load())
	}
}

// Whatever is unsigned in a token may be written in another way; it is the same request.
func TestAcceptedOnce(t *testing.T) {
	w := newWorld(t)
	draft := w.sign(awssts.Ask{})
	if _, err := w.verifyAs(draft.Text(), exchange.UseExplain); err != nil || w.marks.count() != 0 {
		t.Errorf("explained: %v, %d marks", err, w.marks.count())
	}
	if _, err := w.verify(draft.Text()); err != nil {
		t.Fatal(err)
	}
	reordered := *draft
	reordered.Headers = nil
	for _, h := range draft.Headers {
		reordered.Headers = append([]awssts.Header{{Key: strings.ToUpper(h.Key), Value: h.Value}}, reordered.Headers...)
	}
	for name, text := range map[string]string{
		"the same": draft.Text(), "encoded": draft.Encoded(), "reordered": reordered.Text(), "with a space": draft.Text() + " ",
		"no slash": strings.Replace(draft.Text(), "/?", "?", 1), "no host": draft.Set("host", "").Text(),
	} {
		id, err := w.verify(text)
		w.refused(err, exchange.CodeInvalidRequest, exchange.ReasonSubjectTokenReplayed)
		if id == nil {
			t.Errorf("%s: it isn't said whom the used token speaks of", name)
		}
		_, err = w.verifyAs(text, exchange.UseActor)
		w.refused(err, exchange.CodeInvalidRequest, exchange.ReasonActorTokenInvalid)
	}
	w.marks.fail = errGone
	_, err := w.verify(w.sign(awssts.Ask{}).Text())
	w.refused(err, exchange.CodeUnavailable, exchange.ReasonReplayCheckUnavailable)
}

// A request is good until max_token_age or its own end, and from clock_skew ahead of its date.
func TestTimes(t *testing.T) {
	for _, test := range []struct {
		name    string
		age     time.Duration // max_token_age
		ask     awssts.Ask
		at      time.Duration // signed, from now
		reason  exchange.Reason
		expires time.Duration // from its date
	}{
		{"at the end of the leeway", 0, awssts.Ask{}, 30 * time.Second, "", 15 * time.Minute},
		{"past the leeway", 0, awssts.Ask{}, 31 * time.Second, exchange.ReasonSubjectTokenNotYetValid, 0},
		{"a second before its end", 0, awssts.Ask{}, -15*time.Minute + time.Second, "", 15 * time.Minute},
		{"at its end", 0, awssts.Ask{}, -15 * time.Minute, exchange.ReasonSubjectTokenExpired, 0},
		{"within a shorter age", 5 * time.Minute, awssts.Ask{}, -299 * time.Second, "", 5 * time.Minute},
		{"at a shorter age", 5 * time.Minute, awssts.Ask{}, -300 * time.Second, exchange.ReasonSubjectTokenExpired, 0},
		{"presigned for less", 5 * time.Minute, awssts.Ask{Presigned: true, Expires: time.Minute}, -59 * time.Second, "", time.Minute},
		{"presigned for more", 5 * time.Minute, awssts.Ask{Presigned: true, Expires: time.Hour}, -299 * time.Second, "", 5 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, func(p *aws.Provider) { p.MaxTokenAge = test.age })
			test.ask.At = w.now().Add(test.at)
			id, err := w.verify(w.sign(test.ask).Text())
			if test.reason != "" {
				w.refused(err, exchange.CodeInvalidRequest, test.reason)
				if calls := len(w.sts.Calls()); calls != 0 {
					t.Errorf("AWS was asked %d times", calls)
				}
				return
			}
			if err != nil || !id.Expiry.Equal(test.ask.At.Add(test.expires)) {
				t.Errorf("%+v, %v; want it to end %s after its date", id, err, test.expires)
			}
			if want := test.ask.At.Add(15 * time.Minute); !w.marks.ends.Equal(want) { // a reload can lengthen max_token_age
				t.Errorf("it is marked until %s, and AWS takes it until %s", w.marks.ends, want)
			}
		})
	}
}

// What AWS doesn't judge is an outage, whoever answers in its stead; and it says so to health until AWS is back.
func TestOutage(t *testing.T) {
	w := newWorld(t)
	for name, fault := range map[string]emulator.Fault{
		"503":                       {Status: 503},
		"500":                       {Status: 500, Format: "InternalFailure"},
		"throttling":                {Status: 400, Format: "Throttling"},
		"429":                       {Status: 429},
		"a proxy's 403":             {Status: 403, Body: "<html>no</html>"},
		"a proxy's 200":             {Status: 200, Body: "<html>yes</html>"},
		"a redirect":                {Status: 302, Headers: map[string]string{"Location": "https://example.com/"}},
		"hung up":                   {Hangup: true},
		"cut off":                   {Cut: true},
		"an answer of 100 kB":       {Pad: 100 << 10},
		"no account":                {Body: answer(`"Arn":"arn:aws:iam::123456789012:user/a","UserId":"AIDA"`)},
		"another account":           {Body: answer(`"Account":"210987654321","Arn":"arn:aws:iam::123456789012:user/a","UserId":"AIDA"`)},
		"an account twice":          {Body: answer(`"Account":"210987654321","Account":"123456789012","Arn":"arn:aws:iam::123456789012:user/a","UserId":"AIDA"`)},
		"names in another case":     {Body: answer(`"account":"123456789012","arn":"arn:aws:iam::123456789012:user/a","userId":"AIDA"`)},
		"another partition":         {Body: answer(`"Account":"123456789012","Arn":"arn:aws-cn:iam::123456789012:user/a","UserId":"AIDA"`)},
		"a number":                  {Body: answer(`"Account":123456789012,"Arn":"arn:aws:iam::123456789012:user/a","UserId":"AIDA"`)},
		"an ARN with a line break":  {Body: answer(`"Account":"123456789012","Arn":"arn:aws:iam::123456789012:user/a\nb","UserId":"AIDA"`)},
		"no user id":                {Body: answer(`"Account":"123456789012","Arn":"arn:aws:iam::123456789012:user/a","UserId":""`)},
		"an ARN of another service": {Body: answer(`"Account":"123456789012","Arn":"arn:aws:ec2::123456789012:user/a","UserId":"AIDA"`)},
	} {
		t.Run(name, func(t *testing.T) {
			remove := w.sts.AddFault(fault)
			text := w.sign(awssts.Ask{}).Text()
			_, err := w.verify(text)
			w.refused(err, exchange.CodeUnavailable, exchange.ReasonProviderUnavailable)
			if exchange.AsError(err).RetryAfter <= 0 || w.verifier.Health() == nil {
				t.Errorf("it isn't said when to come back, or health says nothing: %v", w.verifier.Health())
			}
			remove()
			if _, err := w.verify(text); err != nil || w.verifier.Health() != nil {
				t.Errorf("afterwards: %v, health %v", err, w.verifier.Health())
			}
		})
	}
}

func answer(result string) string {
	return `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{` + result + `},"ResponseMetadata":{"RequestId":"x"}}}`
}

// That AWS has closed a connection which was kept is no outage.
func TestKeptConnection(t *testing.T) {
	w := newWorld(t)
	for _, presigned := range []bool{false, true} {
		if _, err := w.verify(w.sign(awssts.Ask{}).Text()); err != nil {
			t.Fatal(err)
		}
		w.sts.AddFault(emulator.Fault{Hangup: true, Times: 1})
		if _, err := w.verify(w.sign(awssts.Ask{Presigned: presigned}).Text()); err != nil {
			t.Errorf("presigned %v: %v", presigned, err)
		}
	}
}

func TestDeadlineIsTheCallers(t *testing.T) {
	w := newWorld(t)
	defer w.sts.AddFault(emulator.Fault{Hold: true})()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := w.verifier.Verify(ctx, exchange.Presented{Token: exchange.Secret(w.sign(awssts.Ask{}).Text())}, exchange.UseSubject)
	if !errors.Is(err, context.DeadlineExceeded) || w.verifier.Health() != nil || w.marks.count() != 0 {
		t.Errorf("error %v, health %v, %d marks; want the caller's deadline alone", err, w.verifier.Health(), w.marks.count())
	}
}

// While AWS hangs, those who wait for it take a part of the places that all requests share, and the rest hear so at once.
func TestCrowd(t *testing.T) {
	w := newWorld(t)
	remove := w.sts.AddFault(emulator.Fault{Hold: true})
	const crowd = 200
	texts := make([]string, crowd)
	for i := range texts {
		texts[i] = w.sign(awssts.Ask{}).Text()
	}
	errs := make(chan error, crowd)
	for _, text := range texts {
		go func() {
			_, err := w.verify(text)
			errs <- err
		}()
	}
	for range crowd - 128 { // the others are still waiting
		w.refused(<-errs, exchange.CodeUnavailable, exchange.ReasonProviderUnavailable)
	}
	remove()
	for range 128 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// What AWS is sent is what was signed and nothing more.
func TestCall(t *testing.T) {
	w := newWorld(t)
	for _, presigned := range []bool{false, true} {
		if _, err := w.verify(w.sign(awssts.Ask{Presigned: presigned}).Text()); err != nil {
			t.Fatal(err)
		}
	}
	calls := w.sts.Calls()
	if len(calls) != 2 || calls[0].Method != http.MethodPost || calls[1].Method != http.MethodGet {
		t.Fatalf("calls %+v", calls)
	}
	for i, want := range [][]string{
		{"Accept", "Authorization", "Content-Length", "User-Agent", "X-Amz-Date", "X-Amz-Security-Token", "X-Sts-Audience"},
		{"Accept", "User-Agent", "X-Sts-Audience"},
	} {
		var names []string
		for name := range calls[i].Headers {
			names = append(names, name)
		}
		if diff := cmp.Diff(want, names, cmpopts.SortSlices(strings.Compare)); diff != "" {
			t.Error(diff)
		}
	}
}
