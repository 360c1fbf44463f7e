package cloudtrail

import "strings"

// class returns the type of a call.
func (r *record) class(action string) string {
	if t := typeOf(action); t != "" {
		return t
	}
	readOnly, said := r.isReadOnly()
	switch {
	case !said:
		return "api.call"
	case readOnly:
		return "api.read"
	}
	return "api.write"
}

// typeOf is the table of types, by action without its API version; "" for a call that has none of its own.
func typeOf(action string) string {
	switch action {
	case "signin:ConsoleLogin", "signin:UserAuthentication", "signin:ExternalIdPDirectoryLogin", "sso:Authenticate":
		return "authentication.login"
	case "signin:Logout", "sso:Logout":
		return "authentication.logout"
	case "signin:CheckMfa", "signin:CredentialChallenge", "signin:CredentialVerification":
		return "authentication.challenge"
	case "signin:PasswordUpdated", "signin:PasswordRecoveryRequested", "signin:PasswordRecoveryCompleted", "iam:ChangePassword":
		return "authentication.password_change"
	case "sts:AssumeRole", "sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity", "sts:AssumeRoot", "signin:SwitchRole", "sso:Federate":
		return "authentication.role_assumed"
	case "signin:ExitRole":
		return "authentication.role_left"
	case "sts:GetSessionToken", "sts:GetFederationToken", "signin:GetSigninToken", "sso:GetRoleCredentials", "rolesanywhere:CreateSession":
		return "authentication.token_issued"

	case "ssm:StartSession", "ssm:ResumeSession", "ec2-instance-connect:OpenTunnel":
		return "session.start"
	case "ssm:TerminateSession":
		return "session.end"

	case "iam:CreateUser":
		return "iam.user.create"
	case "iam:UpdateUser", "iam:TagUser", "iam:UntagUser":
		return "iam.user.update"
	case "iam:DeleteUser":
		return "iam.user.delete"
	case "iam:CreateGroup":
		return "iam.group.create"
	case "iam:UpdateGroup":
		return "iam.group.update"
	case "iam:DeleteGroup":
		return "iam.group.delete"
	case "iam:CreateRole", "iam:CreateServiceLinkedRole":
		return "iam.role.create"
	case "iam:UpdateRole", "iam:UpdateRoleDescription", "iam:TagRole", "iam:UntagRole":
		return "iam.role.update"
	case "iam:DeleteRole", "iam:DeleteServiceLinkedRole":
		return "iam.role.delete"
	case "iam:CreatePolicy":
		return "iam.policy.create"
	case "iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion", "iam:DeletePolicyVersion":
		return "iam.policy.update"
	case "iam:DeletePolicy":
		return "iam.policy.delete"
	case "iam:AttachUserPolicy", "iam:AttachGroupPolicy", "iam:AttachRolePolicy", "iam:PutUserPolicy", "iam:PutGroupPolicy", "iam:PutRolePolicy",
		"iam:AddUserToGroup", "iam:AddRoleToInstanceProfile":
		return "iam.permission.grant"
	case "iam:DetachUserPolicy", "iam:DetachGroupPolicy", "iam:DetachRolePolicy", "iam:DeleteUserPolicy", "iam:DeleteGroupPolicy", "iam:DeleteRolePolicy",
		"iam:RemoveUserFromGroup", "iam:RemoveRoleFromInstanceProfile":
		return "iam.permission.revoke"
	case "iam:UpdateAssumeRolePolicy", "iam:PutUserPermissionsBoundary", "iam:PutRolePermissionsBoundary", "iam:DeleteUserPermissionsBoundary",
		"iam:DeleteRolePermissionsBoundary", "organizations:AttachPolicy", "organizations:DetachPolicy", "organizations:UpdatePolicy",
		"organizations:EnablePolicyType", "organizations:DisablePolicyType":
		return "iam.permission.change"
	case "iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:UploadSSHPublicKey", "iam:UploadSigningCertificate", "iam:UploadServerCertificate",
		"iam:CreateServiceSpecificCredential":
		return "iam.credential.create"
	case "iam:UpdateAccessKey", "iam:UpdateLoginProfile", "iam:UpdateSSHPublicKey", "iam:UpdateSigningCertificate", "iam:UpdateServerCertificate",
		"iam:UpdateServiceSpecificCredential", "iam:ResetServiceSpecificCredential":
		return "iam.credential.update"
	case "iam:DeleteAccessKey", "iam:DeleteLoginProfile", "iam:DeleteSSHPublicKey", "iam:DeleteSigningCertificate", "iam:DeleteServerCertificate",
		"iam:DeleteServiceSpecificCredential":
		return "iam.credential.delete"
	case "iam:CreateVirtualMFADevice", "iam:EnableMFADevice", "iam:ResyncMFADevice":
		return "iam.mfa.enable"
	case "iam:DeactivateMFADevice", "iam:DeleteVirtualMFADevice":
		return "iam.mfa.disable"
	case "iam:CreateSAMLProvider", "iam:UpdateSAMLProvider", "iam:DeleteSAMLProvider", "iam:CreateOpenIDConnectProvider",
		"iam:DeleteOpenIDConnectProvider", "iam:UpdateOpenIDConnectProviderThumbprint", "iam:AddClientIDToOpenIDConnectProvider",
		"iam:RemoveClientIDFromOpenIDConnectProvider", "iam:UpdateAccountPasswordPolicy", "iam:DeleteAccountPasswordPolicy":
		return "iam.configuration.change"

	case "s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:PutBucketAcl", "s3:PutObjectAcl", "s3:PutBucketPublicAccessBlock",
		"s3:DeleteBucketPublicAccessBlock", "s3:PutAccountPublicAccessBlock", "s3:DeleteAccountPublicAccessBlock", "s3:PutAccessPointPolicy",
		"s3:DeleteAccessPointPolicy", "kms:PutKeyPolicy", "kms:CreateGrant", "kms:RevokeGrant", "kms:RetireGrant", "lambda:AddPermission",
		"lambda:RemovePermission", "lambda:AddLayerVersionPermission", "lambda:RemoveLayerVersionPermission", "secretsmanager:PutResourcePolicy",
		"secretsmanager:DeleteResourcePolicy", "sns:AddPermission", "sns:RemovePermission", "sqs:AddPermission", "sqs:RemovePermission",
		"ecr:SetRepositoryPolicy", "ecr:DeleteRepositoryPolicy", "ec2:ModifySnapshotAttribute", "ec2:ResetSnapshotAttribute",
		"rds:ModifyDBSnapshotAttribute", "rds:ModifyDBClusterSnapshotAttribute", "logs:PutResourcePolicy",
		"logs:DeleteResourcePolicy", "glue:PutResourcePolicy", "glue:DeleteResourcePolicy", "dynamodb:PutResourcePolicy", "dynamodb:DeleteResourcePolicy":
		return "resource.permission.change"

	case "cloudtrail:StopLogging", "cloudtrail:DeleteTrail", "cloudtrail:DeleteEventDataStore", "cloudtrail:StopEventDataStoreIngestion",
		"config:StopConfigurationRecorder", "config:DeleteConfigurationRecorder", "config:DeleteDeliveryChannel", "guardduty:DeleteDetector",
		"ec2:DeleteFlowLogs", "securityhub:DisableSecurityHub":
		return "audit.disable"
	case "cloudtrail:CreateTrail", "cloudtrail:StartLogging", "cloudtrail:UpdateTrail", "cloudtrail:PutEventSelectors",
		"cloudtrail:PutInsightSelectors", "cloudtrail:CreateEventDataStore", "cloudtrail:UpdateEventDataStore", "config:PutConfigurationRecorder",
		"config:StartConfigurationRecorder", "config:PutDeliveryChannel", "guardduty:CreateDetector", "guardduty:UpdateDetector", "ec2:CreateFlowLogs",
		"s3:PutBucketLogging", "securityhub:EnableSecurityHub":
		return "audit.change"

	case "secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue", "ec2:GetPasswordData":
		return "secret.read"
	}
	return ""
}

// trimVersion cuts the API version off the end of an action: that of Lambda (20150331, 20150331v2) and of CloudFront (2020_05_31).
func trimVersion(action string) string {
	s := action
	if i := strings.LastIndexByte(s, 'v'); i > 0 && i+1 < len(s) && trimDigits(s[i+1:]) == "" {
		s = s[:i]
	}
	short := strings.TrimRight(s, "0123456789_")
	if tail := strings.ReplaceAll(s[len(short):], "_", ""); len(tail) == 8 && tail[:2] == "20" {
		return short
	}
	return action
}

func trimDigits(s string) string { return strings.TrimRight(s, "0123456789") }
