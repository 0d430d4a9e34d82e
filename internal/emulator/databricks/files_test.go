package databricks_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lakegate/sts/internal/emulator/databricks"
)

func TestFiles(t *testing.T) {
	p := newPlace(t, databricks.Switches{})
	if err := p.PutVolume(databricks.Volume{Path: "/Volumes/main/sec/sts", Write: []string{appID}}); err != nil {
		t.Fatal(err)
	}
	if err := p.PutVolume(databricks.Volume{Path: "/Volumes/main/sec"}); err == nil {
		t.Error("a schema is taken for a volume")
	}
	issue := func(id, scope string) string {
		token, err := p.Issue(id, scope, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	writer := issue(appID, "files")
	const files, folders = "/api/2.0/fs/files/Volumes/main/sec/sts/", "/api/2.0/fs/directories/Volumes/main/sec/sts"
	for _, c := range []struct {
		name, method, path, token, body string
		status                          int
		says                            string
	}{
		{"no token", "PUT", files + "a", "", "x", 401, "UNAUTHENTICATED"},
		{"an unknown token", "PUT", files + "a", "nonsense", "x", 401, "UNAUTHENTICATED"},
		{"another scope", "PUT", files + "a", issue(appID, "sql"), "x", 403, "PERMISSION_DENIED"},
		{"another principal", "PUT", files + "a", issue(otherID, ""), "x", 403, "PERMISSION_DENIED"},
		{"no such volume", "PUT", "/api/2.0/fs/files/Volumes/main/sec/none/a", writer, "x", 404, "NOT_FOUND"},
		{"no volume at all", "PUT", "/api/2.0/fs/files/tmp/a", writer, "x", 400, "INVALID_PARAMETER_VALUE"},
		{"an empty volume", "GET", folders, writer, "", 200, `{"contents":[]}`},
		{"a new file", "PUT", files + "d/a.jsonl", writer, "one", 204, ""},
		{"over it", "PUT", files + "d/a.jsonl?overwrite=true", writer, "two", 204, ""},
		{"not over it", "PUT", files + "d/a.jsonl?overwrite=false", writer, "three", 409, "ALREADY_EXISTS"},
		{"maybe over it", "PUT", files + "d/a.jsonl?overwrite=maybe", writer, "three", 400, "INVALID_PARAMETER_VALUE"},
		{"a parameter that isn't known", "PUT", files + "d/a.jsonl?part=1", writer, "three", 501, "NOT_IMPLEMENTED"},
		{"back", "GET", files + "d/a.jsonl", writer, "", 200, "two"},
		{"its metadata", "HEAD", files + "d/a.jsonl", writer, "", 200, ""},
		{"what isn't there", "GET", files + "d/b.jsonl", writer, "", 404, "NOT_FOUND"},
		{"a folder", "GET", folders + "/d", writer, "", 200, `"file_size":3`},
		{"the volume", "GET", folders, writer, "", 200, `"is_directory":true`},
		{"a folder that isn't there", "GET", folders + "/e", writer, "", 404, "NOT_FOUND"},
		{"deleting", "DELETE", files + "d/a.jsonl", writer, "", 501, "NOT_IMPLEMENTED"},
	} {
		req, err := http.NewRequest(c.method, p.URL()+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if c.token != "" {
			req.Header.Set("Authorization", "Bearer "+c.token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || !strings.Contains(strings.ReplaceAll(string(body), "\n", ""), c.says) {
			t.Errorf("%s: %d %s, %v; want %d %s", c.name, resp.StatusCode, body, err, c.status, c.says)
		}
	}
	if diff := cmp.Diff(map[string]string{"/Volumes/main/sec/sts/d/a.jsonl": "two"}, p.Files("/Volumes/main/sec")); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}
