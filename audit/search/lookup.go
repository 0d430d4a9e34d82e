package search

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit/index"
	"github.com/lakegate/sts/exchange"
)

// maxLookup is how many exchanges a look-up shows.
const maxLookup = 100

// What a token is.
const (
	kindHandedOut = "handed_out"
	kindPresented = "presented"
)

// LookupToken implements stsv1.AuditServiceServer.
func (s *Service) LookupToken(ctx context.Context, r *stsv1.LookupTokenRequest) (*stsv1.LookupTokenResponse, error) {
	sum, refused := hashOf(r)
	if refused != nil {
		return nil, refused
	}
	found, err := s.cfg.Index.Token(ctx, sum, maxLookup)
	if err != nil {
		return nil, failed(ctx, err)
	}
	answer := &stsv1.LookupTokenResponse{TokenSha256: sum, Known: found.Known, More: found.More}
	var end time.Time
	answer.Kind, end = kindOf(&found, sum)
	if !end.IsZero() {
		alive := s.cfg.Now().Before(end)
		answer.Alive, answer.ExpiresAt = &alive, timestamppb.New(end)
	}
	if found.Mint != nil {
		if answer.Mint, err = eventMessage(found.Mint); err != nil {
			return nil, err
		}
	}
	answer.Events, err = eventMessages(found.Events)
	return answer, err
}

// hashOf is the hash that is asked for. Of a token nothing but that goes any further.
func hashOf(r *stsv1.LookupTokenRequest) (string, *exchange.Error) {
	token, sum := strings.TrimSpace(r.GetToken()), r.GetTokenSha256()
	r.Token = ""
	switch {
	case (token == "") == (sum == ""):
		return "", malformed("send either token or token_sha256")
	case token == "":
		return sum, checkHash("token_sha256", sum)
	case strings.ContainsFunc(token, notOfToken):
		return "", malformed("token is more than one token, or one that was broken into lines: it has white space, quotes or other letters that no token has; " +
			"send what stands behind Bearer alone")
	}
	of := sha256.Sum256([]byte(token))
	return hex.EncodeToString(of[:]), nil
}

// notOfToken tells what stands in no token (RFC 6750 §2.1, and more): it came with it when it was copied.
func notOfToken(r rune) bool { return r <= ' ' || r == '"' || r == '\'' || r > '~' }

// kindOf tells what a token is and when it ends; zero where that isn't known. The record of its mint may be past its
// retention while those of its hand-outs are not.
func kindOf(found *index.Token, sum string) (kind string, end time.Time) {
	if found.Mint != nil && found.Mint.Mint != nil {
		return kindHandedOut, found.Mint.Mint.TrueExpiresAt
	}
	for i := range found.Events {
		if x := found.Events[i].Exchange; x != nil && x.TokenSHA256 == sum {
			return kindHandedOut, x.TrueExpiresAt
		}
	}
	if found.Subject != nil && found.Subject.Subject != nil {
		return kindPresented, found.Subject.Subject.ExpiresAt
	}
	for i := range found.Events {
		if x := found.Events[i].Exchange; x != nil && x.SubjectToken != nil && x.SubjectToken.SHA256 == sum {
			return kindPresented, time.Time{}
		}
	}
	return "", time.Time{}
}
