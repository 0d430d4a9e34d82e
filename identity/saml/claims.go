package saml

import (
	"slices"
	"strings"
	"unicode"

	"github.com/lakegate/sts/exchange"
)

const (
	formatPrefix20  = "urn:oasis:names:tc:SAML:2.0:nameid-format:"
	formatPrefix11  = "urn:oasis:names:tc:SAML:1.1:nameid-format:"
	formatTransient = formatPrefix20 + "transient"
	formatEmail     = formatPrefix11 + "emailAddress"
	formatEmail20   = formatPrefix20 + "emailAddress" // which SAML doesn't have, and some write

	// maxSubjectBytes bounds a subject, as it does for other tokens.
	maxSubjectBytes = 255

	// attributeOverage is what Entra ID has in the place of groups that are too many: 150 in an assertion.
	attributeOverage = "http://schemas.microsoft.com/claims/groups.link"
)

// reserved are the claims that an assertion has by what it says itself, or that tokens of other kinds are judged by. No
// attribute may have their names, or whoever may set an attribute could be somebody else.
var reserved = map[string]bool{
	"iss": true, "sub": true, "aud": true, "exp": true, "nbf": true, "iat": true, "jti": true,
	"azp": true, "client_id": true, "act": true, "may_act": true, "cnf": true,
	"auth_time": true, "acr": true, "name_id": true, "name_id_format": true,
}

// identity is who the assertion speaks of.
func (t *trial) identity() (*exchange.Identity, error) {
	attributes, err := t.attributes()
	if err != nil {
		return nil, err
	}
	name, format, err := t.nameID()
	if err != nil {
		return nil, err
	}
	subject := name
	if attribute := t.provider.SubjectAttribute; attribute != "" {
		if subject, err = t.subjectOf(attributes[attribute]); err != nil {
			return nil, err
		}
	} else if err := t.checkFormat(format); err != nil {
		return nil, err
	}
	groups, err := t.groups(attributes)
	if err != nil {
		return nil, err
	}
	claims := map[string]any{
		"iss": t.provider.EntityID, "sub": subject, "aud": t.provider.Audience,
		"iat": t.span.issued.Unix(), "exp": t.span.expiry.Unix(), "jti": t.envelope.id,
		"name_id": name, "name_id_format": format,
	}
	if err := t.authentication(claims); err != nil {
		return nil, err
	}
	for attribute, values := range attributes {
		claims[attribute] = claimOf(values)
	}
	return &exchange.Identity{
		Provider: t.provider.Name, Issuer: t.provider.EntityID, Subject: subject, Groups: groups, Claims: claims,
		TokenType: exchange.TypeSAML2, TokenID: t.envelope.id, TokenSHA256: t.sum, IssuedAt: t.span.issued, Expiry: t.span.expiry,
	}, nil
}

// claimOf is an attribute as a claim: its one value, or the list of its values where it has none or several.
func claimOf(values []string) any {
	if len(values) == 1 {
		return values[0]
	}
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	return list
}

// nameID reads the one name of the one subject. A name that is qualified is one among those of its qualifiers (SAML 2.0 core
// §2.2.2): they must be the provider and us, or the name is somebody else's.
func (t *trial) nameID() (name, format string, err error) {
	subject, err := t.one(t.assertion, "Subject")
	if err != nil {
		return "", "", err
	}
	if len(subject.children()) != 2 { // NameID and SubjectConfirmation
		return "", "", t.Invalid("has a Subject of other parts than one NameID and one SubjectConfirmation")
	}
	id, err := t.one(subject, "NameID")
	if err != nil {
		return "", "", err
	}
	text, ok := id.text()
	if !ok {
		return "", "", t.Invalid("has a NameID that holds elements")
	}
	if err := t.checkName("NameID", text); err != nil {
		return "", "", err
	}
	for _, q := range []struct{ name, want string }{{"NameQualifier", t.provider.EntityID}, {"SPNameQualifier", t.provider.Audience}} {
		if value, there := id.attr(q.name); there && value != q.want {
			return "", "", t.Invalid("has a NameID whose %s is another than %s: it is a name that others give", q.name, q.want)
		}
	}
	if format, _ = id.attr("Format"); format == "" {
		format = formatPrefix11 + "unspecified"
	}
	return text, format, nil
}

// checkName holds what names somebody to what a subject may be.
func (t *trial) checkName(what, text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return t.Invalid("has an empty %s", what)
	case strings.TrimSpace(text) != text:
		return t.Invalid("has a %s with white space around it", what)
	case len(text) > maxSubjectBytes:
		return t.Invalid("has a %s of more than %d bytes", what, maxSubjectBytes)
	case strings.ContainsFunc(text, unicode.IsControl):
		return t.Invalid("has a %s with control characters", what)
	}
	return nil
}

// checkFormat refuses names that aren't an identity: those that are another at each sign-in, and addresses, which are given to
// somebody else one day.
func (t *trial) checkFormat(format string) error {
	switch format {
	case formatTransient:
		return t.Invalid("has a NameID that is another at each sign-in (transient); have the identity provider %s send a persistent one, or name an attribute in subject_attribute", t.provider.Name)
	case formatEmail, formatEmail20:
		return t.Invalid("has a NameID that is an e-mail address, which is no identity; have the identity provider %s send a persistent one, or name an attribute in subject_attribute that never changes", t.provider.Name)
	}
	return nil
}

func (t *trial) subjectOf(values []string) (string, error) {
	if len(values) != 1 {
		return "", t.Invalid("does not have the attribute that subject_attribute of the identity provider %s names, with one value", t.provider.Name)
	}
	return values[0], t.checkName("subject", values[0])
}

// attributes are the values of all attributes, by name.
func (t *trial) attributes() (map[string][]string, error) {
	attributes := map[string][]string{}
	for _, statement := range t.assertion.children() {
		if !statement.is(spaceAssertion, "AttributeStatement") {
			continue
		}
		for _, attribute := range statement.children() {
			if !attribute.is(spaceAssertion, "Attribute") {
				return nil, t.Invalid("has an AttributeStatement that holds something else than attributes")
			}
			name, _ := attribute.attr("Name")
			if name == "" {
				return nil, t.Invalid("has an attribute without a name")
			}
			if _, twice := attributes[name]; twice {
				return nil, t.Invalid("has two attributes of the same name, and each may be there once; have the identity provider %s put all values into one", t.provider.Name)
			}
			if reserved[name] {
				return nil, t.Invalid("has an attribute with the name of what an assertion or a token says by itself, such as sub, iss or act; have the identity provider %s call it something else", t.provider.Name)
			}
			values, ok := valuesOf(attribute)
			switch {
			case !ok && name == t.provider.GroupsAttribute:
				return nil, t.groupsMalformed()
			case !ok:
				return nil, t.Invalid("has an attribute whose values are not all text")
			}
			attributes[name] = values
		}
	}
	return attributes, nil
}

// valuesOf are an attribute's values, in order.
func valuesOf(attribute *node) ([]string, bool) {
	values := []string{}
	for _, value := range attribute.children() {
		text, ok := value.text()
		if !ok || !value.is(spaceAssertion, "AttributeValue") {
			return nil, false
		}
		values = append(values, text)
	}
	return values, true
}

// groups reads the groups attribute. An assertion without one means that they are unknown, never that there are none.
func (t *trial) groups(attributes map[string][]string) (exchange.Groups, error) {
	if _, there := attributes[attributeOverage]; there {
		return exchange.Groups{Overage: true}, nil
	}
	values, there := attributes[t.provider.GroupsAttribute]
	if !there {
		return exchange.Groups{}, nil
	}
	if slices.Contains(values, "") {
		return exchange.Groups{}, t.groupsMalformed()
	}
	names := slices.Clone(values)
	slices.Sort(names)
	return exchange.Groups{Known: true, Names: slices.Compact(names)}, nil
}

func (t *trial) groupsMalformed() error {
	return t.Refuse(exchange.ReasonGroupsMalformed,
		"has a groups attribute whose values are not all text, or empty; mend the attribute at the identity provider %s, or its groups_claim here", t.provider.Name)
}

// authentication says when and how the subject signed in, where the assertion does.
func (t *trial) authentication(claims map[string]any) error {
	seen := false
	for _, statement := range t.assertion.children() {
		if !statement.is(spaceAssertion, "AuthnStatement") {
			continue
		}
		if seen {
			return t.Invalid("has more than one AuthnStatement, and it can't be told which sign-in counts")
		}
		seen = true
		at, found, err := t.time(statement, "AuthnInstant")
		switch {
		case err != nil:
			return err
		case !found:
			return t.Invalid("has an AuthnStatement without AuthnInstant")
		}
		claims["auth_time"] = at.Unix()
		for _, context := range statement.children() {
			if !context.is(spaceAssertion, "AuthnContext") {
				continue
			}
			for _, class := range context.children() {
				if text, ok := class.text(); ok && class.is(spaceAssertion, "AuthnContextClassRef") {
					claims["acr"] = text
				}
			}
		}
	}
	return nil
}
