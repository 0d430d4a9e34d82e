package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/lakegate/sts/exchange"
)

var _ exchange.Once = (*Redis)(nil)

const birthKey = redisPrefix + "birth"

// markGrace is how long Redis keeps a mark after its end, for replicas whose clock is behind. What counts is the end that
// stands in it.
const markGrace = time.Minute

// claimMark looks when the marks were born, and marks KEYS[2] if that is given. ARGV, in milliseconds: now; and of the mark
// its earliest use, its end, and how long to keep it.
//
// Marks are born anew whenever some may have been lost: the birth is gone with them (a flush), it is another run of the
// server (a restart from an old snapshot, a replica that took over), or the server has evicted something since.
var claimMark = redis.NewScript(`
local now = tonumber(ARGV[1])
local run = string.match(redis.call("INFO", "server"), "run_id:(%x+)")
local evicted = string.match(redis.call("INFO", "stats"), "evicted_keys:(%d+)")
local life = run .. ":" .. evicted .. ":"
local known = redis.call("GET", KEYS[1])
local born
if known and string.sub(known, 1, #life) == life then
	born = tonumber(string.sub(known, #life + 1))
else
	born = now
	redis.call("SET", KEYS[1], life .. ARGV[1])
end
if not KEYS[2] then return "" end
if tonumber(ARGV[2]) < born then return "young" end
local till = tonumber(ARGV[3])
if till <= now then return "gone" end
local held = redis.call("GET", KEYS[2])
if held and tonumber(held) > now then return "used" end
redis.call("SET", KEYS[2], ARGV[3], "PX", ARGV[4])
return "fresh"`)

// Claim implements exchange.Once.
func (r *Redis) Claim(ctx context.Context, key string, earliest, until time.Time) (fresh bool, err error) {
	sum := sha256.Sum256([]byte(key))
	now := r.now()
	var answer string
	err = r.call(ctx, "claim", func(ctx context.Context) (err error) {
		answer, err = claimMark.Run(ctx, r.client, []string{birthKey, redisPrefix + "once:" + hex.EncodeToString(sum[:])},
			now.UnixMilli(), earliest.UnixMilli(), until.UnixMilli(), (max(0, until.Sub(now)) + markGrace).Milliseconds()).Text()
		return err
	})
	switch {
	case err != nil:
		return false, err
	case answer == "fresh", answer == "used":
		return answer == "fresh", nil
	case answer == "young":
		return false, errMarksYoung
	case answer == "gone":
		return false, errMarksGone
	}
	return false, fmt.Errorf("redis answers %.20q to a claim", answer)
}

// probe asks Redis whether it lives, in a way that needs every right. Marks that were lost are born again at once, so
// that what is issued from now on is not refused.
func (r *Redis) probe(ctx context.Context) error {
	return r.call(ctx, "probe", func(ctx context.Context) error {
		return claimMark.Run(ctx, r.client, []string{birthKey}, r.now().UnixMilli()).Err()
	})
}
