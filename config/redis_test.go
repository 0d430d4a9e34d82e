package config_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/config"
)

func TestRedis(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"key", "ca"} {
		write(t, filepath.Join(folder, name), "x\n")
	}
	write(t, filepath.Join(folder, "password"), "dose-of-a-secret\n")
	for _, c := range []struct {
		text string
		want config.Redis
	}{
		{"{addresses: [\"redis.example:6379\"]}", config.Redis{Addresses: []string{"redis.example:6379"}, Mode: "single", Timeout: 50 * time.Millisecond}},
		{"{addresses: [\"[::1]:6379\"], mode: single, username: sts, password_file: password, tls: {ca_file: ca}, timeout: 20ms}", config.Redis{
			Addresses: []string{"[::1]:6379"}, Mode: "single", Username: "sts", TLS: &config.RedisTLS{CAFile: filepath.Join(folder, "ca")}, Timeout: 20 * time.Millisecond,
		}},
	} {
		cfg, err := parse(t, folder, strings.Replace(small, "policy: {", "store: {keyset_file: key, redis: "+c.text+"}\npolicy: {", 1))
		if err != nil {
			t.Fatal(err)
		}
		got := *cfg.Store.Redis
		if password := got.Password.Reveal(); (c.want.Username != "") != (password == "dose-of-a-secret") {
			t.Errorf("%s: the password is %q", c.text, password)
		}
		got.Password = config.Secret{}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(config.Secret{})); diff != "" {
			t.Errorf("%s:\n%s", c.text, diff)
		}
		checkShow(t, cfg)
		if strings.Contains(string(cfg.Show()), "dose") {
			t.Error("the password shows")
		}
	}
}

func TestRedisFaults(t *testing.T) {
	const address = `addresses: ["r:1"]`
	for _, c := range []struct{ text, want string }{
		{"store: {redis: {" + address + "}}", "15:16: store.redis: tokens that replicas share, without store.keyset_file; make a keyset once with `sts keys new store FILE`, give the file to every replica, and name it there"},
		{"store: {keyset_file: there, redis: {}}", `15:36: store.redis: missing key "addresses"; add it`},
		{"store: {keyset_file: there, redis: {addresses: []}}", `15:48: store.redis.addresses: an empty list; name at least one`},
		{"store: {keyset_file: there, redis: {addresses: [r]}}", `15:49: store.redis.addresses[0]: "r" is no address to dial; write host:port, like redis.example:6379`},
		{"store: {keyset_file: there, redis: {addresses: [\":1\"]}}", `15:49: store.redis.addresses[0]: ":1" is no address to dial; write host:port, like redis.example:6379`},
		{"store: {keyset_file: there, redis: {addresses: [\"r:0\"]}}", `15:49: store.redis.addresses[0]: "r:0" is no address to dial; write host:port, like redis.example:6379`},
		{"store: {keyset_file: there, redis: {addresses: [\"r:1\", \"s:1\"]}}", `15:56: store.redis.addresses: more than one address; keep one`},
		{"store: {keyset_file: there, redis: {" + address + ", mode: double}}", `15:63: store.redis.mode: unknown value "double"; write single, sentinel or cluster`},
		{"store: {keyset_file: there, redis: {" + address + ", username: sts}}", `15:36: store.redis: missing key "password_file"; add it; a user without a password is open to everybody`},
		{"store: {keyset_file: there, redis: {" + address + ", password_file: gone}}", `15:72: store.redis.password_file: there is no such file; make it, or mend the path; relative paths start at this file's folder`},
		{"store: {keyset_file: there, redis: {" + address + ", tls: {}}}", `15:62: store.redis.tls: missing key "ca_file"; add it`},
		{"store: {keyset_file: there, redis: {" + address + ", tls: {ca_file: gone}}}", `15:72: store.redis.tls.ca_file: there is no such file; make it, or mend the path; relative paths start at this file's folder`},
		{"store: {keyset_file: there, redis: {" + address + ", timeout: 2s}}", `15:66: store.redis.timeout: longer than 1s; make it shorter, or leave it out for 50ms`},
	} {
		checkFaults(t, "policy: {", c.text+"\npolicy: {", c.want)
	}
}
