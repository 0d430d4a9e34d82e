package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// serveBare is the process that the service is compared with: the bare handler behind a server with the settings of
// package server's own. Its line on stderr is the service's, as far as we read it.
func serveBare(args []string) error {
	flags := flag.NewFlagSet("bare", flag.ContinueOnError)
	answerFile := flags.String("answer", "", "file with the bytes to answer")
	jwksFile := flags.String("jwks", "", "file with the keys that subject tokens are verified by; empty: they are not")
	redisFile := flags.String("redis", "", "file with the options, as JSON, of the Redis that one GET is made of; empty: none is")
	overGRPC := flags.Bool("grpc", false, "serve gRPC; the answer is a message")
	if err := flags.Parse(args); err != nil {
		return err
	}
	answer, err := os.ReadFile(*answerFile)
	if err != nil {
		return err
	}
	work := func(string) error { return nil }
	switch {
	case *jwksFile != "":
		work, err = verifier(*jwksFile)
	case *redisFile != "":
		work, err = getter(*redisFile)
	}
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, `{"msg":"listening","http":%q,"grpc":%[1]q}`+"\n", listener.Addr())
	if *overGRPC {
		return serveBareGRPC(listener, answer)
	}
	server := &http.Server{
		Handler:                      bare(answer, work),
		MaxHeaderBytes:               64 << 10,
		ReadHeaderTimeout:            10 * time.Second,
		ReadTimeout:                  15 * time.Second,
		WriteTimeout:                 30 * time.Second,
		IdleTimeout:                  120 * time.Second,
		DisableGeneralOptionsHandler: true,
	}
	return server.Serve(listener)
}

// verifier checks a token's signature, and nothing else.
func verifier(jwksFile string) (func(token string) error, error) {
	text, err := os.ReadFile(jwksFile)
	if err != nil {
		return nil, err
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(text, &keys); err != nil {
		return nil, err
	}
	byID := map[string]any{}
	for _, k := range keys.Keys {
		byID[k.KeyID] = k.Key
	}
	algorithms := []jose.SignatureAlgorithm{jose.ES256, jose.RS256}
	return func(token string) error {
		signed, err := jose.ParseSignedCompact(token, algorithms)
		if err != nil {
			return err
		}
		key, known := byID[signed.Signatures[0].Header.KeyID]
		if !known {
			return errors.New("no such key")
		}
		_, err = signed.Verify(key)
		return err
	}, nil
}
