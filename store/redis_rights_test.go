package store_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/lakegate/sts/internal/testservice"
)

// All tests of Redis run as a user with the rights that the documentation names, and a command beyond them fails.
func TestRights(t *testing.T) {
	text, err := os.ReadFile("../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	if line := "\nuser sts on >PASSWORD " + testservice.RedisRights + "\n"; !strings.Contains(string(text), line) {
		t.Errorf("docs/redis.md does not name the rights of these tests:%s", line)
	}

	f := newFleet(t, 0, patient)
	f.denied = true
	user := redis.NewClient(&redis.Options{
		Addr: f.redis.Address, Username: f.redis.Username, Password: f.redis.Password, DisableIdentity: true, MaxRetries: -1, DialTimeout: patient,
	})
	defer func() { _ = user.Close() }()
	do := func(command string) error {
		var args []any
		for _, word := range strings.Fields(command) {
			args = append(args, word)
		}
		return user.Do(t.Context(), args...).Err()
	}
	must(t, do("SET sts:1:token:x 1 PX 1000"))
	for _, command := range []string{
		"SET other:x 1", "GETRANGE other:x 0 1", "DEL sts:2:x", "SET sts:1 1", // keys that aren't ours
		"KEYS *", "SCAN 0", "RANDOMKEY", "FLUSHALL", "FLUSHDB", "DBSIZE", "CONFIG GET *", "ACL LIST", "ACL WHOAMI", "CLIENT LIST", "CLIENT SETNAME x",
		"SAVE", "SHUTDOWN", "MONITOR", "PUBLISH sts:1:x y", "SUBSCRIBE sts:1:x", "PSUBSCRIBE *",
		"RENAME sts:1:token:x sts:1:token:y", "COPY sts:1:token:x sts:1:token:y", "DUMP sts:1:token:x", "PERSIST sts:1:token:x", "TTL sts:1:token:x",
		"APPEND sts:1:token:x y", "INCR sts:1:token:x", "MGET sts:1:token:x", "SCRIPT FLUSH", "SCRIPT LOAD return", "FUNCTION LIST", "MODULE LIST", "SELECT 1",
		"EVAL return(redis.call('GET','other:x')) 0", "EVAL return(redis.call('KEYS','*')) 0",
	} {
		err := do(command)
		if err == nil || !slices.ContainsFunc([]string{"NOPERM", "can't run this command", "can't access"}, func(denial string) bool { return strings.Contains(err.Error(), denial) }) {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// Who signs Redis' certificate is asked before anything is sent to it.
func TestRedisOfAnotherAuthority(t *testing.T) {
	f := newSecureFleet(t)
	must(t, f.join(t, patient, f.aead).firstHealth(t))
	other, err := testservice.StartRedis(true)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	f.redis.TLS = other.TLS
	err = f.join(t, patient, f.aead).firstHealth(t)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("health: %v", err)
	}
}

// firstHealth is what Redis' health is once it was asked.
func (r *replica) firstHealth(t *testing.T) error {
	t.Helper()
	eventually(t, "it was asked", func() bool { return r.metric(t, "sts_redis_calls_total", "operation", "probe") > 0 })
	return r.redis.Health()
}
