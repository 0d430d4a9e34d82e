package mapping

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lakegate/sts/exchange"
)

const (
	defaultPage = 50
	maxPage     = 1000
)

// listRequest is a request for a list that comes in pages.
type listRequest interface {
	proto.Message
	GetPageSize() int32
	GetPageToken() string
}

// page is a part of a list: so many, after that one. A list is sorted by name and made of a snapshot that never changes,
// so the name of the last is all that has to be known to go on.
type page struct {
	size  int
	after string
	bound binding
}

// binding is what a page token holds for: a policy and the filters of a list.
type binding struct{ policy, filters [8]byte }

// openPage reads where a list is to go on. digest is that of the policy in force.
func openPage(digest string, r listRequest) (page, *exchange.Error) {
	p := page{size: int(r.GetPageSize()), bound: bindingOf(digest, r)}
	switch {
	case p.size < 0:
		return p, malformed("page_size is negative; leave it out for %d", defaultPage)
	case p.size == 0:
		p.size = defaultPage
	case p.size > maxPage:
		p.size = maxPage
	}
	if r.GetPageToken() == "" {
		return p, nil
	}
	bound, after, ok := decodePageToken(r.GetPageToken())
	switch {
	case !ok:
		return p, malformed("page_token is none that was given out here; begin the list again without it")
	case bound.policy != p.bound.policy:
		return p, malformed("the policy has changed since page_token was given out; begin the list again without it")
	case bound.filters != p.bound.filters:
		return p, malformed("page_token was given out for other filters; send the same ones, or begin the list again without it")
	}
	p.after = after
	return p, nil
}

func bindingOf(digest string, r listRequest) (b binding) {
	filters := proto.Clone(r)
	for _, name := range []protoreflect.Name{"page_size", "page_token"} {
		m := filters.ProtoReflect()
		m.Clear(m.Descriptor().Fields().ByName(name))
	}
	// This process compares the text with its own only, and that of another version at worst means to begin again.
	text, _ := proto.MarshalOptions{Deterministic: true}.Marshal(filters) // what came in as a message can be written as one
	of := sha256.Sum256(append([]byte(r.ProtoReflect().Descriptor().FullName()+"\x00"), text...))
	policy := sha256.Sum256([]byte(digest))
	copy(b.policy[:], policy[:])
	copy(b.filters[:], of[:])
	return b
}

// encode makes the token that asks for what comes after that name.
func (b binding) encode(after string) string {
	return base64.RawURLEncoding.EncodeToString(slices.Concat(b.policy[:], b.filters[:], []byte(after)))
}

// decodePageToken reads a token in the one form that encode gives it.
func decodePageToken(token string) (b binding, after string, ok bool) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || strings.ContainsAny(token, "\r\n") || len(text) <= len(b.policy)+len(b.filters) {
		return b, "", false
	}
	text = text[copy(b.policy[:], text):]
	text = text[copy(b.filters[:], text):]
	return b, string(text), true
}

// take takes a page of what passes, and the token of the next; "" where there is none. all is sorted by name.
func take[T any](p page, all []T, name func(T) string, passes func(T) bool) (taken []T, next string) {
	from := 0
	if p.after != "" {
		at, found := slices.BinarySearchFunc(all, p.after, func(one T, after string) int { return strings.Compare(name(one), after) })
		if from = at; found {
			from++
		}
	}
	for _, one := range all[from:] {
		if !passes(one) {
			continue
		}
		if len(taken) == p.size {
			return taken, p.bound.encode(name(taken[p.size-1]))
		}
		taken = append(taken, one)
	}
	return taken, ""
}

// find finds one of a sorted list by its name.
func find[T any](all []T, wanted string, name func(T) string) (found T, ok bool) {
	at, ok := slices.BinarySearchFunc(all, wanted, func(one T, wanted string) int { return strings.Compare(name(one), wanted) })
	if ok {
		found = all[at]
	}
	return found, ok
}

func ruleID(r *rule) string             { return r.id }
func principalName(p *principal) string { return p.name }
