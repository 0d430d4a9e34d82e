package oauth_test

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/oauth"
)

// Whatever the decoder accepts it reads as the standard library does, so that nothing in front of us that parses the
// same body reads another request; what it decodes has one grant type and no known parameter twice.
func FuzzForm(f *testing.F) {
	for _, body := range []string{
		"", "&", "a", "a=", "=a", "a=b&a=c", "a=%zz", "a;b=c", "sc%6fpe=a+b", "a=b&&c==d", "a=%00%ff", "grant_type=x&grant_type=x",
		baseline().form.Encode(),
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := oauth.Parameters(body)
		want, wantErr := url.ParseQuery(body)
		if err != nil {
			if wantErr == nil {
				t.Fatalf("refused, but well formed: %v", err)
			}
			if oauth.Decodes(body) {
				t.Fatal("decoded, but malformed")
			}
			return
		}
		if wantErr != nil {
			t.Fatalf("accepted, but %v", wantErr)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if again, err := oauth.Parameters(got.Encode()); err != nil || !cmp.Equal(got, again) {
			t.Fatalf("encoded again it reads as %v, %v", again, err)
		}
		if oauth.Decodes(body) {
			if len(got["grant_type"]) != 1 || got.Get("grant_type") != exchange.GrantTypeTokenExchange {
				t.Fatalf("accepted the grant types %q", got["grant_type"])
			}
			for _, name := range []string{"subject_token", "actor_token", "scope", "client_id", "client_secret", "client_assertion"} {
				if len(got[name]) > 1 {
					t.Fatalf("accepted %s %d times", name, len(got[name]))
				}
			}
		}
	})
}
