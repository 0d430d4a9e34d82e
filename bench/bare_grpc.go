package main

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	stsv1 "github.com/lakegate/sts/api/sts/v1"
)

// bareTokens answers every call with the same message.
type bareTokens struct {
	stsv1.UnimplementedTokenServiceServer
	answer *stsv1.ExchangeResponse
}

// Exchange implements stsv1.TokenServiceServer.
func (b bareTokens) Exchange(context.Context, *stsv1.ExchangeRequest) (*stsv1.ExchangeResponse, error) {
	return b.answer, nil
}

// serveBareGRPC serves that with the settings of package rpc's own server.
func serveBareGRPC(listener net.Listener, answer []byte) error {
	b := bareTokens{answer: new(stsv1.ExchangeResponse)}
	if err := proto.Unmarshal(answer, b.answer); err != nil {
		return err
	}
	server := grpc.NewServer(
		grpc.MaxConcurrentStreams(100), grpc.MaxHeaderListSize(64<<10), grpc.InitialWindowSize(64<<10),
		grpc.ReadBufferSize(16<<10),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 120 * time.Second, Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.WaitForHandlers(true), grpc.NumStreamWorkers(64),
	)
	stsv1.RegisterTokenServiceServer(server, b)
	return server.Serve(listener)
}
