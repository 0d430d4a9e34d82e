package awssts

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
)

// Key is an access key with what AWS knows of it.
type Key struct {
	ID, Secret string
	// Token is the session token of a key that was given for a time; "" for a user's own.
	Token   string
	Expires time.Time // zero: never
	// ARN, Account and UserID are what GetCallerIdentity answers.
	ARN, Account, UserID string
}

// Role makes a key of a new session of a role, for an hour.
func (s *Server) Role(account, role, session string) *Key {
	return s.add(&Key{
		ID: "ASIA" + letters(16), Token: token(), Expires: s.Now().Add(time.Hour), Account: account,
		ARN: "arn:" + partitionOf(s.region) + ":sts::" + account + ":assumed-role/" + role + "/" + session, UserID: "AROA" + strings.Repeat("X", 17) + ":" + session,
	})
}

// User makes a key of a user; name may begin with a path.
func (s *Server) User(account, name string) *Key {
	return s.add(&Key{
		ID: "AKIA" + letters(16), Account: account, UserID: "AIDA" + letters(17),
		ARN: "arn:" + partitionOf(s.region) + ":iam::" + account + ":user/" + name,
	})
}

// Other makes a key of whoever has that ARN.
func (s *Server) Other(account, arn string) *Key {
	return s.add(&Key{ID: "AKIA" + letters(16), Account: account, UserID: account, ARN: arn})
}

// End makes a key one that has expired.
func (s *Server) End(k *Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.Expires = s.Now().Add(-time.Second)
}

func (s *Server) add(k *Key) *Key {
	secret := make([]byte, 30)
	_, _ = rand.Read(secret) // never fails
	k.Secret = base64.StdEncoding.EncodeToString(secret)
	s.Remember(k.Secret)
	if k.Token != "" {
		s.Remember(k.Token)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[k.ID] = k
	return k
}

// letters are random ones that an access key may have.
func letters(n int) string {
	text := make([]byte, n)
	_, _ = rand.Read(text)
	return strings.ToUpper(hex.EncodeToString(text))[:n]
}

// token is of the size of AWS's own, and has the characters that have to be encoded in a query.
func token() string {
	text := make([]byte, 600)
	_, _ = rand.Read(text)
	return "IQoJb3JpZ2luX2Vj+/" + base64.StdEncoding.EncodeToString(text)
}

func partitionOf(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}
