package export

import (
	"cmp"
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
	if sub == "" {
		return unknownUser()
	}
	u := &ocsfUser{Name: sub, UID: sub, Domain: issuer, TypeID: 1, Type: "User"}
	if who != nil {
		for _, name := range who.Groups {
			u.Groups = append(u.Groups, ocsfNamed{Name: name})
		}
	}
	return u
}

// provider is who vouches for a person.
func provider(issuer string) *ocsfNamed {
	if issuer == "" {
		return nil
	}
	return &ocsfNamed{Name: issuer}
}

// servicePrincipal is a user of Databricks.
func servicePrincipal(name, applicationID string) *ocsfUser {
	if name == "" && applicationID == "" {
		return unknownUser()
	}
	return &ocsfUser{Name: name, UID: applicationID, TypeID: 3, Type: "System"}
}

// here is this end.
func here(replica string) *ocsfEndpoint { return &ocsfEndpoint{Name: cmp.Or(replica, "unknown")} }

// endpoint is the other end, by its address or by its name; nil where it is not known.
func endpoint(address string) *ocsfEndpoint {
	if address == "" {
		return nil
	}
	if _, err := netip.ParseAddr(address); err == nil {
		return &ocsfEndpoint{IP: address}
	}
	return &ocsfEndpoint{Name: address}
}
