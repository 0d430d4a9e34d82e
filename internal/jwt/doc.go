// Package jwt reads compact JSON Web Tokens strictly, checks their signatures, and reads the key sets that they are
// checked against. It knows nothing of what the claims mean.
//
//	token.go   Parse: three segments, canonical base64url, one header, one object of claims
//	object.go  ParseObject: strict JSON into plain values, with bounds
//	scan.go    its strings and numbers
//	date.go    NumericDate
//	key.go     Key: a public key, which algorithms it fits, whether it signed a token
//	roca.go    a kind of RSA key that can be factored
//	keyset.go  ParseKeySet: RFC 7517; ParseBundle: SPIFFE trust bundles
//	spiffe.go  ParseSPIFFEID
//
// The strictness is not for its own sake. Where two readers of one text can differ (a repeated name, a name in another
// letter case, base64 with stray bits, a number out of range), one of them can be shown another token than the other,
// and a hash of the text is no longer a name for what it says. So what could be read in two ways is refused.
//
// No error of this package holds any text of a token.
package jwt
