package search_test

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/audit/search"
	"github.com/lakegate/sts/exchange"
)

// FuzzSearch holds that whatever is asked for is either refused as malformed, or comes to the index whole: a filter that
// got lost would let through what it should hide.
func FuzzSearch(f *testing.F) {
	for _, r := range []*stsv1.SearchEventsRequest{
		{}, {PageSize: -1}, {PageSize: 1 << 30, PageToken: "x"}, {Type: "exchange", Subject: "a\x00b"}, {Outcome: "denied", Reason: "internal"},
		{TokenSha256: someHash, Mint: someID, DecisionId: someID},
	} {
		text, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := &stsv1.SearchEventsRequest{}
		if proto.Unmarshal(text, r) != nil {
			return
		}
		fake := &fake{}
		s, err := search.New(search.Config{Index: fake})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.SearchEvents(t.Context(), r); err != nil {
			var e *exchange.Error
			if !errors.As(err, &e) || e.Code != exchange.CodeInvalidRequest {
				t.Fatal(err)
			}
			return
		}
		q := fake.asked
		if q.PageSize < 1 || q.PageSize > index.MaxPage || q.Page != r.GetPageToken() || q.ID != r.GetDecisionId() ||
			q.From.IsZero() != (r.GetFrom() == nil) && r.GetFrom().GetSeconds() != q.From.Unix() {
			t.Errorf("%v became %+v", r, q)
		}
		filters := map[string]bool{}
		for _, value := range []string{
			r.GetType(), r.GetSubject(), r.GetIssuer(), r.GetActor(), r.GetClient(), r.GetPrincipal(), r.GetWorkspace(), r.GetRule(), r.GetOutcome(),
			r.GetReason(), r.GetTokenSha256(), r.GetMint(), r.GetSource(), r.GetAction(), r.GetObject(),
		} {
			if value != "" {
				filters[value] = true
			}
		}
		for _, term := range q.Terms {
			if !filters[term.Value] {
				t.Errorf("nobody asked for %+v", term)
			}
		}
		for value := range filters {
			found := false
			for _, term := range q.Terms {
				found = found || term.Value == value
			}
			if !found {
				t.Errorf("%q got lost", value)
			}
		}
	})
}
