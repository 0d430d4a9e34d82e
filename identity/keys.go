package identity

import (
	"crypto"
	"sync/atomic"
	"time"

	"github.com/lakegate/sts/internal/jwt"
)

// maxUnnamed bounds how many keys a token without kid is tried against.
const maxUnnamed = 4

// key is a provider's key. Verified tokens hold on to the key that signed them, and are over when it is withdrawn.
type key struct {
	jwt.Key
	withdrawn atomic.Bool
}

// keySet is what one fetch brought.
type keySet struct {
	keys    []*key
	skipped []jwt.Skipped
	at      time.Time // when it was fetched
}

// candidates are the keys that may have signed a token with that header.
func (set *keySet) candidates(h jwt.Header) (fit []*key) {
	if set == nil {
		return nil
	}
	for _, k := range set.keys {
		if (h.KeyID == "" || h.KeyID == k.ID) && k.Fits(h.Algorithm) && len(fit) < maxUnnamed {
			fit = append(fit, k)
		}
	}
	return fit
}

// replace puts the fetched keys in place. A key that was there before stays the same key; one that is gone is withdrawn,
// and with it what it signed.
func (s *keySource) replace(fetched []jwt.Key, skipped []jwt.Skipped) {
	before := s.set.Load()
	var old []*key
	if before != nil {
		old = before.keys
	}
	kept := make(map[*key]bool, len(old))
	keys := make([]*key, 0, len(fetched))
	for _, f := range fetched {
		k := same(old, f)
		if k == nil {
			k = &key{Key: f}
		}
		kept[k] = true
		keys = append(keys, k)
	}
	s.put(keys, skipped)
	changed := before == nil || len(old) != len(keys)
	for _, k := range old {
		if !kept[k] {
			k.withdrawn.Store(true)
			changed = true
		}
	}
	if changed {
		s.tell(keys, skipped)
	}
}

func (s *keySource) tell(keys []*key, skipped []jwt.Skipped) {
	s.log.Info("an identity provider's keys have changed", "keys", len(keys), "skipped", len(skipped))
	for i, skip := range skipped {
		if i == 8 {
			break // the count is known, and a hostile set must not fill the log
		}
		s.log.Warn("a key of an identity provider is not used: it "+skip.Reason.Error(), "kid", skip.ID[:min(len(skip.ID), 64)])
	}
}

func same(old []*key, k jwt.Key) *key {
	for _, o := range old {
		public, ok := o.Public.(interface{ Equal(crypto.PublicKey) bool })
		if ok && o.ID == k.ID && o.Algorithm == k.Algorithm && o.Issuer == k.Issuer && public.Equal(k.Public) {
			return o
		}
	}
	return nil
}
