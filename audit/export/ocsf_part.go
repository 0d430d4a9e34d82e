package export

import (
	"net/netip"

	"github.com/lakegate/sts/audit"
)

type ocsfMetadata struct {
	Version     string      `json:"version"`
	UID         string      `json:"uid"` // the record's id
	EventCode   string      `json:"event_code"`
	LogName     string      `json:"log_name"`
	LogProvider string      `json:"log_provider,omitempty"` // the replica
	Correlation string      `json:"correlation_uid,omitempty"`
	Product     ocsfProduct `json:"product"`
}

type ocsfProduct struct {
	Name   string `json:"name"`
	Vendor string `json:"vendor_name"`
}

type ocsfUser struct {
	Name   string      `json:"name,omitempty"`
	UID    string      `json:"uid,omitempty"`
	Domain string      `json:"domain,omitempty"` // the issuer: a user is both
	TypeID int         `json:"type_id"`
	Type   string      `json:"type"`
	Groups []ocsfNamed `json:"groups,omitempty"`
}

type ocsfNamed struct {
	Name string `json:"name,omitempty"`
	UID  string `json:"uid,omitempty"`
}

type ocsfActor struct {
	AppName string     `json:"app_name,omitempty"`
	User    *ocsfUser  `json:"user,omitempty"`
	IDP     *ocsfNamed `json:"idp,omitempty"`
}

type ocsfEndpoint struct {
	IP   string `json:"ip,omitempty"`
	Name string `json:"name,omitempty"`
}

type ocsfSession struct {
	UID        string `json:"uid"` // SHA-256 of the token
	Expiration int64  `json:"expiration_time,omitempty"`
}

type ocsfAPI struct {
	Operation string     `json:"operation"`
	Service   *ocsfNamed `json:"service,omitempty"`
}

type ocsfResource struct {
	Name string `json:"name,omitempty"`
	UID  string `json:"uid,omitempty"`
	Type string `json:"type,omitempty"`
}

func unknownUser() *ocsfUser { return &ocsfUser{Name: "unknown", TypeID: 0, Type: "Unknown"} }

// person is who a token speaks of, with the groups that its record has.
func person(issuer, sub string, who *audit.SubjectRecord) *ocsfUser {
	u := &ocsfUser{Name: sub, UID: sub, Domain: issuer, TypeID: 1, Type: "User"}
	if who != nil {
		for _, name := range who.Groups {
			u.Groups = append(u.Groups, ocsfNamed{Name: name})
		}
	}
	return u
}

// servicePrincipal is a user of Databricks.
func servicePrincipal(name, applicationID string) *ocsfUser {
	return &ocsfUser{Name: name, UID: applicationID, TypeID: 3, Type: "System"}
}

// endpoint is the other end of a connection; otherwise names it where there was none.
func endpoint(address, otherwise string) *ocsfEndpoint {
	if _, err := netip.ParseAddr(address); err == nil {
		return &ocsfEndpoint{IP: address}
	}
	if address == "" {
		address = otherwise
	}
	if address == "" {
		return nil
	}
	return &ocsfEndpoint{Name: address}
}
