package e2e_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/lakegate/sts/internal/testservice"
)

// collected is what a world's answers and traces said, kept for the scan.
type collected struct {
	mu     sync.Mutex
	errors strings.Builder
	grpc   strings.Builder
	traces strings.Builder
	// secrets are those that the test made itself and sent.
	secrets []string
}

func (c *collected) addSecret(secret string) { c.addSecrets([]string{secret}) }

func (c *collected) addSecrets(secrets []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets = append(c.secrets, secrets...)
}

// addError keeps an answer of HTTP; of a good one only its headers, since its body is where the token belongs.
func (c *collected) addError(a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(&c.errors, "%d %v %s\n", a.Status, a.Header, a.Body)
}

func (c *collected) addTrace(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.traces.WriteString(text)
	c.traces.WriteByte('\n')
}

// addCall keeps what a call of gRPC was answered beside its message: headers, trailers and the whole status.
func (c *collected) addCall(header, trailer metadata.MD, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(&c.grpc, "%v %v %v", header, trailer, err)
	for _, detail := range status.Convert(err).Details() {
		fmt.Fprintf(&c.grpc, " %v", detail)
		if m, ok := detail.(proto.Message); ok {
			raw, _ := proto.Marshal(m)
			c.grpc.Write(raw)
		}
	}
	c.grpc.WriteByte('\n')
}

// watch keeps every call of a connection for the scan.
func (c *collected) watch() grpc.DialOption {
	return grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		var header, trailer metadata.MD
		err := invoke(ctx, method, req, reply, conn, append(opts, grpc.Header(&header), grpc.Trailer(&trailer))...)
		c.addCall(header, trailer, err)
		return err
	})
}

// readFiles returns all that the files of these names hold, one after the other.
func readFiles(names ...string) (string, error) {
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			return "", err
		}
		all.Write(text)
	}
	return all.String(), nil
}

// dumpLedger returns all that stands in this world's database: its tables, or its files as they are.
func (w *world) dumpLedger() (string, error) {
	if w.database != nil {
		return dumpPostgres(w.database)
	}
	files, err := filepath.Glob(filepath.Join(w.dir, "data", "*.db*"))
	if err != nil {
		return "", err
	}
	files = removeKeysets(files)
	return readFiles(files...)
}

func removeKeysets(files []string) (rest []string) {
	for _, file := range files {
		if !strings.HasSuffix(file, ".keyset.json") {
			rest = append(rest, file)
		}
	}
	return rest
}

// dumpPostgres returns every row of every table that isn't PostgreSQL's own, bytes as they are.
func dumpPostgres(d *testservice.Database) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var tables []string
	err := d.Admin().QueryRow(ctx, "SELECT array_agg(format('%I.%I', schemaname, tablename)) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')").Scan(&tables)
	if err != nil {
		return "", err
	}
	var dump strings.Builder
	for _, table := range tables {
		rows, err := d.Admin().Query(ctx, "SELECT * FROM "+table)
		if err != nil {
			return "", err
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				rows.Close()
				return "", err
			}
			for _, value := range values {
				if raw, ok := value.([]byte); ok {
					dump.Write(raw)
				} else {
					fmt.Fprint(&dump, value)
				}
				dump.WriteByte('\t')
			}
			dump.WriteByte('\n')
		}
		if err := rows.Err(); err != nil {
			return "", err
		}
	}
	return dump.String(), nil
}

// dumpRedis returns every key of a Redis with all that it holds, whatever its kind.
func dumpRedis(r *testservice.Redis) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	admin := r.Admin()
	defer func() { _ = admin.Close() }()
	var dump strings.Builder
	keys := admin.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		kind, err := admin.Type(ctx, key).Result()
		if err != nil {
			return "", err
		}
		var value any
		switch kind {
		case "none": // it has just ended
			continue
		case "string":
			value, err = admin.Get(ctx, key).Result()
		case "hash":
			value, err = admin.HGetAll(ctx, key).Result()
		case "list":
			value, err = admin.LRange(ctx, key, 0, -1).Result()
		case "set":
			value, err = admin.SMembers(ctx, key).Result()
		case "zset":
			value, err = admin.ZRange(ctx, key, 0, -1).Result()
		case "stream":
			value, err = admin.XRange(ctx, key, "-", "+").Result()
		default:
			err = fmt.Errorf("the scan doesn't know the kind %s of %q", kind, key)
		}
		if err != nil && err.Error() != "redis: nil" {
			return "", err
		}
		fmt.Fprintf(&dump, "%s %v\n", key, value)
	}
	return dump.String(), keys.Err()
}

// keysetSecrets are the keys of this world's keysets, which seal all that is secret in the database and in Redis.
func (w *world) keysetSecrets() (secrets []string, err error) {
	names, err := filepath.Glob(filepath.Join(w.dir, "data", "*.keyset.json"))
	if err != nil {
		return nil, err
	}
	if store, _ := w.config["store"].(object); store != nil {
		if name, _ := store["keyset_file"].(string); filepath.IsAbs(name) {
			names = append(names, name)
		} else if name != "" {
			names = append(names, filepath.Join(w.dir, name))
		}
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var keyset struct {
			Key []struct {
				KeyData struct{ Value []byte }
			}
		}
		if err := json.Unmarshal(text, &keyset); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, key := range keyset.Key {
			value := key.KeyData.Value
			if len(value) < 32 {
				return nil, fmt.Errorf("%s holds a key of %d bytes", name, len(value))
			}
			secrets = append(secrets, base64.StdEncoding.EncodeToString(value), base64.RawURLEncoding.EncodeToString(value[len(value)-32:]))
		}
	}
	return secrets, nil
}
