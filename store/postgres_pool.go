package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgpassfile"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// maxConnections of one replica: the ledger is asked once a second, and a few times more when something changes.
	maxConnections = 4
	// connectTime is how long a connection may take to be made: at the start, or for those who ask later. An access
	// doesn't wait that long.
	connectTime = 5 * time.Second
	// pingTime is how long a connection that was idle is tried before it is given up for another.
	pingTime = time.Second
	// statementTime is what the server itself allows a statement, for one whose caller can't tell it to end any more.
	statementTime = 5 * time.Second
)

// PostgresPool is how PostgresConfig.URL is reached, for who keeps something else in the same database: by the same password
// file, and as little by the environment. What it allows a connection is meant for a ledger.
func PostgresPool(url string) (*pgxpool.Config, error) {
	c, err := poolConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return c, nil
}

// poolConfig reads a URL for the pool. What the URL leaves out is not taken from the environment.
func poolConfig(text string) (*pgxpool.Config, error) {
	whole, passfile, err := completeURL(text)
	if err != nil {
		return nil, err
	}
	c, err := pgxpool.ParseConfig(whole)
	if err != nil {
		return nil, err // pgx leaves the password out
	}
	c.MaxConns, c.MinConns, c.MinIdleConns = maxConnections, 0, 0
	c.MaxConnIdleTime, c.MaxConnLifetime, c.MaxConnLifetimeJitter = 5*time.Minute, 30*time.Minute, 5*time.Minute
	c.PingTimeout = pingTime
	conn := c.ConnConfig
	conn.Password, conn.ConnectTimeout = "", connectTime // the password that is there now is the environment's
	// No prepared statements, so that a pooler may stand between; none of ours is worth preparing.
	conn.DefaultQueryExecMode, conn.StatementCacheCapacity, conn.DescriptionCacheCapacity = pgx.QueryExecModeExec, 0, 0
	conn.RuntimeParams = map[string]string{
		"application_name": "sts", "statement_timeout": strconv.FormatInt(statementTime.Milliseconds(), 10),
	}
	if passfile != "" {
		// It is read for each connection, so that a new password needs no restart.
		c.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) (err error) {
			c.Password, err = password(passfile, c)
			return err
		}
	}
	return c, nil
}

// completeURL fills in what pgx would otherwise look for in the environment and in the home directory. The password
// file is ours to read.
func completeURL(text string) (whole, passfile string, err error) {
	base, query, _ := strings.Cut(text, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", "", errors.New("the URL's parameters can't be read")
	}
	user, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(base, "postgres://"), "postgresql://"), "@")
	if strings.Contains(user, ":") && strings.Contains(base, "@") || values.Has("password") {
		return "", "", errors.New("a password in the URL; put it into a file of PostgreSQL's own form, and name that by passfile")
	}
	passfile = values.Get("passfile")
	values.Set("passfile", "/dev/null")
	values.Set("target_session_attrs", "read-write") // a standby is no ledger
	for _, name := range []string{"sslrootcert", "sslcert", "sslkey"} {
		if !values.Has(name) {
			values.Set(name, "")
		}
	}
	if !values.Has("sslmode") {
		values.Set("sslmode", "verify-full")
	}
	return base + "?" + values.Encode(), passfile, nil
}

// password looks in PostgreSQL's password file (host:port:database:user:password, * for any).
func password(passfile string, c *pgx.ConnConfig) (string, error) {
	lines, err := pgpassfile.ReadPassfile(passfile)
	if err != nil {
		return "", fmt.Errorf("passfile: %w", err)
	}
	port := strconv.Itoa(int(c.Port))
	found := lines.FindPassword(c.Host, port, c.Database, c.User)
	if found == "" {
		return "", fmt.Errorf("passfile: %s has no line for %s:%s:%s:%s", passfile, c.Host, port, c.Database, c.User)
	}
	return found, nil
}

// whereOf names the ledger in an error.
func whereOf(c *pgxpool.Config) string {
	return fmt.Sprintf("%s at %s", c.ConnConfig.Database, net.JoinHostPort(c.ConnConfig.Host, strconv.Itoa(int(c.ConnConfig.Port))))
}
