package search

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/exchange"
)

// The pages of a search are those of MappingService's lists.
const (
	defaultPage = 50
	maxPage     = index.MaxPage
)

// filters are what SearchEventsRequest and TailEventsRequest have in common.
type filters interface {
	GetType() string
	GetSubject() string
	GetIssuer() string
	GetActor() string
	GetClient() string
	GetPrincipal() string
	GetWorkspace() string
	GetRule() string
	GetOutcome() string
	GetReason() string
	GetTokenSha256() string
	GetMint() string
	GetSource() string
	GetAction() string
	GetObject() string
	GetDecisionId() string
}

// termsOf are the filters that are set, or what is wrong with one.
func termsOf(r filters) (terms []index.Term, err *exchange.Error) {
	for _, f := range []struct {
		field index.Field
		name  string
		value string
		check func(name, value string) *exchange.Error
	}{
		{index.FieldType, "type", r.GetType(), oneOf(types)},
		{index.FieldSubject, "subject", r.GetSubject(), nil},
		{index.FieldIssuer, "issuer", r.GetIssuer(), nil},
		{index.FieldActor, "actor", r.GetActor(), nil},
		{index.FieldClient, "client", r.GetClient(), nil},
		{index.FieldPrincipal, "principal", r.GetPrincipal(), nil},
		{index.FieldWorkspace, "workspace", r.GetWorkspace(), nil},
		{index.FieldRule, "rule", r.GetRule(), nil},
		{index.FieldOutcome, "outcome", r.GetOutcome(), oneOf(outcomes)},
		{index.FieldReason, "reason", r.GetReason(), oneOf(reasons)},
		{index.FieldToken, "token_sha256", r.GetTokenSha256(), checkHash},
		{index.FieldMint, "mint", r.GetMint(), checkID},
		{index.FieldSource, "source", r.GetSource(), nil},
		{index.FieldAction, "action", r.GetAction(), nil},
		{index.FieldObject, "object", r.GetObject(), nil},
	} {
		if f.value == "" {
			continue
		}
		if f.check != nil {
			if err := f.check(f.name, f.value); err != nil {
				return nil, err
			}
		}
		terms = append(terms, index.Term{Field: f.field, Value: f.value})
	}
	if id := r.GetDecisionId(); id != "" {
		return terms, checkID("decision_id", id)
	}
	return terms, nil
}

func types() []string { return []string{"exchange", "mint", "admin", "failures", "subject"} }

func outcomes() []string {
	return []string{string(exchange.OutcomeGranted), string(exchange.OutcomeDenied), string(exchange.OutcomeFailed)}
}

func reasons() []string {
	var all []string
	for _, r := range exchange.Reasons() {
		all = append(all, string(r))
	}
	return all
}

// oneOf takes a word of a closed list. Another would find nothing, and who asks would believe that there is nothing.
func oneOf(list func() []string) func(name, value string) *exchange.Error {
	return func(name, value string) *exchange.Error {
		if words := list(); !slices.Contains(words, value) {
			return malformed("%s is none of %s", name, strings.Join(words, ", "))
		}
		return nil
	}
}

func checkHash(name, value string) *exchange.Error {
	sum, err := hex.DecodeString(value)
	if err != nil || len(sum) != 32 || value != strings.ToLower(value) {
		return malformed("%s is no SHA-256 in hex: 64 digits, 0 to 9 and a to f; the token itself never belongs there", name)
	}
	return nil
}

// checkID takes an id in the form that records have.
func checkID(name, value string) *exchange.Error {
	if value == "" {
		return malformed("%s is missing", name)
	}
	if u, err := uuid.Parse(value); err != nil || u.String() != value {
		return malformed("%s is no id of an event: a UUID in lower case, such as the decision_id of an answer", name)
	}
	return nil
}

// momentOf is a time of a request; zero where it is unset.
func momentOf(name string, t *timestamppb.Timestamp) (time.Time, *exchange.Error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, malformed("%s is no time between the years 1 and 9999; send it as 2026-11-24T10:00:00Z", name)
	}
	at := t.AsTime()
	if at.IsZero() { // which would be no bound
		at = at.Add(1)
	}
	return at, nil
}

// pageSize is how many a page may have.
func pageSize(asked int32) (int, *exchange.Error) {
	switch {
	case asked < 0:
		return 0, malformed("page_size is negative; leave it out for %d", defaultPage)
	case asked == 0:
		return defaultPage, nil
	}
	return min(int(asked), maxPage), nil
}
