package cloudtrail

import (
	"errors"
	"fmt"
	"strings"

	"daybook/event"
	"daybook/formats/jsontext"
)

// identity has the members of userIdentity that the mapping uses.
type identity struct {
	kind, principalID, arn, accountID, accessKeyID, userName, invokedBy, sessionContext, onBehalfOf jsontext.Value
	role, userID                                                                                    jsontext.Value // from within the last two
}

func (id *identity) at(name string) *jsontext.Value {
	switch name {
	case "type":
		return &id.kind
	case "principalId":
		return &id.principalID
	case "arn":
		return &id.arn
	case "accountId":
		return &id.accountID
	case "accessKeyId":
		return &id.accessKeyID
	case "userName":
		return &id.userName
	case "invokedBy":
		return &id.invokedBy
	case "sessionContext":
		return &id.sessionContext
	case "onBehalfOf":
		return &id.onBehalfOf
	}
	return nil
}

// identityNames are the names that at knows, for those that differ from them in letter case.
func identityNames(lower string) string {
	switch lower {
	case "type":
		return "type"
	case "arn":
		return "arn"
	case "principalid":
		return "principalId"
	case "accountid":
		return "accountId"
	case "accesskeyid":
		return "accessKeyId"
	case "username":
		return "userName"
	case "invokedby":
		return "invokedBy"
	case "sessioncontext":
		return "sessionContext"
	case "onbehalfof":
		return "onBehalfOf"
	}
	return ""
}

func (id *identity) read(v jsontext.Value) error {
	if !present(v) {
		return nil
	}
	if v.Kind() != jsontext.Object {
		return errors.New("userIdentity is not an object")
	}
	m := v.Members()
	for m.Next() {
		at := id.at(m.Name)
		if at == nil {
			if name := foldsTo(m.Name, identityNames); name != "" {
				return fmt.Errorf("member %q of userIdentity can be taken for %q", m.Name, name)
			}
			continue
		}
		if at.Kind() != 0 {
			return fmt.Errorf("member %q of userIdentity occurs twice", m.Name)
		}
		object := at == &id.sessionContext || at == &id.onBehalfOf
		if present(m.Value) && (m.Value.Kind() == jsontext.Object) != object || !object && present(m.Value) && m.Value.Kind() != jsontext.String {
			return fmt.Errorf("member %q of userIdentity is of the wrong kind", m.Name)
		}
		*at = m.Value
	}
	if err := m.Err(); err != nil {
		return err
	}
	issuer, err := member(id.sessionContext, "sessionIssuer")
	if err == nil {
		id.role, err = member(issuer, "arn")
	}
	if err == nil {
		id.userID, err = member(id.onBehalfOf, "userId")
	}
	if err != nil {
		return fmt.Errorf("userIdentity: %w", err)
	}
	return nil
}

// actorType is the package comment's list.
func actorType(kind string) string {
	switch kind {
	case "Root":
		return "root"
	case "IAMUser":
		return "iam_user"
	case "Role":
		return "role"
	case "AssumedRole":
		return "assumed_role"
	case "FederatedUser":
		return "federated_user"
	case "Directory":
		return "directory"
	case "AWSAccount":
		return "aws_account"
	case "AWSService":
		return "aws_service"
	case "IdentityCenterUser":
		return "identity_center_user"
	case "SAMLUser":
		return "saml_user"
	case "WebIdentityUser":
		return "web_identity_user"
	case "Unknown":
		return "unknown"
	}
	return kind
}

func (id *identity) decode(source string, e *event.Event) {
	kind := id.kind.Str()
	switch kind {
	case "IdentityCenterUser":
		set(e, event.ActorID, id.userID)
	case "SAMLUser", "WebIdentityUser", "AWSAccount":
		set(e, event.ActorID, id.principalID)
	case "AWSService":
		set(e, event.ActorID, id.invokedBy)
	case "":
		if id.arn.Str() == "" {
			e.Set(event.ActorType, "service")
			e.Set(event.ActorID, source)
			break
		}
		fallthrough
	default:
		set(e, event.ActorID, id.arn)
	}
	if kind != "" {
		e.Set(event.ActorType, actorType(kind))
	}
	set(e, event.ActorName, id.userName)
	set(e, event.ActorRole, id.role)

	key := id.accessKeyID.Str()
	if id.accessKeyID.Kind() == jsontext.String {
		e.Set(event.CredentialID, key)
		e.SetToken(key)
	}
	principal := id.principalID.Str()
	if _, session, ok := strings.Cut(principal, ":"); ok && kind != "SAMLUser" && kind != "WebIdentityUser" && !strings.HasPrefix(key, "AKIA") {
		e.Set(event.TokenLabel, session)
	}
	if principal != "" && (kind == "AssumedRole" || kind == "FederatedUser") {
		e.Set(event.SessionID, principal)
	}
}
