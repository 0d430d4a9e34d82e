package testservice

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Database is a fresh database, and the role of the same name that owns it.
type Database struct {
	Name string
	// URL is the owner's, without a password.
	URL     string
	cluster *Postgres
	admin   *pgxpool.Pool
}

// NewPostgres makes and starts a cluster of a test's own, for as long as the test runs: one that it may stop and kill.
func NewPostgres(t testing.TB) *Postgres {
	t.Helper()
	p, err := StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// NewDatabase makes a database for a test. It lives as long as the cluster.
func (p *Postgres) NewDatabase(t testing.TB) *Database {
	t.Helper()
	p.mu.Lock()
	p.made++
	name := fmt.Sprintf("ledger_%d", p.made)
	p.mu.Unlock()
	maintenance := newAdmin(t, p.url("postgres", "postgres"))
	defer maintenance.Close()
	for _, statement := range []string{"CREATE ROLE " + name + " LOGIN PASSWORD '" + p.Password + "'", "CREATE DATABASE " + name + " OWNER " + name} {
		if _, err := maintenance.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	d := &Database{Name: name, URL: p.url(name, name), cluster: p, admin: newAdmin(t, p.url("postgres", name))}
	t.Cleanup(d.admin.Close)
	return d
}

// AdminURL is the superuser's, of the database that each cluster has.
func (p *Postgres) AdminURL() string { return p.url("postgres", "postgres") }

// newAdmin makes no connection before one is needed, and few.
func newAdmin(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	c.MaxConns = 2
	admin, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return admin
}

// As is the URL of another role.
func (d *Database) As(role string) string { return d.cluster.url(role, d.Name) }

// Folder is that of the cluster.
func (d *Database) Folder() string { return d.cluster.Folder }

// Password is that of all roles.
func (d *Database) Password() string { return d.cluster.Password }

// Admin are connections of the superuser, until the test that made the database ends.
func (d *Database) Admin() *pgxpool.Pool { return d.admin }

// url is a role's, by TLS and with the cluster's password file.
func (p *Postgres) url(role, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=verify-full&sslrootcert=%s/ca.crt&passfile=%s/passfile", role, p.port, database, p.Folder, p.Folder)
}

// SharedPostgres is one cluster for all tests of a binary, started for the first that asks. Close it after the last.
type SharedPostgres struct {
	once    sync.Once
	cluster *Postgres
	err     error
}

// NewDatabase makes a database of its own for a test.
func (s *SharedPostgres) NewDatabase(t testing.TB) *Database {
	t.Helper()
	s.once.Do(func() { s.cluster, s.err = StartPostgres() })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.cluster.NewDatabase(t)
}

// Close stops the cluster, if there is one.
func (s *SharedPostgres) Close() {
	if s.cluster != nil {
		s.cluster.Close()
	}
}
