// Package config reads the service's one configuration file into typed values with every default filled in, and complains once
// about everything that is wrong in it: file, line, column, and how to mend it.
//
// It knows the file and nothing else: cmd/sts maps its values to the Config of each package. The contract is the annotated example
// in deploy/config/sts.yaml. Secrets are named in the file by a path (…_file) or an environment variable (…_env), read here, and
// never shown. A key whose feature does not exist yet is refused by name ("not available yet"), never ignored.
//
// How to walk it:
//
//	config.go       Config, Load, Parse: decode, then check one section after the other; RestartNeeded
//	document.go     the top of the file as it is written
//	checker.go      what the checks of all sections share: faults, paths, spans of time
//	scalars.go      URLs, rates, addresses, digests, audiences: values written as one scalar
//	secret.go       a secret's source and its value
//	content.go      a file whose content is part of the configuration
//	listen.go       listen, grpc
//	database.go     database
//	providers.go    identity_providers; presets.go fills in what a preset leaves out
//	clients.go      clients; authmethod.go what belongs to how one authenticates; guessable.go knows secrets that anybody would guess
//	databricks.go   databricks
//	redis.go        store.redis
//	operate.go      policy, store, audit, limits, telemetry, log
//	exports.go      audit.exports
//	later.go        the keys of features that are not there yet
//	show.go         the effective configuration as YAML, without secrets
package config
