package awssts

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/lakegate/sts/internal/emulator"
)

const (
	namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	requestID = "01234567-89ab-cdef-0123-456789abcdef"
)

// refusal is an error document of AWS.
type refusal struct {
	status        int
	code, message string
}

func refuse(status int, code, message string) *refusal { return &refusal{status, code, message} }

// errorDocument is AWS's, in both of its languages.
type errorDocument struct {
	XMLName xml.Name `json:"-" xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Error   struct {
		Type    string
		Code    string
		Message string
	}
	RequestID string `json:"RequestId" xml:"RequestId"`
}

func (f *refusal) document() *errorDocument {
	d := &errorDocument{RequestID: requestID}
	d.Error.Type, d.Error.Code, d.Error.Message = "Sender", f.code, f.message
	return d
}

func (f *refusal) write(w http.ResponseWriter, r *http.Request) { write(w, r, f.status, f.document()) }

// faultBody is the body of a status that a test sets.
func faultBody(status int, format string) []byte {
	code := "ServiceUnavailable"
	if format != "" {
		code = format
	} else if status < http.StatusInternalServerError {
		code = "Throttling"
	}
	text, _ := json.Marshal(refuse(status, code, "a fault that a test has set").document())
	return text
}

// identityDocument is the answer of GetCallerIdentity.
type identityDocument struct {
	XMLName  xml.Name `xml:"GetCallerIdentityResponse"`
	Space    string   `xml:"xmlns,attr"`
	Result   result   `xml:"GetCallerIdentityResult"`
	Metadata metadata `xml:"ResponseMetadata"`
}

type result struct {
	Arn, Account string
	UserID       string `json:"UserId" xml:"UserId"`
}

type metadata struct {
	RequestID string `json:"RequestId" xml:"RequestId"`
}

func writeIdentity(w http.ResponseWriter, r *http.Request, k *Key) {
	is, meta := result{Arn: k.ARN, UserID: k.UserID, Account: k.Account}, metadata{requestID}
	if wantsJSON(r) {
		emulator.WriteJSON(w, http.StatusOK, map[string]any{
			"GetCallerIdentityResponse": map[string]any{"GetCallerIdentityResult": is, "ResponseMetadata": meta},
		})
		return
	}
	write(w, r, http.StatusOK, identityDocument{Space: namespace, Result: is, Metadata: meta})
}

func wantsJSON(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Accept"), "application/json")
}

// write answers in the language that is asked for.
func write(w http.ResponseWriter, r *http.Request, status int, document any) {
	if wantsJSON(r) {
		emulator.WriteJSON(w, status, document)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(document)
}
