// Package databricks mints Databricks tokens, uploads files with one of its own, and believes nothing of an answer that it can check.
//
// Start at [Minter.Mint] in minter.go: make an assertion or take a secret, trade it at the workspace's token endpoint,
// check the answer word by word, fix when the token ends. Whatever goes wrong is an *exchange.Error that says what to
// mend, and holds nothing of the answer but a status and the words of OAuth.
//
//	minter.go    Mint, one screen
//	settings.go  what a reload may change: accounts, federation, secrets, the time-out
//	assertion.go the JWT that is traded for a token (token federation)
//	source.go    the SDK's bare token sources, over our bounded client, with the raw answer kept
//	answer.go    reading a good answer strictly
//	expiry.go    when a token ends, in fact
//	refusal.go   reading a bad answer: refused, unavailable, or nonsense
//	members.go   a JSON object by exact names
//	own.go       a principal that the service itself uses: its token, recorded like any other
//	volume.go    files into a volume, by the SDK's Files API
//	breaker.go   what is refused is not asked again at once, and stands in nobody else's way
//
// A mint is one request. There is no retry inside it: the token that is cached lasts while its renewal fails, the
// caller is told when to come back, and a Databricks in trouble does not get its load doubled.
package databricks
