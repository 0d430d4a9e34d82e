package jwt

import "math/big"

// factorable reports whether an RSA modulus shows the mark of the chips that made their primes as powers of 65537 modulo
// a product of small primes (ROCA, CVE-2017-15361): such a modulus is a power of 65537 modulo each of them. A good
// modulus is that by chance once in 2^154.
func factorable(modulus *big.Int) bool {
	var rest big.Int
	for prime := int64(3); prime <= 167; prime++ {
		small := big.NewInt(prime)
		if small.ProbablyPrime(0) && !isPower(rest.Mod(modulus, small).Int64(), prime) {
			return false
		}
	}
	return true
}

// isPower reports whether residue is a power of 65537 modulo a small prime.
func isPower(residue, prime int64) bool {
	power := int64(1)
	for range prime {
		if power == residue {
			return true
		}
		power = power * 65537 % prime
	}
	return false
}
