package intake

// What a member's name says of its value.
type nameKind uint8

const (
	// nameSecret: the value is a secret: a string, a number, or all of an object or an array.
	nameSecret nameKind = iota + 1
	// nameStructure: as nameSecret, but an object under this name describes the secret: Azure's authorization has the action and the scope, a Kubernetes
	// volume's secret its secretName. Its strings and numbers are secrets but for those whose names say that they are none.
	nameStructure
	// nameLabel: the value is a name, and a member beside it has the value: {"name":"DB_PASSWORD","value":"…"}.
	nameLabel
	// nameValue: the value for a nameLabel.
	nameValue
	// nameAllowed: the configuration says to leave it alone.
	nameAllowed
)

// maxNameLen is how long the name of a secret can be, in bytes.
const maxNameLen = 64

// foldName appends name in lower case and without separators (_ - and space), so that secretAccessKey, secret_access_key and SECRET-ACCESS-KEY are one. It
// is not ok if the name is too long.
func foldName(dst []byte, name string) (folded []byte, ok bool) {
	if len(name) > maxNameLen {
		return dst, false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c == '_' || c == '-' || c == ' ':
		case c >= 'A' && c <= 'Z':
			dst = append(dst, c+('a'-'A'))
		default:
			dst = append(dst, c)
		}
	}
	return dst, true
}

// kind looks name up.
func (r *Redactor) kind(name string) nameKind {
	var buf [maxNameLen]byte
	folded, ok := foldName(buf[:0], name)
	if !ok || len(folded) == 0 {
		return 0
	}
	return r.names[string(folded)]
}

// builtinNames returns the names that are known to belong to secrets. They are whole names: password, but not passwordLastUsed. What ends in Id, Arn or
// Name is an identifier and not here; neither is what pages or deduplicates calls (nextToken, paginationToken, clientRequestToken, clientToken, idempotencyToken:
// whoever has one can do nothing with it), nor signature, which is made to be shown.
func builtinNames() map[string]nameKind {
	names := make(map[string]nameKind, 256)
	for kind, list := range map[nameKind][]string{
		nameSecret:    secretNames,
		nameStructure: {"authorization", "apikey", "secret", "token"},
		nameLabel:     {"name", "key", "parametername", "parameterkey", "headername", "attributename", "variablename"},
		nameValue:     {"value", "values", "newvalue", "oldvalue", "parametervalue", "headervalue", "attributevalue", "variablevalue", "stringvalue"},
	} {
		for _, name := range list {
			names[name] = kind
		}
	}
	return names
}

var secretNames = []string{
	// passwords
	"password", "passwords", "passwd", "pwd", "passphrase", "passcode", "userpassword", "userpwd", "unicodepwd",
	"newpassword", "newpasswd", "newpwd", "oldpassword", "oldpasswd", "oldpwd", "currentpassword", "previouspassword",
	"confirmpassword", "passwordconfirm", "passwordconfirmation", "repeatpassword", "retypepassword", "plaintextpassword", "passwordplaintext",
	"masterpassword", "masteruserpassword", "adminpassword", "adminuserpassword", "administratorpassword", "administratorloginpassword",
	"rootpassword", "superuserpassword", "sudopassword", "sapassword", "loginpassword", "accountpassword", "serviceaccountpassword",
	"temporarypassword", "temppassword", "initialpassword", "defaultpassword", "onetimepassword", "apppassword", "applicationpassword",
	"dbpassword", "dbpass", "dbrootpassword", "databasepassword", "mysqlpassword", "mysqlrootpassword", "postgrespassword",
	"postgresqlpassword", "pgpassword", "mongopassword", "mongodbpassword", "mssqlpassword", "oraclepassword", "redispassword", "rabbitmqpassword", "kafkapassword",
	"elasticpassword", "sourcepassword", "targetpassword", "replicationpassword", "clusterpassword", "brokerpassword", "instancepassword",
	"smtppassword", "mailpassword", "emailpassword", "imappassword", "ldappassword", "ldapbindpassword", "bindpassword", "domainpassword",
	"directorypassword", "proxypassword", "httppassword", "ftppassword", "sshpassword", "vncpassword", "rdppassword", "vpnpassword", "wifipassword",
	"wpapassphrase", "keystorepassword", "truststorepassword", "storepassword", "keypassword", "keypassphrase", "privatekeypassword",
	"privatekeypassphrase", "pfxpassword", "certificatepassword", "certpassword", "archivepassword", "encryptionpassword", "decryptionpassword",
	"windowspassword", "machinepassword", "hashedpassword", "passwordhash", "passworddata", "passwordsalt",
	// tokens
	"tokensecret", "tokenvalue", "accesstoken", "refreshtoken", "idtoken", "sessiontoken", "awssessiontoken", "securitytoken",
	"awssecuritytoken", "xamzsecuritytoken", "authtoken", "xauthtoken", "authenticationtoken", "authorizationtoken", "bearertoken", "bearer",
	"apitoken", "xapitoken", "usertoken", "personalaccesstoken", "privatetoken", "oauthtoken", "oauth2token", "oauthaccesstoken",
	"oauthrefreshtoken", "useraccesstoken", "serviceaccounttoken", "servicetoken", "bottoken", "botaccesstoken", "csrftoken", "xsrftoken", "xcsrftoken",
	"xxsrftoken", "authenticitytoken", "deploytoken", "registrationtoken", "runnertoken", "jobtoken", "jointoken", "bootstraptoken", "webidentitytoken", "samltoken",
	"samlassertion", "samlresponse", "clientassertion", "ssotoken", "mfatoken", "logintoken", "resettoken", "passwordresettoken", "invitationtoken",
	"readtoken", "filereadtoken", "vaulttoken", "xvaulttoken", "githubtoken", "gitlabtoken", "npmtoken", "slacktoken", "jwt", "jwttoken", "sastoken",
	"sharedaccesssignature", "xamzsignature",
	// secrets
	"secretkey", "secretaccesskey", "awssecretaccesskey", "awssecretkey", "accesskeysecret", "accesssecret", "secretvalue", "secretstring", "secretbinary",
	"secrettext", "secretdata", "clientsecret", "clientsecretvalue", "consumersecret", "appsecret", "applicationsecret", "apisecret", "apisecretkey", "appkey",
	"oauthsecret", "oauthclientsecret", "oauth2clientsecret", "usersecret", "sharedsecret", "presharedsecret", "signingsecret", "webhooksecret", "hooksecret",
	"totpsecret", "otpsecret", "mfasecret", "hmacsecret", "jwtsecret", "cookiesecret", "sessionsecret", "encryptionsecret", "authsecret", "radiussecret",
	"chapsecret", "secrethash",
	// keys
	"xapikey", "apikeyvalue", "apikeysecret", "accountkey", "storagekey", "storageaccountkey", "sharedkey", "sharedaccesskey", "presharedkey", "privatekey",
	"privatekeydata", "privatekeypem", "privatekeycontent", "privatekeymaterial", "sshprivatekey", "rsaprivatekey", "tlsprivatekey", "pemprivatekey", "pemkey", "keymaterial",
	"encryptionkey", "decryptionkey", "signingkey", "hmackey", "masterkey", "secretkeybase", "ssecustomerkey", "xamzserversideencryptioncustomerkey", "connectionstring",
	"primaryconnectionstring", "secondaryconnectionstring",
	// what a browser or a person shows
	"proxyauthorization", "authorizationheader", "authheader", "basicauth", "authorizationcode", "codeverifier", "cookie", "cookies", "setcookie",
	"sessioncookie", "authcookie", "otp", "otpcode", "totp", "mfacode", "onetimecode", "recoverycode", "recoverycodes", "backupcodes", "base32stringseed", "qrcodepng",
}

// describes reports whether, in an object under the name of a nameStructure, a member of this name tells something about the secret and not the secret.
func describes(name string) bool {
	var buf [maxNameLen]byte
	folded, ok := foldName(buf[:0], name)
	if !ok {
		return false
	}
	for _, end := range [...]string{"id", "arn", "name", "type", "kind", "action", "scope", "scopes", "role", "mode", "time", "date", "status", "decision"} {
		if len(folded) >= len(end) && string(folded[len(folded)-len(end):]) == end {
			return true
		}
	}
	return false
}
