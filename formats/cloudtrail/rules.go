package cloudtrail

import "strings"

// rule says which member names the object of a call.
type rule struct {
	// calls are the names of the calls that it is for, in a row; a name that ends in * stands for all that begin so. Empty: all calls.
	calls string
	// path leads to the member in the request, or behind < in the response: names with dots between. A list on the way must hold one element.
	path string
	// kind is the object's type. It is left out where the value always is an ARN; ec2: and organizations: mean that the id's prefix tells.
	kind string
	// last ends the search for such a call, found or not: the calls that make an object name others in their request.
	last bool
}

func (r *rule) appliesTo(call string) bool {
	if r.calls == "" {
		return true
	}
	for rest := r.calls; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, " ")
		if prefix, ok := strings.CutSuffix(name, "*"); name == call || ok && strings.HasPrefix(call, prefix) {
			return true
		}
	}
	return false
}

// rulesOf returns a service's rules, the first that finds something wins. The names are those that the service writes in CloudTrail.
func rulesOf(service string) []rule { return rulesByService[service] }

var rulesByService = map[string][]rule{
	"s3": {
		{calls: "CreateAccessPoint GetAccessPoint DeleteAccessPoint PutAccessPointPolicy DeleteAccessPointPolicy", path: "name", kind: "s3:accesspoint"},
		{path: "bucketName", kind: "s3:bucket"},
		{path: "bucket", kind: "s3:bucket"},
	},
	"iam": {
		{calls: "CreatePolicy", path: "<policy.arn", kind: "iam:policy"},
		{calls: "CreatePolicy", path: "policyName", kind: "iam:policy", last: true},
		{calls: "CreateServiceLinkedRole", path: "<role.roleName", kind: "iam:role", last: true},
		{calls: "CreateVirtualMFADevice", path: "<virtualMFADevice.serialNumber", kind: "iam:mfa"},
		{calls: "CreateVirtualMFADevice", path: "virtualMFADeviceName", kind: "iam:mfa", last: true},
		{calls: "CreateSAMLProvider", path: "<sAMLProviderArn"},
		{calls: "CreateOpenIDConnectProvider", path: "<openIDConnectProviderArn", last: true},
		{calls: "AddUserToGroup RemoveUserFromGroup", path: "groupName", kind: "iam:group"},
		{calls: "AddRoleToInstanceProfile RemoveRoleFromInstanceProfile", path: "instanceProfileName", kind: "iam:instance-profile"},
		{path: "userName", kind: "iam:user"},
		{path: "roleName", kind: "iam:role"},
		{path: "groupName", kind: "iam:group"},
		{path: "instanceProfileName", kind: "iam:instance-profile"},
		{path: "policyArn", kind: "iam:policy"},
		{path: "serverCertificateName", kind: "iam:server-certificate"},
		{path: "sAMLProviderArn", kind: "iam:saml-provider"},
		{path: "openIDConnectProviderArn", kind: "iam:oidc-provider"},
		{calls: "DeleteVirtualMFADevice", path: "serialNumber", kind: "iam:mfa"},
		{path: "policySourceArn"},
	},
	"kms": {
		{calls: "CreateKey", path: "<keyMetadata.arn", kind: "kms:key", last: true},
		{path: "aliasName", kind: "kms:alias"},
		{calls: "ReEncrypt", path: "destinationKeyId", kind: "kms:key"},
		{path: "keyId", kind: "kms:key"},
	},
	"sts": {
		{calls: "AssumeRole*", path: "roleArn", kind: "iam:role"},
		{calls: "AssumeRoot", path: "targetPrincipal"},
		{calls: "GetFederationToken", path: "<federatedUser.arn", kind: "sts:federated-user"},
		{calls: "GetFederationToken", path: "name", kind: "sts:federated-user"},
		{calls: "GetAccessKeyInfo", path: "accessKeyId"},
	},
	"lambda": {
		{path: "functionName", kind: "lambda:function"},
		{path: "layerName", kind: "lambda:layer"},
		{calls: "CreateEventSourceMapping", path: "<uUID", kind: "lambda:event-source-mapping"},
		{path: "uUID", kind: "lambda:event-source-mapping"},
		{path: "resource"},
	},
	"dynamodb": {
		{calls: "CreateBackup", path: "<backupDetails.backupArn"},
		{calls: "RestoreTable*", path: "targetTableName", kind: "dynamodb:table", last: true},
		{path: "tableName", kind: "dynamodb:table"},
		{path: "globalTableName", kind: "dynamodb:global-table"},
		{path: "backupArn"},
		{path: "tableArn"},
		{path: "resourceArn"},
	},
	"rds": {
		{path: "targetDBSnapshotIdentifier", kind: "rds:snapshot"},
		{path: "targetDBClusterSnapshotIdentifier", kind: "rds:cluster-snapshot"},
		{calls: "StartExportTask CancelExportTask", path: "sourceArn"},
		{calls: "RestoreDBInstance*", path: "dBInstanceIdentifier", kind: "rds:db"},
		{calls: "RestoreDBCluster*", path: "dBClusterIdentifier", kind: "rds:cluster"},
		{path: "dBSnapshotIdentifier", kind: "rds:snapshot"},
		{path: "dBClusterSnapshotIdentifier", kind: "rds:cluster-snapshot"},
		{path: "dBInstanceIdentifier", kind: "rds:db"},
		{path: "dBClusterIdentifier", kind: "rds:cluster"},
		{path: "dBSecurityGroupName", kind: "rds:secgrp"},
		{path: "dBSubnetGroupName", kind: "rds:subgrp"},
		{path: "dBParameterGroupName", kind: "rds:pg"},
		{path: "dBClusterParameterGroupName", kind: "rds:cluster-pg"},
		{path: "optionGroupName", kind: "rds:og"},
		{path: "globalClusterIdentifier", kind: "rds:global-cluster"},
		{path: "resourceName"},
		{path: "resourceArn"},
	},
	"ssm": {
		{calls: "GetParameter PutParameter DeleteParameter GetParameterHistory LabelParameterVersion UnlabelParameterVersion", path: "name", kind: "ssm:parameter"},
		{calls: "GetParameters DeleteParameters", path: "names", kind: "ssm:parameter"},
		{calls: "GetDocument CreateDocument UpdateDocument DeleteDocument DescribeDocument ModifyDocumentPermission DescribeDocumentPermission", path: "name", kind: "ssm:document"},
		{calls: "StartSession", path: "target", kind: "ec2:"},
		{calls: "TerminateSession ResumeSession", path: "sessionId", kind: "ssm:session"},
		{calls: "SendCommand", path: "instanceIds", kind: "ec2:", last: true},
		{calls: "StartAutomationExecution", path: "documentName", kind: "ssm:document"},
		{path: "automationExecutionId", kind: "ssm:automation-execution"},
		{path: "instanceId", kind: "ec2:"},
		{path: "associationId", kind: "ssm:association"},
	},
	"secretsmanager": {
		{calls: "CreateSecret", path: "<arn", kind: "secretsmanager:secret"},
		{calls: "CreateSecret", path: "<aRN", kind: "secretsmanager:secret"},
		{calls: "CreateSecret", path: "name", kind: "secretsmanager:secret"},
		{path: "secretId", kind: "secretsmanager:secret"},
		{calls: "BatchGetSecretValue", path: "secretIdList", kind: "secretsmanager:secret"},
	},
	"cloudtrail": {
		{calls: "CreateEventDataStore", path: "<eventDataStoreArn", last: true},
		{path: "eventDataStore", kind: "cloudtrail:eventdatastore"},
		{path: "trailName", kind: "cloudtrail:trail"},
		{calls: "CreateTrail UpdateTrail DeleteTrail StartLogging StopLogging GetTrail GetTrailStatus", path: "name", kind: "cloudtrail:trail"},
		{path: "trailNameList", kind: "cloudtrail:trail"},
		{path: "resourceIdList"},
		{path: "resourceId"},
	},
	"logs": {
		{path: "logGroupName", kind: "logs:log-group"},
		{path: "logGroupIdentifier", kind: "logs:log-group"},
		{path: "resourceArn"},
		{path: "destinationName", kind: "logs:destination"},
	},
	"sns": {
		{calls: "CreateTopic", path: "<topicArn", kind: "sns:topic"},
		{calls: "CreateTopic", path: "name", kind: "sns:topic"},
		{calls: "Unsubscribe GetSubscriptionAttributes SetSubscriptionAttributes", path: "subscriptionArn", kind: "sns:subscription"},
		{path: "topicArn", kind: "sns:topic"},
		{path: "targetArn"},
		{path: "resourceArn"},
		{path: "platformApplicationArn"},
		{path: "endpointArn"},
	},
	"sqs": {
		{calls: "CreateQueue", path: "<queueUrl", kind: "sqs:queue"},
		{calls: "CreateQueue", path: "queueName", kind: "sqs:queue"},
		{path: "queueUrl", kind: "sqs:queue"},
		{path: "queueName", kind: "sqs:queue"},
	},
	"ecr": {
		{path: "repositoryName", kind: "ecr:repository"},
		{path: "repositoryNames", kind: "ecr:repository"},
		{path: "resourceArn"},
	},
	"ecs": {
		{calls: "CreateCluster", path: "<cluster.clusterArn", kind: "ecs:cluster"},
		{calls: "CreateService", path: "<service.serviceArn", kind: "ecs:service"},
		{calls: "RegisterTaskDefinition", path: "<taskDefinition.taskDefinitionArn"},
		{calls: "RegisterTaskDefinition", path: "family", kind: "ecs:task-definition", last: true},
		{calls: "RunTask StartTask", path: "<tasks.taskArn", kind: "ecs:task", last: true},
		{path: "serviceName", kind: "ecs:service"},
		{path: "service", kind: "ecs:service"},
		{path: "services", kind: "ecs:service"},
		{path: "task", kind: "ecs:task"},
		{path: "tasks", kind: "ecs:task"},
		{path: "containerInstance", kind: "ecs:container-instance"},
		{path: "taskDefinition", kind: "ecs:task-definition"},
		{path: "clusterName", kind: "ecs:cluster"},
		{path: "clusters", kind: "ecs:cluster"},
		{path: "cluster", kind: "ecs:cluster"},
		{path: "resourceArn"},
	},
	"eks": {
		{path: "nodegroupName", kind: "eks:nodegroup"},
		{path: "addonName", kind: "eks:addon"},
		{path: "fargateProfileName", kind: "eks:fargateprofile"},
		{path: "associationId", kind: "eks:podidentityassociation"},
		{path: "clusterName", kind: "eks:cluster"},
		{path: "name", kind: "eks:cluster"},
		{path: "resourceArn"},
	},
	"elasticloadbalancing": {
		{calls: "CreateListener", path: "<listeners.listenerArn", last: true},
		{calls: "CreateRule", path: "<rules.ruleArn", last: true},
		{calls: "CreateTargetGroup", path: "<targetGroups.targetGroupArn"},
		{calls: "CreateTargetGroup", path: "name", kind: "elasticloadbalancing:targetgroup", last: true},
		{calls: "CreateLoadBalancer", path: "<loadBalancers.loadBalancerArn"},
		{calls: "CreateLoadBalancer", path: "name", kind: "elasticloadbalancing:loadbalancer"},
		{path: "ruleArn"},
		{path: "listenerArn"},
		{path: "targetGroupArn"},
		{path: "loadBalancerArn"},
		{path: "loadBalancerName", kind: "elasticloadbalancing:loadbalancer"},
		{path: "loadBalancerNames", kind: "elasticloadbalancing:loadbalancer"},
		{path: "loadBalancerArns"},
		{path: "targetGroupArns"},
		{path: "listenerArns"},
		{calls: "DescribeLoadBalancers", path: "names", kind: "elasticloadbalancing:loadbalancer"},
		{calls: "DescribeTargetGroups", path: "names", kind: "elasticloadbalancing:targetgroup"},
		{path: "resourceArns"},
	},
	"autoscaling": {
		{path: "autoScalingGroupName", kind: "autoscaling:autoScalingGroup"},
		{path: "autoScalingGroupNames", kind: "autoscaling:autoScalingGroup"},
		{path: "launchConfigurationName", kind: "autoscaling:launchConfiguration"},
		{path: "launchConfigurationNames", kind: "autoscaling:launchConfiguration"},
		{path: "instanceId", kind: "ec2:"},
	},
	"cloudformation": {
		{calls: "CreateStack", path: "<stackId", kind: "cloudformation:stack"},
		{calls: "CreateStackSet", path: "<stackSetId", kind: "cloudformation:stackset"},
		{path: "stackName", kind: "cloudformation:stack"},
		{path: "stackSetName", kind: "cloudformation:stackset"},
		{path: "typeName", kind: "cloudformation:type"},
	},
	"organizations": {
		{calls: "CreateAccount CreateGovCloudAccount", path: "<createAccountStatus.accountId", kind: "organizations:account", last: true},
		{calls: "CreateOrganizationalUnit", path: "<organizationalUnit.id", kind: "organizations:ou", last: true},
		{calls: "CreatePolicy", path: "<policy.policySummary.id", kind: "organizations:policy", last: true},
		{calls: "CreateOrganization", path: "<organization.id", kind: "organizations:organization", last: true},
		{calls: "InviteAccountToOrganization", path: "<handshake.id", kind: "organizations:handshake", last: true},
		{calls: "AttachPolicy DetachPolicy", path: "targetId", kind: "organizations:"},
		{path: "accountId", kind: "organizations:account"},
		{path: "organizationalUnitId", kind: "organizations:ou"},
		{path: "policyId", kind: "organizations:policy"},
		{path: "handshakeId", kind: "organizations:handshake"},
		{path: "targetId", kind: "organizations:"},
		{path: "resourceId"},
	},
	"glue": {
		{calls: "CreateDatabase", path: "databaseInput.name", kind: "glue:database"},
		{calls: "GetDatabase UpdateDatabase DeleteDatabase", path: "name", kind: "glue:database"},
		{calls: "CreateCrawler GetCrawler UpdateCrawler DeleteCrawler StartCrawler StopCrawler", path: "name", kind: "glue:crawler"},
		{calls: "CreateJob", path: "name", kind: "glue:job"},
		{calls: "CreateConnection", path: "connectionInput.name", kind: "glue:connection"},
		{path: "jobName", kind: "glue:job"},
		{path: "crawlerName", kind: "glue:crawler"},
		{path: "connectionName", kind: "glue:connection"},
		{calls: "GetConnection UpdateConnection", path: "name", kind: "glue:connection"},
		{path: "databaseName", kind: "glue:database"},
		{path: "resourceArn"},
	},
	"ec2": rulesEC2,
	"ec2-instance-connect": {
		{path: "instanceId", kind: "ec2:"},
	},
	"route53": {
		{calls: "CreateHostedZone", path: "<hostedZone.id", kind: "route53:hostedzone", last: true},
		{calls: "CreateHealthCheck", path: "<healthCheck.id", kind: "route53:healthcheck", last: true},
		{path: "hostedZoneId", kind: "route53:hostedzone"},
		{calls: "GetHostedZone DeleteHostedZone UpdateHostedZoneComment", path: "id", kind: "route53:hostedzone"},
		{path: "healthCheckId", kind: "route53:healthcheck"},
	},
	"route53resolver": {
		{path: "resolverQueryLogConfigId", kind: "route53resolver:resolver-query-log-config"},
		{path: "resolverEndpointId", kind: "route53resolver:resolver-endpoint"},
		{path: "resolverRuleId", kind: "route53resolver:resolver-rule"},
	},
	"guardduty": {
		{calls: "CreateDetector", path: "<detectorId", kind: "guardduty:detector", last: true},
		{path: "detectorId", kind: "guardduty:detector"},
	},
	"config": {
		{path: "configRuleName", kind: "config:config-rule"},
		{path: "configRule.configRuleName", kind: "config:config-rule"},
		{path: "configurationRecorderName", kind: "config:configuration-recorder"},
		{path: "configurationRecorder.name", kind: "config:configuration-recorder"},
		{path: "deliveryChannelName", kind: "config:delivery-channel"},
		{path: "deliveryChannel.name", kind: "config:delivery-channel"},
	},
	"athena": {
		{calls: "CreateWorkGroup", path: "name", kind: "athena:workgroup"},
		{path: "workGroup", kind: "athena:workgroup"},
		{path: "namedQueryId", kind: "athena:named-query"},
		{path: "queryExecutionId", kind: "athena:query-execution"},
	},
	"monitoring": {
		{path: "alarmName", kind: "cloudwatch:alarm"},
		{path: "alarmNames", kind: "cloudwatch:alarm"},
		{path: "dashboardName", kind: "cloudwatch:dashboard"},
		{path: "dashboardNames", kind: "cloudwatch:dashboard"},
	},
	"events": {
		{calls: "PutRule DeleteRule DescribeRule EnableRule DisableRule", path: "name", kind: "events:rule"},
		{path: "rule", kind: "events:rule"},
		{calls: "CreateEventBus DeleteEventBus DescribeEventBus", path: "name", kind: "events:event-bus"},
		{path: "eventBusName", kind: "events:event-bus"},
	},
	"states": {
		{calls: "CreateStateMachine", path: "<stateMachineArn", last: true},
		{calls: "StopExecution DescribeExecution", path: "executionArn"},
		{path: "stateMachineArn"},
		{path: "resourceArn"},
	},
	"bedrock": {
		{calls: "CreateGuardrail", path: "<guardrailArn", last: true},
		{path: "guardrailIdentifier", kind: "bedrock:guardrail"},
		{path: "modelId", kind: "bedrock:foundation-model"},
		{path: "agentId", kind: "bedrock:agent"},
		{path: "knowledgeBaseId", kind: "bedrock:knowledge-base"},
	},
	"codebuild": {
		{calls: "CreateProject UpdateProject DeleteProject", path: "name", kind: "codebuild:project"},
		{path: "projectName", kind: "codebuild:project"},
		{path: "projectArn"},
		{path: "resourceArn"},
	},
	"rolesanywhere": {
		{calls: "CreateProfile", path: "<profile.profileArn", last: true},
		{calls: "CreateTrustAnchor", path: "<trustAnchor.trustAnchorArn", last: true},
		{path: "profileId", kind: "rolesanywhere:profile"},
		{path: "trustAnchorId", kind: "rolesanywhere:trust-anchor"},
		{path: "crlId", kind: "rolesanywhere:crl"},
	},
	"securityhub": {
		{calls: "CreateInsight", path: "<insightArn", last: true},
		{path: "insightArn"},
		{path: "standardsSubscriptionArn"},
	},
	"redshift": {
		{path: "snapshotIdentifier", kind: "redshift:snapshot"},
		{path: "clusterIdentifier", kind: "redshift:cluster"},
		{path: "resourceName"},
	},
	"es": {
		{path: "domainName", kind: "es:domain"},
	},
	"wafv2": {
		{path: "resourceArn"},
		{path: "webACLArn"},
		{path: "webACLId", kind: "waf:webacl"},
	},
	"waf": {
		{path: "resourceArn"},
		{path: "webACLArn"},
		{path: "webACLId", kind: "waf:webacl"},
	},
	"waf-regional": {
		{path: "resourceArn"},
		{path: "webACLArn"},
		{path: "webACLId", kind: "waf:webacl"},
	},
	"acm": {
		{calls: "RequestCertificate ImportCertificate", path: "<certificateArn", last: true},
		{path: "certificateArn"},
	},
	"apigateway": {
		{calls: "CreateRestApi", path: "<id", kind: "apigateway:restapis", last: true},
		{path: "restApiId", kind: "apigateway:restapis"},
		{path: "apiId", kind: "apigateway:apis"},
	},
	"cloudfront": {
		{calls: "CreateDistribution*", path: "<distribution.id", kind: "cloudfront:distribution", last: true},
		{path: "distributionId", kind: "cloudfront:distribution"},
		{calls: "GetDistribution* UpdateDistribution DeleteDistribution", path: "id", kind: "cloudfront:distribution"},
	},
	"kinesis": {
		{path: "streamName", kind: "kinesis:stream"},
		{path: "streamARN"},
	},
	"firehose": {
		{path: "deliveryStreamName", kind: "firehose:deliverystream"},
	},
	"elasticache": {
		{path: "replicationGroupId", kind: "elasticache:replicationgroup"},
		{path: "cacheClusterId", kind: "elasticache:cluster"},
	},
	"elasticfilesystem": {
		{calls: "CreateFileSystem", path: "<fileSystemId", kind: "elasticfilesystem:file-system", last: true},
		{path: "fileSystemId", kind: "elasticfilesystem:file-system"},
	},
	"elasticmapreduce": {
		{calls: "RunJobFlow", path: "<jobFlowId", kind: "elasticmapreduce:cluster", last: true},
		{path: "jobFlowId", kind: "elasticmapreduce:cluster"},
		{path: "clusterId", kind: "elasticmapreduce:cluster"},
	},
	"cognito-idp": {
		{calls: "CreateUserPool", path: "<userPool.id", kind: "cognito-idp:userpool", last: true},
		{path: "userPoolId", kind: "cognito-idp:userpool"},
	},
	"sagemaker": {
		{path: "notebookInstanceName", kind: "sagemaker:notebook-instance"},
		{path: "trainingJobName", kind: "sagemaker:training-job"},
		{path: "endpointName", kind: "sagemaker:endpoint"},
		{path: "modelName", kind: "sagemaker:model"},
	},
	"sso": {
		{path: "permissionSetArn"},
		{path: "instanceArn"},
		{path: "userId", kind: "identitystore:user"},
		{path: "groupId", kind: "identitystore:group"},
	},
	"identitystore": {
		{path: "permissionSetArn"},
		{path: "instanceArn"},
		{path: "userId", kind: "identitystore:user"},
		{path: "groupId", kind: "identitystore:group"},
	},
	"backup": {
		{path: "recoveryPointArn"},
		{path: "backupVaultName", kind: "backup:backup-vault"},
		{path: "backupPlanId", kind: "backup:backup-plan"},
	},
	"ram": {
		{calls: "CreateResourceShare", path: "<resourceShare.resourceShareArn", last: true},
		{path: "resourceShareArn"},
	},
}
