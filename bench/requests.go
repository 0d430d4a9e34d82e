package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/internal/emulator/idp"
)

// party is whom the subject tokens were issued to.
const party = "gateway-web"

func team(principal int) string { return fmt.Sprintf("team-%d", principal) }

// recipe is the token of subject i, who belongs to one team and nine groups that lead nowhere: about 1 kB, as they come.
func recipe(i int, algorithm string) idp.Token {
	groups := make([]string, 0, 10)
	for g := range 9 {
		groups = append(groups, fmt.Sprintf("department-%d", (i+g)%50))
	}
	return idp.Token{Algorithm: algorithm, Lifetime: 8 * time.Hour, Claims: map[string]any{
		"sub": fmt.Sprintf("00u%07d", i), "azp": party, "groups": append(groups, team(i%principals)),
		"amr": []string{"pwd", "mfa"}, "email": fmt.Sprintf("subject-%d@acme.example", i), "department": "research",
		"scope": "openid profile groups", "auth_time": time.Now().Unix(),
	}}
}

// mint makes n tokens for the first subjects in turn.
func (b *bench) mint(n, of int, algorithm string) ([]string, error) {
	return b.world.idp.MintMany(n, func(i int) idp.Token { return recipe(i%of, algorithm) })
}

// request is one token request.
type request struct{ authorization, body string }

// requests are those that carry the tokens. Clients take turns, so that each of the principals is asked for by all.
func (b *bench) requests(tokens []string) []request {
	made := make([]request, len(tokens))
	for i, token := range tokens {
		c := b.clients[i%len(b.clients)]
		form := url.Values{
			"grant_type":         {exchange.GrantTypeTokenExchange},
			"subject_token":      {token},
			"subject_token_type": {string(exchange.TypeAccessToken)},
			"audience":           {"prod"},
			"scope":              {"model-serving"},
		}
		made[i] = request{c.basic(), form.Encode()}
	}
	return made
}

// writeRequests writes what load.lua reads.
func writeRequests(path string, requests []request) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	for _, r := range requests {
		fmt.Fprintf(w, "%s\t%s\n", r.authorization, r.body)
	}
	return errors.Join(w.Flush(), file.Close())
}

// answer is an answer that was read whole.
type answer struct {
	status int
	body   string
}

var httpClient = &http.Client{
	Timeout:   30 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 64},
}

func get(ctx context.Context, url string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	return do(r)
}

func (r request) send(ctx context.Context, address string) (answer, error) {
	made, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+exchangePath, strings.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	made.Header.Set("Authorization", r.authorization)
	made.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(made)
}

const exchangePath = "/oauth2/token"

func do(r *http.Request) (answer, error) {
	response, err := httpClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, string(body)}, errors.Join(err, response.Body.Close())
}

// sendAll sends each request once, so many at a time, and returns one of the answers. All of them must be 200.
func sendAll(ctx context.Context, address string, requests []request, workers int) (sample string, err error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	var once sync.Once
	for range workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(requests); i = next.Add(1) - 1 {
				got, failed := requests[i].send(ctx, address)
				if failed == nil && got.status != http.StatusOK {
					failed = void("request %d was answered %d %s", i, got.status, got.body)
				}
				if failed != nil {
					once.Do(func() { err = failed })
					return
				}
				if i == 0 {
					sample = got.body
				}
			}
		})
	}
	wg.Wait()
	return sample, err
}
