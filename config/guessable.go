package config

import (
	"crypto/sha256"
	_ "embed"
	"strings"
)

// guessableWords are secrets that turn up in examples, in defaults and at the top of every list of passwords: one a line, lower case.
//
//go:embed guessable.txt
var guessableWords string

// guessable says whether a digest is that of the empty text, of a secret that anybody would try, or of the client's own id.
func (c *checker) guessable(digest Digest, clientID string) bool {
	if c.guessed == nil {
		c.guessed = map[Digest]bool{}
		for _, word := range append(strings.Fields(guessableWords), "") {
			for _, spelling := range spellings(word) {
				c.guessed[sha256.Sum256([]byte(spelling))] = true
			}
		}
	}
	for _, spelling := range spellings(clientID) {
		if sha256.Sum256([]byte(spelling)) == digest {
			return true
		}
	}
	return c.guessed[digest]
}

// spellings are those that people think of, and each with the line end that a digest made with echo has.
func spellings(word string) []string {
	title := word
	if word != "" {
		title = strings.ToUpper(word[:1]) + word[1:]
	}
	var all []string
	for _, spelling := range []string{word, title, strings.ToUpper(word)} {
		for _, end := range []string{"", "1", "123", "!", "\n"} {
			all = append(all, spelling+end)
		}
	}
	return all
}
