package cloudtrail

import (
	"strings"

	"daybook/event"
	"daybook/formats/jsontext"
)

// object sets what the call was done to. call is the event's name without its API version.
func (r *record) object(id *identity, service, call string, e *event.Event) {
	if arn, kind := onlyResource(r.resources); arn != "" {
		setObject(e, kind, arn)
		return
	}
	var requestSpace, responseSpace [16]param
	request := paramsOf(requestSpace[:0], r.requestParameters, call+"Request")
	if objectOfSeveral(service, call, request, e) {
		return
	}
	response := paramsOf(responseSpace[:0], r.responseElements, call+"Response")
	for _, rule := range rulesOf(service) {
		if !rule.appliesTo(call) {
			continue
		}
		from, path := request, rule.path
		if path[0] == '<' {
			from, path = response, path[1:]
		}
		if text, found := from.text(path); text != "" {
			setObject(e, rule.kind, text)
			return
		} else if found {
			return // several, or something odd
		}
		if rule.last {
			return
		}
	}
	if service == "iam" && isOnOwnCredentials(call) {
		if name := id.userName.Str(); name != "" && id.kind.Str() == "IAMUser" {
			setObject(e, "iam:user", name)
		} else if arn := id.arn.Str(); arn != "" {
			setObject(e, "", arn)
		}
	}
}

// isOnOwnCredentials reports whether IAM takes the caller for the user that the call does not name.
func isOnOwnCredentials(call string) bool {
	switch call {
	case "GetUser", "ChangePassword", "CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey", "ListAccessKeys", "ListMFADevices",
		"DeactivateMFADevice", "CreateLoginProfile", "UpdateLoginProfile", "DeleteLoginProfile", "GetLoginProfile", "UploadSigningCertificate",
		"UpdateSigningCertificate", "DeleteSigningCertificate", "ListSigningCertificates", "ListSSHPublicKeys", "CreateServiceSpecificCredential",
		"UpdateServiceSpecificCredential", "DeleteServiceSpecificCredential", "ResetServiceSpecificCredential", "ListServiceSpecificCredentials":
		return true
	}
	return false
}

// objectOfSeveral sets objects that it takes several parameters to name, and reports whether it knew what to do.
func objectOfSeveral(service, call string, request params, e *event.Event) bool {
	switch service {
	case "s3":
		bucket, _ := request.text("bucketName")
		if key, _ := request.text("key"); bucket != "" && key != "" {
			e.Set(event.ObjectType, "s3:object")
			e.Set(event.ObjectID, bucket+"/"+key)
			e.Set(event.ObjectName, key)
			return true
		}
	case "logs":
		group, _ := request.text("logGroupName")
		if stream, _ := request.text("logStreamName"); group != "" && stream != "" {
			e.Set(event.ObjectType, "logs:log-stream")
			e.Set(event.ObjectID, group+":log-stream:"+stream)
			e.Set(event.ObjectName, stream)
			return true
		}
	case "glue":
		table, _ := request.text("tableName")
		if table == "" && strings.HasSuffix(call, "Table") {
			if table, _ = request.text("name"); table == "" {
				table, _ = request.text("tableInput.name")
			}
		}
		if database, _ := request.text("databaseName"); database != "" && table != "" {
			e.Set(event.ObjectType, "glue:table")
			e.Set(event.ObjectID, database+"/"+table)
			e.Set(event.ObjectName, table)
			return true
		}
	case "ssm":
		if id, _ := request.text("resourceId"); id != "" {
			kind, _ := request.text("resourceType")
			switch kind {
			case "Parameter":
				kind = "ssm:parameter"
			case "Document":
				kind = "ssm:document"
			case "ManagedInstance":
				kind = "ec2:"
			case "MaintenanceWindow":
				kind = "ssm:maintenancewindow"
			case "PatchBaseline":
				kind = "ssm:patchbaseline"
			default:
				kind = ""
			}
			setObject(e, kind, id)
			return true
		}
	}
	return false
}

// onlyResource returns the ARN and kind of the one entry of resources, buckets left aside if there is anything else; "" if there is no such one.
func onlyResource(resources jsontext.Value) (arn, kind string) {
	var bucket string
	several, severalBuckets := false, false
	entries := resources.Elements()
	for entries.Next() {
		var id, awsType string
		m := entries.Value.Members()
		for m.Next() {
			switch m.Name {
			case "ARN", "arn", "ARNPrefix":
				if id != "" && id != m.Value.Str() {
					return "", ""
				}
				id = m.Value.Str()
			case "type":
				awsType = m.Value.Str()
			}
		}
		if id == "" {
			continue
		}
		k := kindOfARN(id)
		if k == "" {
			k = kindOfType(awsType)
		}
		if k == "s3:bucket" {
			severalBuckets = severalBuckets || bucket != "" && bucket != id
			bucket = id
			continue
		}
		several = several || arn != "" && arn != id
		arn, kind = id, k
	}
	switch {
	case several:
		return "", ""
	case arn == "" && !severalBuckets:
		return bucket, "s3:bucket"
	}
	return arn, kind
}

// setObject sets the object from its ARN, id or name. kind holds where id is no ARN that says better.
func setObject(e *event.Event, kind, id string) {
	if k := kindOfARN(id); k != "" {
		kind = k
	} else if kind == "ec2:" {
		kind = kindOfEC2(id)
	} else if kind == "organizations:" {
		kind = kindOfTarget(id)
	}
	if kind == "kms:key" && strings.HasPrefix(id, "alias/") {
		kind = "kms:alias"
	}
	e.SetNonEmpty(event.ObjectType, kind)
	e.Set(event.ObjectID, id)
	e.SetNonEmpty(event.ObjectName, nameOf(kind, id))
}

// splitARN returns the service and the resource of an ARN.
func splitARN(s string) (service, resource string) {
	rest, ok := strings.CutPrefix(s, "arn:")
	if !ok {
		return "", ""
	}
	_, rest, _ = strings.Cut(rest, ":") // partition
	service, rest, _ = strings.Cut(rest, ":")
	_, rest, _ = strings.Cut(rest, ":")     // region
	_, resource, _ = strings.Cut(rest, ":") // account
	return service, resource
}

// kindOfARN returns the service and kind of an ARN's resource, "" if it isn't one or doesn't say.
func kindOfARN(arn string) string {
	service, resource := splitARN(arn)
	if service == "" || resource == "" {
		return ""
	}
	switch service {
	case "s3":
		if !strings.Contains(arn, ":s3:::") {
			break // an access point and the like
		}
		if strings.Contains(resource, "/") {
			return "s3:object"
		}
		return "s3:bucket"
	case "sns":
		if strings.Contains(resource, ":") {
			return "sns:subscription"
		}
		return "sns:topic"
	case "sqs":
		return "sqs:queue"
	}
	resource = strings.TrimPrefix(resource, "/")
	end := strings.IndexAny(resource, "/:")
	if end < 0 {
		if resource == "root" {
			return service + ":root"
		}
		return ""
	}
	return service + ":" + resource[:end]
}

// kindOfType returns AWS::DynamoDB::Table as dynamodb:table.
func kindOfType(awsType string) string {
	rest, ok := strings.CutPrefix(awsType, "AWS::")
	if !ok {
		return ""
	}
	service, kind, ok := strings.Cut(rest, "::")
	if !ok {
		return ""
	}
	return strings.ToLower(service + ":" + kind)
}

// kindOfEC2 returns the kind of what an EC2 id names: its prefix is fixed.
func kindOfEC2(id string) string {
	prefix, _, _ := strings.Cut(id, "-")
	switch prefix {
	case "i":
		return "ec2:instance"
	case "mi":
		return "ssm:managed-instance"
	case "vol":
		return "ec2:volume"
	case "snap":
		return "ec2:snapshot"
	case "ami":
		return "ec2:image"
	case "vpc":
		return "ec2:vpc"
	case "subnet":
		return "ec2:subnet"
	case "sg":
		return "ec2:security-group"
	case "rtb":
		return "ec2:route-table"
	case "igw":
		return "ec2:internet-gateway"
	case "nat":
		return "ec2:natgateway"
	case "eni":
		return "ec2:network-interface"
	case "acl":
		return "ec2:network-acl"
	case "eipalloc":
		return "ec2:elastic-ip"
	case "fl":
		return "ec2:vpc-flow-log"
	case "lt":
		return "ec2:launch-template"
	case "vpce":
		return "ec2:vpc-endpoint"
	}
	return ""
}

// kindOfTarget returns the kind of what an id in Organizations names.
func kindOfTarget(id string) string {
	switch {
	case strings.HasPrefix(id, "ou-"):
		return "organizations:ou"
	case strings.HasPrefix(id, "r-"):
		return "organizations:root"
	case len(id) == 12 && trimDigits(id) == "":
		return "organizations:account"
	}
	return ""
}

// nameOf returns the name in an ARN, or id itself, of kinds that have one; "" for those that have an id only.
func nameOf(kind, id string) string {
	_, resource := splitARN(id)
	arn := strings.HasPrefix(id, "arn:")
	if !arn {
		resource = id
	}
	switch kind {
	case "s3:object":
		_, key, _ := strings.Cut(resource, "/")
		return key
	case "s3:bucket", "sns:topic", "kms:alias":
		return resource
	case "sqs:queue":
		return resource[strings.LastIndexByte(resource, '/')+1:]
	case "iam:user", "iam:role", "iam:group", "iam:policy", "iam:instance-profile", "iam:server-certificate", "iam:saml-provider",
		"cloudtrail:trail", "eks:cluster", "ecs:cluster", "ecs:service", "kinesis:stream", "firehose:deliverystream", "events:rule",
		"codebuild:project", "athena:workgroup", "es:domain", "glue:database", "glue:crawler", "glue:job", "glue:connection", "sagemaker:endpoint",
		"sagemaker:model", "sagemaker:notebook-instance", "sagemaker:training-job", "autoscaling:autoScalingGroup", "autoscaling:launchConfiguration":
		return resource[strings.LastIndexByte(resource, '/')+1:]
	case "rds:db", "rds:cluster", "rds:snapshot", "rds:cluster-snapshot", "rds:subgrp", "rds:pg", "rds:cluster-pg", "rds:og", "rds:secgrp",
		"rds:global-cluster", "redshift:cluster", "cloudwatch:alarm", "states:stateMachine", "elasticache:cluster":
		if arn {
			_, resource, _ = strings.Cut(resource, ":")
		}
		return resource
	case "lambda:function", "lambda:layer", "logs:log-group":
		if arn {
			_, resource, _ = strings.Cut(resource, ":")
			resource, _, _ = strings.Cut(resource, ":")
		}
		return resource
	case "dynamodb:table", "cloudformation:stack":
		if arn {
			_, resource, _ = strings.Cut(resource, "/")
			resource, _, _ = strings.Cut(resource, "/")
		}
		return resource
	case "ecr:repository":
		if arn {
			_, resource, _ = strings.Cut(resource, "/")
		}
		return resource
	case "ssm:parameter", "ssm:document", "secretsmanager:secret", "elasticloadbalancing:loadbalancer", "ec2:key-pair", "eks:nodegroup",
		"config:config-rule", "elasticbeanstalk:application":
		if !arn { // the ARN does not hold the name as it is
			return id
		}
	}
	return ""
}

// params are the members of a request or response, in their order.
type params []param

type param struct {
	name  string
	value jsontext.Value
}

// paramsOf appends the members of v to space. Where the only one has the name of the wrapper that newer EC2 calls have, it appends those in there.
func paramsOf(space params, v jsontext.Value, wrapper string) params {
	m := v.Members()
	for m.Next() {
		space = append(space, param{m.Name, m.Value})
	}
	if len(space) == 1 && space[0].name == wrapper {
		return paramsOf(space[:0], space[0].value, "")
	}
	return space
}

// text returns the text at path, a dotted list of names. found without a text says that there are several, or that it is none.
func (p params) text(path string) (text string, found bool) {
	name, path, _ := strings.Cut(path, ".")
	var value jsontext.Value
	for i := range p {
		if sameName(p[i].name, name) {
			if value.Kind() != 0 {
				return "", true
			}
			value = p[i].value
		}
	}
	return textAt(value, path)
}

func textAt(v jsontext.Value, path string) (text string, found bool) {
	switch v.Kind() {
	case jsontext.String:
		if path == "" {
			return v.Str(), v.Str() != ""
		}
	case jsontext.Array:
		n := 0
		elements := v.Elements()
		var only jsontext.Value
		for elements.Next() {
			only = elements.Value
			n++
		}
		if n > 1 {
			return "", true
		}
		return textAt(only, path)
	case jsontext.Object:
		if path == "" {
			path = "content" // EC2 writes a list of one as {"tag":1,"content":"…"}
		}
		var space [8]param
		return paramsOf(space[:0], v, "").text(path)
	}
	return "", false
}

// sameName compares names, but for the case of the first letter: EC2 and other services write both.
func sameName(got, want string) bool {
	if len(got) == 0 || len(got) != len(want) || got[1:] != want[1:] {
		return false
	}
	return got[0] == want[0] || got[0]|0x20 == want[0]
}
