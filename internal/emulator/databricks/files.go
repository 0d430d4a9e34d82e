package databricks

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lakegate/sts/internal/emulator"
)

// maxUpload is what one upload may have, in bytes. The real one takes 5 GiB.
const maxUpload = 32 << 20

// Volume is a volume of Unity Catalog. The folders in it are those of its files.
type Volume struct {
	// Path is /Volumes/<catalog>/<schema>/<volume>.
	Path string `json:"path"`
	// Write names the principals, by their application ids, that may read and write it (READ VOLUME, WRITE VOLUME).
	Write []string `json:"write"`
}

type file struct {
	content  []byte
	modified time.Time
}

var volumePath = regexp.MustCompile(`^/Volumes(/[^/]+){3}$`)

// PutVolume adds a volume or replaces the one of that path.
func (s *Server) PutVolume(v Volume) error {
	if !volumePath.MatchString(v.Path) {
		return fmt.Errorf("databricks: %q is no /Volumes/<catalog>/<schema>/<volume>", v.Path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.volumes[v.Path] = v
	return nil
}

// Files returns the contents of all files below a folder, by their paths.
func (s *Server) Files(folder string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]string{}
	for name, f := range s.files {
		if strings.HasPrefix(name, strings.TrimSuffix(folder, "/")+"/") {
			found[name] = string(f.content)
		}
	}
	return found
}

// serveUpload writes a file, over one that is there unless overwrite=false says otherwise: 204.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	name, refused := s.filePath(r)
	if refused != nil {
		refused.writeAPI(w, r)
		return
	}
	content, err := io.ReadAll(r.Body)
	query := r.URL.Query()
	overwrite, errOverwrite := strconv.ParseBool(query.Get("overwrite"))
	if !query.Has("overwrite") {
		overwrite, errOverwrite = true, nil
	}
	query.Del("overwrite")
	s.mu.Lock()
	defer s.mu.Unlock()
	_, exists := s.files[name]
	switch {
	case err != nil:
		refused = &refusal{http.StatusBadRequest, "INVALID_PARAMETER_VALUE", "The body could not be read.", "body was cut off"}
	case len(content) > maxUpload:
		refused = &refusal{http.StatusRequestEntityTooLarge, "INVALID_PARAMETER_VALUE", "The file is too large.", "too large"}
	case len(query) > 0:
		refused = &refusal{http.StatusNotImplemented, "NOT_IMPLEMENTED", "the emulator does not know these parameters", "unknown parameters"}
	case errOverwrite != nil:
		refused = &refusal{http.StatusBadRequest, "INVALID_PARAMETER_VALUE", "overwrite is not a boolean.", "overwrite is not a boolean"}
	case exists && !overwrite:
		refused = &refusal{http.StatusConflict, "ALREADY_EXISTS", "The file being created already exists.", "exists"}
	}
	if refused != nil {
		refused.writeAPI(w, r)
		return
	}
	emulator.Note(r, "bytes", len(content))
	s.files[name] = file{content, s.Now()}
	w.WriteHeader(http.StatusNoContent)
}

// serveDownload answers a file, and to HEAD its metadata.
func (s *Server) serveDownload(w http.ResponseWriter, r *http.Request) {
	name, refused := s.filePath(r)
	s.mu.Lock()
	f, exists := s.files[name]
	s.mu.Unlock()
	if refused == nil && !exists {
		refused = notFound("The file being accessed is not found.")
	}
	if refused != nil {
		refused.writeAPI(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(f.content)))
	w.Header().Set("Last-Modified", f.modified.UTC().Format(http.TimeFormat))
	if r.Method != http.MethodHead {
		_, _ = w.Write(f.content)
	}
}

// serveList lists a folder, without its subfolders' contents, on one page.
func (s *Server) serveList(w http.ResponseWriter, r *http.Request) {
	folder, refused := s.filePath(r)
	if refused != nil {
		refused.writeAPI(w, r)
		return
	}
	folder = strings.TrimSuffix(folder, "/")
	type listed struct {
		Path         string `json:"path"`
		Name         string `json:"name"`
		IsDirectory  bool   `json:"is_directory"`
		FileSize     int    `json:"file_size,omitempty"`
		LastModified int64  `json:"last_modified,omitempty"`
	}
	contents := map[string]listed{}
	s.mu.Lock()
	for name, f := range s.files {
		rest, below := strings.CutPrefix(name, folder+"/")
		if !below {
			continue
		}
		if child, _, deeper := strings.Cut(rest, "/"); deeper {
			contents[child] = listed{Path: folder + "/" + child, Name: child, IsDirectory: true}
		} else {
			contents[child] = listed{Path: name, Name: child, FileSize: len(f.content), LastModified: f.modified.UnixMilli()}
		}
	}
	_, isVolume := s.volumes[folder]
	s.mu.Unlock()
	if len(contents) == 0 && !isVolume {
		notFound("The directory being accessed is not found.").writeAPI(w, r)
		return
	}
	page := make([]listed, 0, len(contents))
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		page = append(page, contents[name])
	}
	emulator.WriteJSON(w, http.StatusOK, map[string]any{"contents": page})
}

// filePath is the path that a call is for, once its bearer may use that volume.
func (s *Server) filePath(r *http.Request) (string, *refusal) {
	token, p, refused := s.bearer(r)
	if refused != nil {
		return "", refused
	}
	scopes := strings.Fields(token.scope)
	if !slices.Contains(scopes, "all-apis") && !slices.Contains(scopes, "files") || token.details != nil {
		return "", &refusal{http.StatusForbidden, "PERMISSION_DENIED", "Provided OAuth token does not have required scopes: files", "scope does not reach files"}
	}
	name := "/" + r.PathValue("path")
	parts := strings.Split(name, "/")
	if len(parts) < 5 || parts[1] != "Volumes" || path.Clean(name) != strings.TrimSuffix(name, "/") {
		return "", &refusal{http.StatusBadRequest, "INVALID_PARAMETER_VALUE", "The path is not one of a volume.", "path is not a volume's"}
	}
	s.mu.Lock()
	volume, exists := s.volumes[strings.Join(parts[:5], "/")]
	s.mu.Unlock()
	switch {
	case !exists:
		return "", notFound("Volume '" + strings.Join(parts[2:5], ".") + "' does not exist.")
	case !slices.Contains(volume.Write, p.ApplicationID):
		return "", &refusal{http.StatusForbidden, "PERMISSION_DENIED", "User does not have WRITE VOLUME on this volume.", "principal may not write the volume"}
	}
	return name, nil
}

func notFound(text string) *refusal {
	return &refusal{http.StatusNotFound, "NOT_FOUND", text, text}
}
