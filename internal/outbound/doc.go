// Package outbound makes the HTTP clients that leave this process: the one place where a call's time, size, redirects,
// proxies and connections are bounded, so that no caller has to remember to.
//
//	client.go     Config, New: the transport's bounds
//	roundtrip.go  what is bounded for each call: its whole time, its body, redirects
//	redact.go     errors of net/http without the URL's secrets
//
// All bounds hold in the transport, not in http.Client, so that they also hold for a library that takes only
// [http.Client.Transport] or makes a client of its own around it.
package outbound
