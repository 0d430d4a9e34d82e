package main

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/emulator/databricks"
)

// This file holds what the steps are made of: each shows a command and does the same in Go.

// signIn gets a person's token from the provider and keeps it under a name.
func (s *story) signIn(name, recipe string) {
	c := call{url: "$IDP/_emulator/tokens", header: []string{"Accept: text/plain"}, data: []string{recipe}}
	s.command(name + "=$(" + c.curl() + ")")
	a := c.do(s.ctx, s.shell)
	s.shell.set(name, a.body)
	if a.status != http.StatusOK {
		s.check(false, "The identity provider gives a token: %d %s", a.status, a.body)
	}
}

// exchange asks for a token for the person whose token has that name, and keeps the answer as ANSWER.
func (s *story) exchange(subject string) answer {
	c := call{
		url: "$STS/oauth2/token", user: "kong:$SECRET",
		data: []string{
			"grant_type=urn:ietf:params:oauth:grant-type:token-exchange",
			"subject_token_type=urn:ietf:params:oauth:token-type:access_token",
			"subject_token=$" + subject, "audience=prod",
		},
	}
	s.command("ANSWER=$("+c.curl()+")", `echo "$ANSWER"`)
	a := c.do(s.ctx, s.shell)
	s.shell.set("ANSWER", a.body)
	s.answer(a.body)
	return a
}

// take keeps a member of ANSWER under a name, and returns the command that does so.
func (s *story) take(name, member string) string {
	s.shell.set(name, parse(s.shell.get("ANSWER")).get(member))
	return name + `=$(echo "$ANSWER" | sed -n 's/.*"` + member + `":"\([^"]*\)".*/\1/p')`
}

// grep is the command that finds in the audit log what find finds.
func (s *story) grep(name string) string { return `grep -h "$` + name + `" "$LOG"/*.jsonl` }

// find is the record of that type and of the id that is kept under a name.
func (s *story) find(name, kind string) object {
	for _, line := range s.lines(s.shell.get(name)) {
		if r := parse(line); r.get("type") == kind && r.get("id") == s.shell.get(name) {
			return r
		}
	}
	return nil
}

// lines are those lines of the audit log that hold a text.
func (s *story) lines(text string) (found []string) {
	paths, _ := filepath.Glob(filepath.Join(s.shell.get("LOG"), "*.jsonl")) // the pattern is well formed
	for _, path := range paths {
		log, err := os.ReadFile(path)
		if err != nil {
			s.check(false, "The audit log can be read: %v", err)
			continue
		}
		for line := range strings.Lines(string(log)) {
			if text != "" && strings.Contains(line, text) {
				found = append(found, line)
			}
		}
	}
	return found
}

// mints is how often the emulated Databricks was asked for a token.
func (s *story) mints() int {
	totals, _ := parse(call{url: "$DBX/_emulator/calls"}.do(s.ctx, s.shell).body)["totals"].(map[string]any)
	route, _ := totals[databricks.TokenRoute].(map[string]any)
	n, _ := strconv.Atoi(object(route).get("calls"))
	return n
}

// events are what a search of the audit finds, once that many are there: what has just happened is found a second later.
func (s *story) events(search call, n int) (found []object) {
	for began := time.Now(); time.Since(began) < startTime && s.ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if found = parse(search.do(s.ctx, s.shell).body).objects("events"); len(found) >= n {
			break
		}
	}
	return found
}

// decode is the command that shows the claims of the token of that name.
func decode(name string) string {
	return fold([]string{`echo "$` + name + `" | cut -d. -f2 | tr _- /+`, `| awk '{while (length % 4) $0 = $0 "="; print}' | base64 -d; echo`})
}

// payload is what decode shows.
func (s *story) payload(name string) string {
	_, rest, _ := strings.Cut(s.shell.get(name), ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, _ := base64.RawURLEncoding.DecodeString(payload)
	return string(text)
}

// objects are the members of a list.
func (o object) objects(name string) (all []object) {
	list, _ := o[name].([]any)
	for _, v := range list {
		if m, isObject := v.(map[string]any); isObject {
			all = append(all, m)
		}
	}
	return all
}

// time is a member that is a NumericDate (RFC 7519 §2).
func (o object) time(name string) time.Time {
	seconds, _ := strconv.ParseInt(o.get(name), 10, 64)
	return time.Unix(seconds, 0)
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }
