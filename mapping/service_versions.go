package mapping

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

// ListPolicyVersions implements stsv1.MappingServiceServer.
func (s *Service) ListPolicyVersions(ctx context.Context, _ *stsv1.ListPolicyVersionsRequest) (*stsv1.ListPolicyVersionsResponse, error) {
	p, err := s.policy()
	if err != nil {
		return nil, err
	}
	versions, err := s.cfg.Engine.Versions(ctx)
	if err != nil {
		return nil, err
	}
	answer := &stsv1.ListPolicyVersionsResponse{Policy: p.digest}
	for i := range versions {
		answer.Versions = append(answer.Versions, versionMessage(&versions[i]))
	}
	return answer, nil
}

// GetPolicyVersion implements stsv1.MappingServiceServer.
func (s *Service) GetPolicyVersion(ctx context.Context, r *stsv1.GetPolicyVersionRequest) (*stsv1.GetPolicyVersionResponse, error) {
	versions, err := s.cfg.Engine.Versions(ctx)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(versions, func(v Version) bool { return v.Digest == r.GetPolicy() })
	if at < 0 {
		return nil, notFound("no policy of that digest is remembered")
	}
	files, err := s.cfg.Engine.Content(ctx, r.GetPolicy())
	if err != nil {
		return nil, err
	}
	answer := &stsv1.GetPolicyVersionResponse{Version: versionMessage(&versions[at])}
	for _, f := range files {
		// A policy that was accepted is UTF-8, which a message must be; a damaged ledger is found before.
		answer.Files = append(answer.Files, &stsv1.PolicyFile{Name: f.Name, Content: strings.ToValidUTF8(string(f.Data), "\uFFFD")})
	}
	return answer, nil
}

func versionMessage(v *Version) *stsv1.PolicyVersion {
	return &stsv1.PolicyVersion{
		Policy: v.Digest, AcceptedAt: timestamppb.New(v.Time), Rules: int32(v.Rules), Files: v.Files, //nolint:gosec // fewer than a file has bytes
	}
}
