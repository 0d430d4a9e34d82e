package search

import (
	"context"
	"errors"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/exchange"
)

// SearchEvents implements stsv1.AuditServiceServer.
func (s *Service) SearchEvents(ctx context.Context, r *stsv1.SearchEventsRequest) (*stsv1.SearchEventsResponse, error) {
	q, refused := queryOf(r)
	if refused != nil {
		return nil, refused
	}
	page, err := s.cfg.Index.Search(ctx, q)
	if errors.Is(err, index.ErrCursor) {
		return nil, malformed("page_token is none that was given out for these filters; send the same ones, or begin the search again without it")
	}
	if err != nil {
		return nil, failed(err)
	}
	answer := &stsv1.SearchEventsResponse{NextPageToken: page.Next}
	answer.Events, err = eventMessages(page.Events)
	return answer, err
}

func queryOf(r *stsv1.SearchEventsRequest) (q index.Query, err *exchange.Error) {
	q = index.Query{ID: r.GetDecisionId(), Page: r.GetPageToken()}
	if q.PageSize, err = pageSize(r.GetPageSize()); err != nil {
		return q, err
	}
	if q.From, err = momentOf("from", r.GetFrom()); err != nil {
		return q, err
	}
	if q.To, err = momentOf("to", r.GetTo()); err != nil {
		return q, err
	}
	if r.GetFrom() != nil && r.GetTo() != nil && !q.From.Before(q.To) {
		return q, malformed("to is not after from; it is the first moment that is not wanted")
	}
	q.Terms, err = termsOf(r)
	return q, err
}

// GetEvent implements stsv1.AuditServiceServer.
func (s *Service) GetEvent(ctx context.Context, r *stsv1.GetEventRequest) (*stsv1.GetEventResponse, error) {
	if err := checkID("id", r.GetId()); err != nil {
		return nil, err
	}
	e, err := s.cfg.Index.Find(ctx, r.GetId())
	if err != nil {
		return nil, failed(err)
	}
	answer := &stsv1.GetEventResponse{}
	if answer.Event, err = eventMessage(e); err != nil || e.Exchange == nil {
		return answer, err
	}
	if answer.Subject, err = s.beside(ctx, e.Exchange.Subject); err != nil {
		return nil, err
	}
	if len(e.Exchange.Actors) > 0 {
		answer.Actor, err = s.beside(ctx, &e.Exchange.Actors[0])
	}
	return answer, err
}

// beside is the subject event that a reference refers to, nil where there is none any more.
func (s *Service) beside(ctx context.Context, to *audit.Reference) (*stsv1.Event, error) {
	if to == nil || to.ID == "" {
		return nil, nil
	}
	e, err := s.cfg.Index.Find(ctx, to.ID)
	if errors.Is(err, index.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(err)
	}
	return eventMessage(e)
}
