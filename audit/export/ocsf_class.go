package export

import (
	"strings"

	"github.com/lakegate/sts/audit"
	"github.com/lakegate/sts/exchange"
)

type ocsfClass struct {
	uid          int
	name         string
	category     int
	categoryName string
}

var (
	classBase           = ocsfClass{0, "Base Event", 0, "Uncategorized"}
	classAuthentication = ocsfClass{3002, "Authentication", 3, "Identity & Access Management"}
	classAPI            = ocsfClass{6003, "API Activity", 6, "Application Activity"}
)

type ocsfActivity struct {
	id   int
	name string
}

var (
	activityLogon  = ocsfActivity{1, "Logon"} // of Authentication
	activityCreate = ocsfActivity{1, "Create"}
	activityRead   = ocsfActivity{2, "Read"}
	activityUpdate = ocsfActivity{3, "Update"}
	activityDelete = ocsfActivity{4, "Delete"}
	activityOther  = ocsfActivity{99, "Other"}
)

func (e *ocsfEvent) class(c ocsfClass, a ocsfActivity) {
	e.ClassUID, e.ClassName, e.CategoryUID, e.CategoryName = c.uid, c.name, c.category, c.categoryName
	e.ActivityID, e.ActivityName = a.id, a.name
	e.TypeUID, e.TypeName = c.uid*100+a.id, c.name+": "+a.name
}

// end says how it ended. A denial is the caller's to mend; a failure is ours, or Databricks'.
func (e *ocsfEvent) end(outcome string) {
	e.SeverityID, e.Severity = 1, "Informational"
	switch exchange.Outcome(outcome) {
	case exchange.OutcomeGranted:
		e.StatusID, e.Status = 1, "Success"
	case exchange.OutcomeDenied:
		e.StatusID, e.Status, e.SeverityID, e.Severity = 2, "Failure", 2, "Low"
	case exchange.OutcomeFailed:
		e.StatusID, e.Status, e.SeverityID, e.Severity = 2, "Failure", 3, "Medium"
	}
}

func (e *ocsfEvent) exchange(w *Whole) {
	x := w.Exchange
	e.class(classAuthentication, activityLogon)
	e.oauth()
	e.StatusCode = x.Reason
	e.Metadata.Correlation = x.Mint
	e.User = unknownUser()
	e.Actor = &ocsfActor{AppName: x.Client}
	if s := x.Subject; s != nil {
		e.User = person(s.Issuer, s.Subject, w.Who)
		e.Actor.IDP = provider(s.Issuer)
	}
	if len(x.Actors) > 0 {
		e.Actor.User = person(x.Actors[0].Issuer, x.Actors[0].Subject, nil)
	}
	e.SrcEndpoint = endpoint(x.Peer)
	e.Service = &ocsfNamed{Name: "sts"}
	if x.Principal != "" {
		e.Service = &ocsfNamed{Name: x.Principal, UID: x.ApplicationID}
	}
	e.DstEndpoint = endpoint(x.Workspace)
	if x.TokenSHA256 != "" {
		e.Session = &ocsfSession{UID: x.TokenSHA256}
		if !x.ExpiresAt.IsZero() {
			e.Session.Expiration = x.ExpiresAt.UnixMilli()
		}
	}
}

func (e *ocsfEvent) oauth() { e.ProtocolID, e.Protocol, e.IsRemote = 6, "OAUTH 2.0", true }

func (e *ocsfEvent) failures(f *audit.FailuresRecord) {
	e.class(classAuthentication, activityLogon)
	e.oauth()
	e.User, e.Service = unknownUser(), &ocsfNamed{Name: "sts"}
	e.SrcEndpoint = endpoint(f.Source)
	e.Count, e.StartTime, e.EndTime = f.Count, f.Time.UnixMilli(), f.Time.UnixMilli()
	if !f.Until.IsZero() {
		e.EndTime = f.Until.UnixMilli()
	}
	e.Message = "Requests failed before their client was known"
}

func (e *ocsfEvent) mint(m *audit.MintRecord) {
	e.class(classAPI, activityCreate)
	e.StatusCode = m.Reason
	e.Metadata.Correlation = m.ID
	e.API = &ocsfAPI{Operation: "token.mint", Service: &ocsfNamed{Name: "Databricks"}}
	e.Actor = &ocsfActor{AppName: "sts", User: servicePrincipal(m.Principal, m.ApplicationID)}
	e.SrcEndpoint, e.DstEndpoint = here(m.Replica), endpoint(m.Workspace)
	e.Resources = []ocsfResource{{Name: m.TokenSHA256, Type: "token"}}
	if m.TokenSHA256 == "" {
		e.Resources = nil
	}
}

func (e *ocsfEvent) admin(a *audit.AdminRecord) {
	e.class(classAPI, activityOf(a.Action))
	e.StatusCode = a.Reason
	e.API = &ocsfAPI{Operation: a.Action, Service: &ocsfNamed{Name: "sts"}}
	e.Actor = &ocsfActor{AppName: a.Client}
	if c := a.Caller; c != nil {
		e.Actor.User, e.Actor.IDP = person(c.Issuer, c.Subject, nil), provider(c.Issuer)
	} else if a.Client == "" {
		e.Actor.AppName = "sts"
	}
	if e.SrcEndpoint = endpoint(a.Peer); a.Peer == "" {
		e.SrcEndpoint = here(a.Replica)
	}
	if a.Object != "" {
		e.Resources = []ocsfResource{{Name: a.Object}}
	}
	if a.Outcome == "" { // the service's own doing, which is recorded when it is done
		e.StatusID, e.Status = 1, "Success"
	}
}

// activityOf says what an action of an admin record does, by its verb.
func activityOf(action string) ocsfActivity {
	subject, verb, _ := strings.Cut(action, ".")
	switch verb {
	case "create":
		return activityCreate
	case "load", "refuse", "activate", "retire", "resume", "renew", "rotate":
		return activityUpdate
	case "revoke", "drop":
		return activityDelete
	case "introspect":
		return activityRead
	}
	if subject == "mapping" || subject == "audit" {
		return activityRead
	}
	return activityOther
}
