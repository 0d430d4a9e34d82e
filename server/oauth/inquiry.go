package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/lakegate/sts/exchange"
	"github.com/lakegate/sts/server/clients"
	"github.com/lakegate/sts/server/fault"
	"github.com/lakegate/sts/server/inbound"
)

// Inquirer answers for the tokens that were handed out. Its errors name their record.
type Inquirer interface {
	Introspect(ctx context.Context, q *exchange.Inquiry) (exchange.Introspection, error)
	Revoke(ctx context.Context, q *exchange.Inquiry) error
}

// inquiryForm is a decoded request about a token.
type inquiryForm struct {
	token       exchange.Secret
	credentials clients.Credentials
}

// decodeInquiry reads a form-urlencoded body, as strictly as that of a token request. token_type_hint may say anything:
// we look in one place only (RFC 7009 §2.1, RFC 7662 §2.1).
func decodeInquiry(body string) (*inquiryForm, *exchange.Error) {
	f := new(inquiryForm)
	repeated, err := parse(body, f.set)
	switch {
	case err != nil:
		return nil, err
	case repeated != "":
		return nil, inbound.Malformed("%s is repeated; send it once", repeated)
	}
	return f, nil
}

func (f *inquiryForm) set(name, value string) (once bool) {
	switch name {
	case "token":
		f.token = exchange.Secret(value)
	case "token_type_hint":
	default:
		return setCredential(&f.credentials, name, value)
	}
	return true
}

// Introspection is the endpoint of RFC 7662. Fosite's isn't used: it reads an outage of its storage as "not active", and
// lets any client see any token.
func (e *Endpoint) Introspection() http.Handler {
	return e.inquiries(e.introspections, func(ctx context.Context, w http.ResponseWriter, q *exchange.Inquiry) error {
		found, err := e.inquirer.Introspect(ctx, q)
		if err == nil {
			writeInquiry(w, introspectionText(&found))
		}
		return err
	})
}

// Revocation is the endpoint of RFC 7009. Fosite's isn't used: it answers 200 when its storage is down.
func (e *Endpoint) Revocation() http.Handler {
	return e.inquiries(e.revocations, func(ctx context.Context, w http.ResponseWriter, q *exchange.Inquiry) error {
		err := e.inquirer.Revoke(ctx, q)
		if err == nil {
			writeInquiry(w, nil)
		}
		return err
	})
}

// inquiries takes requests about tokens down to answer, which writes what isn't an error.
func (e *Endpoint) inquiries(observer Observer, answer func(context.Context, http.ResponseWriter, *exchange.Inquiry) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := e.now()
		err := e.inquiry(w, r, answer)
		if err != nil {
			describe(r.Context(), err.DecisionID, err)
			fault.Write(w, err)
		}
		observer.Observe(err, e.now().Sub(began))
	})
}

// inquiry goes the order of a token request: framing, duplicates, client; then what was asked.
func (e *Endpoint) inquiry(w http.ResponseWriter, r *http.Request, answer func(context.Context, http.ResponseWriter, *exchange.Inquiry) error) *exchange.Error {
	if err := checkFraming(w, r); err != nil {
		return e.refuse(r, err)
	}
	body, release, err := e.bodies.Read(w, r, inbound.MaxBody)
	if err != nil {
		return e.refuse(r, err)
	}
	defer release()
	form, err := decodeInquiry(body)
	if err != nil {
		return e.refuse(r, err)
	}
	form.credentials.Authorization = exchange.Secret(r.Header.Get("Authorization"))
	inbound.Certify(&form.credentials, r, e.proxies)
	client, failed := e.clients.Authenticate(r.Context(), form.credentials)
	if failed != nil {
		return e.refuse(r, exchange.AsError(failed))
	}
	return exchange.AsError(answer(r.Context(), w, &exchange.Inquiry{
		Entrance: Entrance, Client: client, Source: inbound.Source(inbound.Peer(r), client, r.Header.Values), Token: form.token,
	}))
}

// introspection is RFC 7662 §2.2. iss and aud are left out: the token's own speak of Databricks.
type introspection struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	TokenType string `json:"token_type,omitempty"`
	Expiry    int64  `json:"exp,omitempty"`
	IssuedAt  int64  `json:"iat,omitempty"`
	// SubjectID is the subject with its issuer, without which no name is unique (RFC 9493 §3.2.3).
	Subject   string          `json:"sub,omitempty"`
	SubjectID *subjectID      `json:"sub_id,omitempty"`
	Actor     *exchange.Party `json:"act,omitempty"` // RFC 8693 §4.1
}

type subjectID struct {
	Format string `json:"format"`
	exchange.Party
}

func introspectionText(found *exchange.Introspection) []byte {
	text := introspection{Active: found.Active}
	if found.Active {
		text.Scope, text.ClientID, text.TokenType = strings.Join(found.Scopes, " "), found.Client, tokenType
		text.Expiry, text.Actor = found.Expiry.Unix(), found.Actor
		if !found.IssuedAt.IsZero() {
			text.IssuedAt = found.IssuedAt.Unix()
		}
		if who := found.Subject; who != nil {
			text.Subject, text.SubjectID = who.Subject, &subjectID{"iss_sub", *who}
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // strings and numbers always encode
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// writeInquiry writes a success; without a body there is nothing to say (RFC 7009 §2.2).
func writeInquiry(w http.ResponseWriter, body []byte) {
	h := w.Header()
	if body != nil {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // an error means that nobody is there to tell
}
