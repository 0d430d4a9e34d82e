package search

import (
	"context"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

// GetReceipt implements stsv1.AuditServiceServer.
func (s *Service) GetReceipt(ctx context.Context, r *stsv1.GetReceiptRequest) (*stsv1.GetReceiptResponse, error) {
	if err := checkID("id", r.GetId()); err != nil {
		return nil, err
	}
	receipt, err := s.cfg.Index.Receipt(ctx, r.GetId())
	if err != nil {
		return nil, failed(ctx, err)
	}
	return &stsv1.GetReceiptResponse{Id: r.GetId(), Receipt: string(receipt.Text())}, nil
}

// ListCheckpoints implements stsv1.AuditServiceServer.
func (s *Service) ListCheckpoints(ctx context.Context, _ *stsv1.ListCheckpointsRequest) (*stsv1.ListCheckpointsResponse, error) {
	all, err := s.cfg.Index.Checkpoints(ctx)
	if err != nil {
		return nil, failed(ctx, err)
	}
	answer := &stsv1.ListCheckpointsResponse{}
	for i := range all {
		answer.Checkpoints = append(answer.Checkpoints, &stsv1.Checkpoint{Origin: all[i].Origin, Checkpoint: all[i].Note})
	}
	return answer, nil
}
