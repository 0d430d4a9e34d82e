package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
)

// grpc measures warm exchanges over gRPC, of the same tokens as over HTTP.
func (b *bench) grpc(ctx context.Context) error {
	tokens, err := b.mint(subjects, subjects, "ES256")
	if err != nil {
		return err
	}
	file := filepath.Join(b.dir, "grpc.requests")
	if err := b.writeCalls(file, tokens); err != nil {
		return err
	}
	s, err := b.newInstance("grpc", audit.SyncMint)
	if err != nil {
		return err
	}
	if _, _, err := s.warm(ctx, b.requests(tokens)); err != nil {
		return err
	}
	sample, err := b.callOnce(ctx, s.process.grpc, tokens[0])
	if err != nil {
		return err
	}
	bare, err := b.launchBare(ctx, sample, "-grpc")
	if err != nil {
		return err
	}
	theirs := &side{process: bare, requests: file, length: b.length, load: b.grpcLoad}
	ours := &side{process: s.process, requests: file, length: b.length, load: b.grpcLoad}
	ours.before = func(context.Context) error { s.saveProfiles(ctx, "grpc", b.length, len(ours.measured)); return nil }
	if err := b.alternate(ctx, theirs, ours); err != nil {
		return err
	}
	if err := s.complete(len(tokens) + ours.total()); err != nil {
		return err
	}
	s.stop()
	bare.stop()
	b.tell("warm exchange over gRPC", "bare gRPC handler", ours, theirs, 0.70, ">= 0.70")
	return nil
}

// writeCalls writes what loadGRPC reads.
func (b *bench) writeCalls(path string, tokens []string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	for i, token := range tokens {
		message, err := proto.Marshal(callOf(token))
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\n", b.clients[i%len(b.clients)].basic(), base64.StdEncoding.EncodeToString(message))
	}
	return errors.Join(w.Flush(), file.Close())
}

func callOf(token string) *stsv1.ExchangeRequest {
	return &stsv1.ExchangeRequest{
		SubjectToken: token, SubjectTokenType: string(exchange.TypeAccessToken), Audience: []string{"prod"}, Scope: "model-serving",
	}
}

// callOnce makes one call by gRPC's own client, and returns the message that came back.
func (b *bench) callOnce(ctx context.Context, target, token string) (string, error) {
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", b.clients[0].basic())
	answer, err := stsv1.NewTokenServiceClient(conn).Exchange(ctx, callOf(token))
	if err != nil {
		return "", err
	}
	text, err := proto.Marshal(answer)
	return string(text), err
}

// grpcLoad is the load of loadGRPC, in a process of its own.
func (b *bench) grpcLoad(ctx context.Context, p *process, requests string, length time.Duration) (measure, error) {
	self, err := os.Executable()
	if err != nil {
		return measure{}, err
	}
	cmd := exec.CommandContext(ctx, self, "load", "-target", p.grpc, "-requests", requests, "-length", length.String()) //nolint:gosec // our own arguments
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return measure{}, fmt.Errorf("load over gRPC: %w", err)
	}
	return read(string(out))
}
