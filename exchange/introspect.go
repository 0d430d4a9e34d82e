package exchange

import (
	"context"
	"crypto/sha256"
)

// Introspection is what a client may learn of a token (RFC 7662 §2.2). Of a token that is not active, for whatever
// reason, it learns nothing else.
type Introspection struct {
	Active bool
	// Client is who has the token: the one that asks.
	Client string
	Handout
}

// Introspect tells a client about a token that it was handed. A token that is expired, given up, in the hands of others
// alone, or not known here is inactive; where that can't be found out there is an error, never "inactive". Its error is
// an *Error that names its record.
func (s *Service) Introspect(ctx context.Context, q *Inquiry) (Introspection, error) {
	var found Introspection
	record := &Admin{Action: "token.introspect"}
	err := s.inquire(ctx, q, record, func(token [sha256.Size]byte) error {
		h, stands, err := s.standing(ctx, q, token)
		record.Detail = string(stands)
		if h != nil {
			found = Introspection{Active: true, Client: q.Client.ID, Handout: *h}
		}
		return err
	})
	if err != nil {
		return Introspection{}, err
	}
	return found, nil
}

// Revoke ends a client's own claim on a token: introspection tells it so, and it is never handed that token again.
// Others who were handed the same token keep it, and so does Databricks, which accepts it until its true expiry. A token
// that is not known here, or is over anyway, is no error (RFC 7009 §2.2). Its error is an *Error that names its record.
//
// The end comes before its record, other than a grant: if the record is refused the caller is told to ask again, and
// meanwhile the client gets less than it might, not more.
func (s *Service) Revoke(ctx context.Context, q *Inquiry) error {
	record := &Admin{Action: "token.revoke"}
	return s.inquire(ctx, q, record, func(token [sha256.Size]byte) error {
		h, stands, err := s.standing(ctx, q, token)
		record.Detail = string(stands)
		switch {
		case err != nil:
			return err
		case stands == standingOthers:
			return Refuse(CodeUnauthorizedClient, ReasonClientNotAllowed,
				"this token was issued to another client; a client revokes only what it was issued itself (RFC 7009 Section 2.1)")
		case h == nil:
			return nil
		}
		if err := s.revocations.End(ctx, q.Client.ID, token, h.Expiry); err != nil {
			return err
		}
		record.Detail, record.TrueExpiry = string(standingEnded), h.Expiry
		return nil
	})
}
