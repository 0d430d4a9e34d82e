package index

import "context"

// Token implements [Reading].
func (i *Index) Token(ctx context.Context, sha256 string, limit int) (t Token, err error) {
	of := func(kind string, n int) ([]Event, error) {
		terms := []Term{{FieldToken, sha256}}
		if kind != "" {
			terms = append(terms, Term{FieldType, kind})
		}
		return i.first(ctx, Query{Terms: terms}, n)
	}
	if t.Events, err = of(typeExchange, limit+1); err != nil {
		return Token{}, err
	}
	if t.More = len(t.Events) > limit; t.More {
		t.Events = t.Events[:limit]
	}
	for kind, into := range map[string]**Event{"mint": &t.Mint, "subject": &t.Subject} {
		found, err := of(kind, 1)
		if err != nil {
			return Token{}, err
		}
		if len(found) > 0 {
			*into = &found[0]
		}
	}
	if t.Known = len(t.Events) > 0 || t.Mint != nil || t.Subject != nil; !t.Known {
		found, err := of("", 1)
		if err != nil {
			return Token{}, err
		}
		t.Known = len(found) > 0
	}
	return t, nil
}
