package config

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Redis is what replicas share their tokens over.
type Redis struct {
	Addresses []string      `yaml:"addresses"` // host:port; one, in mode single
	Mode      string        `yaml:"mode"`      // single
	Username  string        `yaml:"username,omitempty"`
	Password  Secret        `yaml:"password,omitempty"`
	TLS       *RedisTLS     `yaml:"tls,omitempty"`
	Timeout   time.Duration `yaml:"timeout"` // of one call, dialing included
}

// RedisTLS names a file, absolute.
type RedisTLS struct {
	CAFile string `yaml:"ca_file"` // PEM: who signs Redis' certificate
}

type redisFile struct {
	Pos          strictyaml.Pos
	Addresses    list[redisAddress]          `yaml:"addresses,required"`
	Mode         strictyaml.Value[redisMode] `yaml:"mode"`
	MasterName   anything                    `yaml:"master_name"`
	Username     text                        `yaml:"username"`
	PasswordFile text                        `yaml:"password_file"`
	TLS          *struct {
		CAFile text `yaml:"ca_file,required"`
	} `yaml:"tls"`
	Timeout duration `yaml:"timeout"`
}

const (
	redisSingle = "single"

	defaultRedisTimeout = 50 * time.Millisecond
	// A Redis that takes longer than a mint saves nothing.
	maxRedisTimeout = time.Second
)

// redis checks the section; keyset says whether there is a keyset that replicas can share.
func (c *checker) redis(f *redisFile, keyset bool) *Redis {
	if f == nil {
		return nil
	}
	const path = "store.redis"
	c.refuse([]wanted{given(f.MasterName, path+".master_name", "Redis Sentinel")})
	r := &Redis{
		Addresses: toStrings(f.Addresses.values()), Mode: string(f.Mode.Or(redisSingle)),
		Username: c.filled(f.Username, path+".username"),
		Timeout:  c.span(f.Timeout, path+".timeout", defaultRedisTimeout, time.Millisecond, maxRedisTimeout),
	}
	if len(r.Addresses) > 1 && r.Mode == redisSingle {
		c.fault(f.Addresses.Items[1].Pos, path+".addresses", "more than one address", "keep one")
	}
	if f.PasswordFile.Set() {
		r.Password = c.secretFile(f.PasswordFile, path+".password_file")
	} else if f.Username.Set() {
		c.missing(f.Pos, path, "password_file", "add it; a user without a password is open to everybody")
	}
	if f.TLS != nil {
		r.TLS = &RedisTLS{CAFile: c.file(f.TLS.CAFile, path+".tls.ca_file")}
	}
	if !keyset {
		c.fault(f.Pos, path, "tokens that replicas share, without store.keyset_file",
			"make a keyset once with `sts keys new store FILE`, give the file to every replica, and name it there")
	}
	return r
}

// redisAddress is host:port to dial.
type redisAddress string

func (a *redisAddress) UnmarshalScalar(text string) error {
	*a = redisAddress(text)
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || !isPort(port) || strings.Trim(port, "0") == "" || strings.ContainsAny(host, " /@") || !isPrintable(text) {
		return strictyaml.Problemf("write host:port, like redis.example:6379", "%s is no address to dial", strconv.Quote(text))
	}
	return nil
}

// redisMode is how Redis is deployed.
type redisMode string

func (m *redisMode) UnmarshalScalar(text string) error {
	*m = redisMode(text)
	switch text {
	case "sentinel":
		return notYetProblem("Redis Sentinel")
	case "cluster":
		return notYetProblem("Redis Cluster")
	}
	return strictyaml.OneOf(text, redisSingle, "sentinel", "cluster")
}
