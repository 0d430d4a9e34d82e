package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// variable is a variable of the story, the same in Go as in the reader's shell.
type variable struct{ name, value string }

// shell holds the story's variables, newest last.
type shell []variable

func (s shell) get(name string) string {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i].name == name {
			return s[i].value
		}
	}
	return ""
}

func (s *shell) set(name, value string) { *s = append(*s, variable{name, value}) }

// expand does what a shell does within double quotes, as far as the story needs it.
func (s shell) expand(text string) string { return os.Expand(text, s.get) }

// call is one HTTP request, in words that Go sends and curl repeats: $NAME stands for a variable of the story.
type call struct {
	url    string
	user   string   // NAME:PASSWORD of HTTP Basic
	header []string // NAME: VALUE
	data   []string // form fields NAME=VALUE, or one JSON text
}

// curl is the command that makes the call.
func (c call) curl() string {
	words := []string{"curl -s " + quote(c.url)}
	if c.user != "" {
		words[0] = "curl -s -u " + quote(c.user) + " " + quote(c.url)
	}
	for _, h := range c.header {
		words = append(words, "-H "+quote(h))
	}
	for _, d := range c.data {
		words = append(words, "-d "+quote(d))
	}
	return fold(words)
}

// fold joins words with blanks, in lines that a screen can hold.
func fold(words []string) string {
	const width = 92
	lines := []string{words[0]}
	for _, w := range words[1:] {
		last := &lines[len(lines)-1]
		if len(*last)+1+len(w) > width {
			lines = append(lines, "  "+w)
		} else {
			*last += " " + w
		}
	}
	return strings.Join(lines, " \\\n")
}

// quote protects a word from the shell, variables excepted.
func quote(word string) string {
	switch {
	case strings.Contains(word, "$"):
		return `"` + strings.ReplaceAll(word, `"`, `\"`) + `"`
	case strings.ContainsAny(word, ` "{}[]*`):
		return "'" + word + "'"
	}
	return word
}

// answer is what came back; its status is 0 where nothing did.
type answer struct {
	status int
	header http.Header
	body   string
}

// member is a member of an answer that is a JSON object, "" where it is none, or has none of that name.
func (a answer) member(name string) string { return parse(a.body).get(name) }

// do makes the call.
func (c call) do(ctx context.Context, vars shell) answer {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	method := http.MethodGet
	if len(c.data) > 0 {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, vars.expand(c.url), strings.NewReader(vars.expand(strings.Join(c.data, "&"))))
	if err != nil {
		return answer{body: err.Error()}
	}
	if len(c.data) > 0 {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl does
	}
	for _, h := range c.header {
		name, value, _ := strings.Cut(vars.expand(h), ": ")
		req.Header.Set(name, value)
	}
	if c.user != "" {
		name, password, _ := strings.Cut(vars.expand(c.user), ":")
		req.SetBasicAuth(name, password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{body: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return answer{body: err.Error()}
	}
	return answer{resp.StatusCode, resp.Header, strings.TrimSpace(string(body))}
}

// object is a JSON object: an answer, a record of the audit log, the claims of a token.
type object map[string]any

// parse reads a JSON object; what is none is empty.
func parse(text string) object {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber() // numbers stay as they are written
	var o object
	_ = decoder.Decode(&o)
	return o
}

// get is the text of a member, whose name may be a path with dots; "" where there is none.
func (o object) get(path string) string {
	name, rest, deeper := strings.Cut(path, ".")
	value := o[name]
	if deeper {
		inner, _ := value.(map[string]any)
		return object(inner).get(rest)
	}
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	}
	text, _ := json.Marshal(value)
	return string(text)
}
