package config

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/lakegate/sts/internal/strictyaml"
)

// Database is the ledger's: one of the two.
type Database struct {
	SQLite string // absolute path of the file
	// Postgres is a URL that names user, host, database and sslmode, and holds no password; paths in it are absolute.
	Postgres string
}

// String is the database as it is written.
func (d Database) String() string {
	if d.Postgres != "" {
		return d.Postgres
	}
	return "sqlite:" + d.SQLite
}

const (
	defaultDatabase = "sqlite:data/sts.db"
	databaseForm    = "write sqlite: and a path, like " + defaultDatabase + ", or " + postgresForm
	postgresForm    = "postgres://USER@HOST:PORT/DATABASE?passfile=FILE"
)

// postgresParameters are those of libpq that a URL may have; true for those that name a file.
var postgresParameters = map[string]bool{"passfile": true, "sslrootcert": true, "sslcert": true, "sslkey": true, "sslmode": false}

// ParseDatabase reads a database in the words of the configuration's key, for the command line. Relative paths start at
// the folder.
func ParseDatabase(text, folder string) (Database, error) {
	c := &checker{folder: folder}
	d := c.database(strictyaml.Value[string]{V: text, Pos: strictyaml.Pos{File: "argument", Line: 1, Column: 1}})
	return d, c.faults.Err()
}

func (c *checker) database(v text) Database {
	kind, rest, _ := strings.Cut(v.Or(defaultDatabase), ":")
	switch {
	case kind == "postgres" || kind == "postgresql":
		return Database{Postgres: c.postgres(v, rest)}
	case kind != "sqlite" || rest == "" || strings.HasPrefix(rest, "//"):
		c.fault(v.Pos, "database", "not a database that we know", databaseForm)
		return Database{}
	}
	return Database{SQLite: c.path(text{V: rest, Pos: v.Pos}, "database", rest)}
}

// postgres checks what stands behind "postgres:". No fault repeats it: somebody may have written a password there, and
// in a URL that is wrong it can be anywhere.
func (c *checker) postgres(v text, rest string) string {
	fault := func(message, mend string) string {
		c.fault(v.Pos, "database", message, mend)
		return ""
	}
	rest, found := strings.CutPrefix(rest, "//")
	if before, _, _ := strings.Cut(rest, "@"); strings.Contains(before, ":") && strings.Contains(rest, "@") || strings.Contains(rest, "password=") {
		return fault("a password in the configuration", "put it into a file of PostgreSQL's own form (a line *:*:*:*:PASSWORD), and name that: "+postgresForm)
	}
	before, query, _ := strings.Cut(rest, "?")
	user, place, _ := strings.Cut(before, "@")
	hosts, name, _ := strings.Cut(place, "/")
	if !found || user == "" || name == "" || strings.ContainsAny(name, "/@") || strings.Contains(v.V, "#") || !isPrintable(v.V) {
		return fault("not a PostgreSQL URL with user, host and database", "write "+postgresForm)
	}
	local := true
	for host := range strings.SplitSeq(hosts, ",") {
		u, err := url.Parse("postgres://" + user + "@" + host + "/" + name)
		if err != nil || u.Hostname() == "" || u.Port() != "" && !isPort(u.Port()) {
			return fault("a host that is none", "write HOST or HOST:PORT, several with commas between")
		}
		local = local && isLoopback(u.Hostname())
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return fault("parameters that can't be read", "write "+postgresForm)
	}
	known := slices.Sorted(maps.Keys(postgresParameters))
	for name, all := range values {
		isFile, ok := postgresParameters[name]
		switch {
		case !ok:
			return fault("an unknown parameter", "known: "+strings.Join(known, ", "))
		case len(all) > 1:
			return fault("the parameter "+name+" twice", "keep one")
		case isFile:
			values.Set(name, c.file(text{V: all[0], Pos: v.Pos}, "database "+name))
		}
	}
	if values.Has("sslcert") != values.Has("sslkey") {
		return fault("one of sslcert and sslkey without the other", "name both, or none")
	}
	return "postgres://" + before + "?" + c.encrypted(v, values, local)
}

// encrypted fills in sslmode, and returns the parameters as they are written. PostgreSQL's own default goes on in the
// clear where the server has no TLS, or where somebody on the way says so.
func (c *checker) encrypted(v text, values url.Values, local bool) string {
	switch mode := values.Get("sslmode"); {
	case !values.Has("sslmode") && local:
		values.Set("sslmode", "prefer")
	case !values.Has("sslmode"):
		values.Set("sslmode", "verify-full")
	case !slices.Contains([]string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}, mode):
		c.fault(v.Pos, "database sslmode", "an unknown value", "write verify-full, verify-ca, require, or disable on a network that encrypts")
	case !local && (mode == "allow" || mode == "prefer"):
		c.fault(v.Pos, "database sslmode", mode+" encrypts only where nobody on the way objects", "leave it out for verify-full, with sslrootcert for an authority of your own")
	}
	return strings.ReplaceAll(values.Encode(), "%2F", "/")
}

// sharedKeyset holds that replicas that share a ledger also share what seals it.
func (c *checker) sharedKeyset(cfg *Config, database text) {
	if cfg.Database.Postgres != "" && cfg.Store.KeysetFile == "" {
		c.fault(database.Pos, "database", "a ledger that replicas share, without store.keyset_file",
			"make a keyset once with `sts keys new store FILE`, give the file to every replica, and name it there")
	}
}
