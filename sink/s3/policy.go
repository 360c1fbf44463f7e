package s3

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"daybook/sink"
)

// Role is what a credential is for.
type Role string

const (
	// Writer seals: it puts locked objects and reads them back, and verifies daily. It deletes nothing, and changes no setting of the bucket.
	Writer Role = "writer"
	// Reader lists and fetches files.
	Reader Role = "reader"
	// Verifier reads objects, versions and locks, and how the bucket is set up.
	Verifier Role = "verifier"
)

// Roles are all roles.
func Roles() []Role { return []Role{Writer, Reader, Verifier} }

// Server is a kind of server, as far as policies differ.
type Server string

// The kinds of servers that are known.
const (
	AWS       Server = "aws"
	MinIO     Server = "minio"
	VersityGW Server = "versitygw"
)

// Servers are all kinds of servers.
func Servers() []Server { return []Server{AWS, MinIO, VersityGW} }

// PolicyOptions say more of a policy.
type PolicyOptions struct {
	// Server is what is to enforce the policy; blank: AWS. The conditions that hold a writer to locks and to conditional PUTs are written only where
	// the server knows them: AWS knows all, MinIO those of locks, versitygw none.
	Server Server
	// Modes are the lock modes that a writer may set; none: either. A store without locks has sink.None among them, and then no lock is demanded.
	Modes []sink.Mode
	// MaxDays is for how many days a writer may lock an object; 0: as long as the server allows. It keeps who has stolen the credential from filling the
	// bucket with objects that nobody can remove for a century. MinIO holds only those to it who lengthen a lock, not those who put an object.
	MaxDays int
	// Holds lets the writer set and release legal holds. Restore lets a reader ask for objects to be brought back from an archive, which costs.
	Holds, Restore bool
	// KMSKey is the ARN of the key that objects are encrypted with. AWS only.
	KMSKey string
	// Principal makes it a policy of the bucket, for this user (an ARN; on versitygw an access key). Blank: a policy for the user to have.
	Principal string
}

// statement is one of a policy. Its members have the order in which people read them.
type statement struct {
	Sid       string
	Effect    string
	Principal any `json:",omitempty"`
	Action    []string
	Resource  []string
	Condition map[string]map[string]any `json:",omitempty"`
}

// readBucket are the actions that tell how a bucket is set up.
var readBucket = []string{
	"s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration", "s3:GetLifecycleConfiguration", "s3:GetEncryptionConfiguration", "s3:GetBucketPolicy",
}

// Policy returns the least that a role needs for the store at a URL, as an IAM policy in JSON. Objects are named by the store's prefix, so that one
// bucket can hold several stores. A writer is denied what it must never do as well, since a policy of another group might allow it.
func Policy(rawURL string, role Role, opts *PolicyOptions) ([]byte, error) {
	if opts == nil {
		opts = &PolicyOptions{}
	}
	bucket, prefix, err := splitURL(rawURL)
	if err != nil {
		return nil, err
	}
	p := policy{PolicyOptions: *opts, bucket: "arn:aws:s3:::" + bucket, prefix: prefix}
	if p.Server == "" {
		p.Server = AWS
	}
	if err := p.check(role); err != nil {
		return nil, err
	}
	switch role {
	case Writer:
		p.writer()
	case Reader:
		p.reader()
	case Verifier:
		p.verifier()
	}
	text, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", p.statements}, "", "  ")
	return append(text, '\n'), err
}

// policy is one that is being written.
type policy struct {
	PolicyOptions
	bucket     string // its ARN
	prefix     string // blank, or with a slash at its end
	statements []statement
}

func (p *policy) check(role Role) error {
	switch {
	case !slices.Contains(Roles(), role):
		return fmt.Errorf("role %q: must be writer, reader or verifier", role)
	case !slices.Contains(Servers(), p.Server):
		return fmt.Errorf("server %q: must be aws, minio or versitygw", p.Server)
	case strings.ContainsAny(p.prefix, "*?$"):
		return &sink.HintError{
			Err:  fmt.Errorf("prefix %q holds a character that policies read as a wildcard or a variable", p.prefix),
			Hint: "write the policy by hand, with care: what is meant as text would match more",
		}
	case p.Server == VersityGW && p.Principal == "":
		return &sink.HintError{
			Err:  fmt.Errorf("versitygw has no policies of users, only of buckets"),
			Hint: "name the user's access key with --principal, and set the policy with `aws s3api put-bucket-policy`",
		}
	case p.KMSKey != "" && p.Server != AWS:
		return fmt.Errorf("a KMS key is named in policies of AWS only, not of %s", p.Server)
	case p.MaxDays < 0 || p.MaxDays > 36500:
		return fmt.Errorf("%d days: must be 0 to 36500", p.MaxDays)
	case p.Holds && role != Writer:
		return fmt.Errorf("legal holds are the writer's to set, not the %s's", role)
	case p.Restore && role != Reader:
		return fmt.Errorf("restoring from an archive is the reader's to ask for, not the %s's", role)
	}
	return nil
}

func (p *policy) add(sid, effect string, resources, actions []string, condition map[string]map[string]any) {
	s := statement{Sid: sid, Effect: effect, Action: actions, Resource: resources, Condition: condition}
	if p.Principal != "" {
		s.Principal = map[string]string{"AWS": p.Principal}
	}
	p.statements = append(p.statements, s)
}

func (p *policy) objects() []string { return []string{p.bucket + "/" + p.prefix + "*"} }

// list allows listings of what lies below the prefix.
func (p *policy) list(actions ...string) {
	var condition map[string]map[string]any
	if p.prefix != "" {
		// AWS asks for the right to list when an absent object is asked for, too, and there is no prefix then.
		operator := "StringLike"
		if p.Server == AWS {
			operator = "StringLikeIfExists"
		}
		condition = map[string]map[string]any{operator: {"s3:prefix": []string{p.prefix + "*"}}}
	}
	p.add("List", "Allow", []string{p.bucket}, actions, condition)
}

func (p *policy) kms(actions ...string) {
	if p.KMSKey != "" {
		p.add("Key", "Allow", []string{p.KMSKey}, actions, nil)
	}
}

func (p *policy) writer() {
	put := []string{"s3:PutObject"}
	if p.Holds {
		put = append(put, "s3:PutObjectLegalHold")
	}
	p.add("Seal", "Allow", p.objects(), put, nil)
	p.lock()
	p.add("ReadBack", "Allow", p.objects(), []string{"s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention", "s3:GetObjectLegalHold"}, nil)
	p.list("s3:ListBucket", "s3:ListBucketVersions")
	p.add("LookAtBucket", "Allow", []string{p.bucket}, readBucket, nil)
	p.kms("kms:GenerateDataKey", "kms:Decrypt")
	p.conditions()
	destroy := []string{"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention", "s3:PutObjectTagging", "s3:DeleteObjectTagging"}
	if !p.Holds {
		destroy = append(destroy, "s3:PutObjectLegalHold")
	}
	p.add("DestroyNothing", "Deny", p.objects(), destroy, nil)
	p.add("LeaveBucket", "Deny", []string{p.bucket}, []string{
		"s3:PutBucket*", "s3:DeleteBucket*", "s3:PutLifecycleConfiguration", "s3:PutEncryptionConfiguration", "s3:PutReplicationConfiguration",
	}, nil)
}

// lock allows to lock in the modes that files are locked in. The keys and the log are older than some files, and what of them was put in governance mode before the
// bucket was raised must be lengthened in that mode.
func (p *policy) lock() {
	var condition map[string]map[string]any
	if modes := p.modes(); modes != nil {
		condition = map[string]map[string]any{"StringEquals": {"s3:object-lock-mode": modes}}
		if !slices.Contains(modes, sink.Governance) {
			p.add("LengthenOlder", "Allow", []string{p.bucket + "/" + p.prefix + "keys/*", p.bucket + "/" + p.prefix + "log/*"}, []string{"s3:PutObjectRetention"}, nil)
		}
	}
	p.add("Lock", "Allow", p.objects(), []string{"s3:PutObjectRetention"}, condition)
}

// modes are those that a writer is held to; nil where it is held to none.
func (p *policy) modes() []sink.Mode {
	switch {
	case p.Server == VersityGW, slices.Contains(p.Modes, sink.None):
		return nil
	case len(p.Modes) == 0:
		return lockModes
	}
	return p.Modes
}

var lockModes = []sink.Mode{sink.Compliance, sink.Governance}

// conditions hold a writer's PUTs to what Daybook sends, where the server can.
func (p *policy) conditions() {
	if p.Server == AWS {
		p.add("OverwriteNothing", "Deny", p.objects(), []string{"s3:PutObject"}, map[string]map[string]any{
			"Null": {"s3:if-none-match": "true"},
			"Bool": {"s3:ObjectCreationOperation": "true"}, // parts of an upload have no condition
		})
	}
	modes := p.modes()
	if modes == nil {
		return
	}
	// They hold for what has no mode as well: nothing is put without a lock, and no lock is taken off.
	p.add("LockEverything", "Deny", p.objects(), []string{"s3:PutObject"}, map[string]map[string]any{"StringNotEquals": {"s3:object-lock-mode": modes}})
	p.add("UnlockNothing", "Deny", p.objects(), []string{"s3:PutObjectRetention"}, map[string]map[string]any{"StringNotEquals": {"s3:object-lock-mode": lockModes}})
	if p.MaxDays > 0 {
		p.add("LockNotForEver", "Deny", p.objects(), []string{"s3:PutObjectRetention"}, map[string]map[string]any{
			"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": fmt.Sprint(p.MaxDays)},
		})
	}
}

func (p *policy) reader() {
	get := []string{"s3:GetObject", "s3:GetObjectVersion"}
	if p.Restore {
		get = append(get, "s3:RestoreObject")
	}
	p.add("Fetch", "Allow", p.objects(), get, nil)
	p.list("s3:ListBucket")
	p.add("LookAtBucket", "Allow", []string{p.bucket}, []string{"s3:GetBucketLocation"}, nil)
	p.kms("kms:Decrypt")
}

func (p *policy) verifier() {
	p.add("Read", "Allow", p.objects(), []string{"s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention", "s3:GetObjectLegalHold"}, nil)
	p.list("s3:ListBucket", "s3:ListBucketVersions")
	p.add("LookAtBucket", "Allow", []string{p.bucket}, readBucket, nil)
	p.kms("kms:Decrypt")
}
