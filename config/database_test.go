package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/config"
)

// withDatabase is small with a database and what it needs.
func withDatabase(url string) string {
	return small + "database: \"" + url + "\"\nstore: {keyset_file: there}\n"
}

func TestDatabase(t *testing.T) {
	for _, c := range []struct{ written, want string }{
		{"sqlite:x/y.db", "sqlite:/folder/x/y.db"},
		{"sqlite:/var/y.db", "sqlite:/var/y.db"},
		{"postgres://sts@db.internal/ledger?passfile=there", "postgres://sts@db.internal/ledger?passfile=/folder/there&sslmode=verify-full"},
		{"postgresql://sts@db/ledger?sslmode=require", "postgres://sts@db/ledger?sslmode=require"},
		{"postgres://sts@db/ledger?sslmode=disable", "postgres://sts@db/ledger?sslmode=disable"},
		{"postgres://sts@db1:5432,db2:5433/ledger", "postgres://sts@db1:5432,db2:5433/ledger?sslmode=verify-full"},
		{"postgres://sts@[::1]:5432/ledger", "postgres://sts@[::1]:5432/ledger?sslmode=prefer"},
		{"postgres://sts@localhost/ledger?sslmode=allow", "postgres://sts@localhost/ledger?sslmode=allow"},
		{"postgres://s%40x@db/l%20r?sslrootcert=there&sslcert=there&sslkey=there",
			"postgres://s%40x@db/l%20r?sslcert=/folder/there&sslkey=/folder/there&sslmode=verify-full&sslrootcert=/folder/there"},
	} {
		folder := t.TempDir()
		write(t, filepath.Join(folder, "there"), "x")
		cfg, err := parse(t, folder, withDatabase(c.written))
		if err != nil {
			t.Errorf("%s: %v", c.written, err)
			continue
		}
		if diff := cmp.Diff(c.want, strings.ReplaceAll(cfg.Database.String(), folder, "/folder")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.written, diff)
		}
		checkShow(t, cfg)
		d, err := config.ParseDatabase(c.written, folder)
		if err != nil || d != cfg.Database {
			t.Errorf("ParseDatabase(%s): %v, %v", c.written, d, err)
		}
	}
}

func TestDatabaseFaults(t *testing.T) {
	const password = "a password in the configuration; put it into a file of PostgreSQL's own form (a line *:*:*:*:PASSWORD), and name that: postgres://USER@HOST:PORT/DATABASE?passfile=FILE"
	const form = "not a PostgreSQL URL with user, host and database; write postgres://USER@HOST:PORT/DATABASE?passfile=FILE"
	for _, c := range []struct{ written, want string }{
		{"postgres://u:dose-of@h/d", ": " + password},
		{"postgres://u:do/se-of@h/d", ": " + password},
		{"postgres://u:do?se-of@h/d", ": " + password},
		{"postgres://u:@h/d", ": " + password},
		{"postgres://u@h/d?password=dose-of", ": " + password},
		{"postgres:u@h/d", ": " + form},
		{"postgres://h/d", ": " + form},
		{"postgres://u@h", ": " + form},
		{"postgres://u@h/d/dose-of", ": " + form},
		{"postgres://u@h/d#dose-of", ": " + form},
		{"postgres://u@/d", ": a host that is none; write HOST or HOST:PORT, several with commas between"},
		{"postgres://u@h:dose-of/d", ": a host that is none; write HOST or HOST:PORT, several with commas between"},
		{"postgres://u@h,/d", ": a host that is none; write HOST or HOST:PORT, several with commas between"},
		{"postgres://u@h/d?%zz", ": parameters that can't be read; write postgres://USER@HOST:PORT/DATABASE?passfile=FILE"},
		{"postgres://u@h/d?dose-of=x", ": an unknown parameter; known: passfile, sslcert, sslkey, sslmode, sslrootcert"},
		{"postgres://u@h/d?sslmode=require&sslmode=disable", ": the parameter sslmode twice; keep one"},
		{"postgres://u@h/d?passfile=missing", " passfile: there is no such file; make it, or mend the path; relative paths start at this file's folder"},
		{"postgres://u@h/d?sslcert=there", ": one of sslcert and sslkey without the other; name both, or none"},
		{"postgres://u@h/d?sslmode=dose-of", " sslmode: an unknown value; write verify-full, verify-ca, require, or disable on a network that encrypts"},
		{"postgres://u@h/d?sslmode=prefer", " sslmode: prefer encrypts only where nobody on the way objects; leave it out for verify-full, with sslrootcert for an authority of your own"},
	} {
		folder := t.TempDir()
		write(t, filepath.Join(folder, "there"), "x")
		_, err := parse(t, folder, withDatabase(c.written))
		if err == nil {
			t.Errorf("%s: no fault", c.written)
			continue
		}
		if diff := cmp.Diff("sts.yaml:16:11: database"+c.want, err.Error()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.written, diff)
		}
	}
	checkFaults(t, "policy: {", "database: postgres://u@h/d\npolicy: {", "15:11: database: a ledger that replicas share, without store.keyset_file; "+
		"make a keyset once with `sts keys new store FILE`, give the file to every replica, and name it there")
}

// Replicas that share a ledger accept a token once only if they share their marks, too.
func TestSingleUse(t *testing.T) {
	const once = "token_types: [jwt], single_use: true"
	folder := t.TempDir()
	write(t, filepath.Join(folder, "there"), "x")
	for database, want := range map[string]string{
		"sqlite:x.db":      "",
		"postgres://u@h/d": "sts.yaml:4:95: identity_providers.okta.single_use: tokens that replicas accept once, without store.redis to mark them in; add store.redis",
	} {
		text := strings.Replace(withDatabase(database), "token_types: [jwt]", once, 1)
		cfg, err := parse(t, folder, text)
		if want != "" {
			if err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %s", database, err, want)
			}
			text = strings.Replace(text, "{keyset_file: there}", "{keyset_file: there, redis: {addresses: [\"r:1\"]}}", 1)
			cfg, err = parse(t, folder, text)
		}
		if err != nil || !cfg.IdentityProviders["okta"].SingleUse {
			t.Errorf("%s: %v", database, err)
			continue
		}
		checkShow(t, cfg)
	}
}

// The same holds for the assertions of clients.
func TestAssertionsOfReplicas(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "there"), "x")
	text := strings.Replace(withDatabase("postgres://u@h/d"), "clients:\n", "clients:\n  etl: {auth_method: private_key_jwt, jwks_file: there, "+
		"identity_providers: [okta], authorized_parties: any, audiences: [prod]}\n", 1)
	const want = "sts.yaml:6:22: clients.etl.auth_method: assertions that replicas accept once, without store.redis to mark them in; add store.redis"
	if _, err := parse(t, folder, text); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	text = strings.Replace(text, "{keyset_file: there}", "{keyset_file: there, redis: {addresses: [\"r:1\"]}}", 1)
	if _, err := parse(t, folder, text); err != nil {
		t.Error(err)
	}
}
