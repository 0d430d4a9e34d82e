// Package testservice starts the services that tests need beside our own: the real ones, from Debian's packages, each on
// a free port of the loopback, in a folder of its own, and ended by its process id. It is for tests alone, and never
// linked into the program.
//
//	postgres.go           a PostgreSQL cluster, to be stopped, killed, hung and started again
//	postgres_database.go  a fresh database per test; one cluster for all tests that don't stop it
//	redis.go              a Redis, to be killed, hung, emptied and started again, with a user of the least rights
//	certificate.go        what they prove themselves by
package testservice
