package aws

import (
	"errors"
	"regexp"
	"strings"

	"github.com/lakegate/sts/internal/jwt"
)

// caller is whom AWS says that a request is of.
type caller struct {
	account string // 12 digits
	arn     string // as AWS writes it, the session included
	userID  string // AWS's own, never given twice
	subject string // the ARN of the role or the user
	role    string // a role's name and its session's, or a user's
	session string
	user    string
}

// maxSubjectBytes bounds a subject, as in other kinds of tokens. A user's path can be longer.
const maxSubjectBytes = 255

// The forms of ARNs that are accepted. A session's ARN has its role's name without the role's path, which is the same role:
// names of roles are unique in an account. The root user is nobody, and a federated user is named by whoever makes him up.
// IAM lets a user's path hold all of ASCII; here it holds what names do, or user/x:role/etl would match *:role/etl.
var (
	arnText     = regexp.MustCompile(`^arn:([a-z-]+):(iam|sts)::([0-9]{12}):([!-~]{1,700})$`)
	assumedRole = regexp.MustCompile(`^assumed-role/([A-Za-z0-9_+=,.@-]{1,64})/([A-Za-z0-9_+=,.@-]{2,64})$`)
	iamUser     = regexp.MustCompile(`^user/(?:[A-Za-z0-9_+=,.@/-]*/)?([A-Za-z0-9_+=,.@-]{1,64})$`)
	uniqueID    = regexp.MustCompile(`^[A-Za-z0-9_+=,.@:-]{1,193}$`)
)

var errAnswer = errors.New("answered what is no GetCallerIdentity answer")

// parseCaller reads AWS's answer. An error means that it isn't one. Whom it names may still be somebody whom we don't
// accept: then he has no subject.
func parseCaller(body, partition string) (*caller, error) {
	object, err := jwt.ParseObject(body)
	if err != nil {
		return nil, errAnswer
	}
	response, _ := object["GetCallerIdentityResponse"].(map[string]any)
	result, _ := response["GetCallerIdentityResult"].(map[string]any)
	c := &caller{}
	c.account, _ = result["Account"].(string)
	c.arn, _ = result["Arn"].(string)
	c.userID, _ = result["UserId"].(string)
	m := arnText.FindStringSubmatch(c.arn)
	if m == nil || m[1] != partition || m[3] != c.account || !uniqueID.MatchString(c.userID) {
		return nil, errAnswer
	}
	c.resource(m[1], m[2], m[4])
	return c, nil
}

// resource finds the subject.
func (c *caller) resource(partition, service, resource string) {
	prefix := "arn:" + partition + ":iam::" + c.account + ":"
	if m := assumedRole.FindStringSubmatch(resource); m != nil && service == "sts" {
		c.role, c.session, c.subject = m[1], m[2], prefix+"role/"+m[1]
	}
	if m := iamUser.FindStringSubmatch(resource); m != nil && service == "iam" {
		c.user, c.subject = m[1], c.arn
	}
}

// kind says what a caller without a subject is.
func (c *caller) kind() string {
	switch {
	case strings.HasSuffix(c.arn, ":root"):
		return "the root user of an AWS account"
	case strings.Contains(c.arn, ":federated-user/"):
		return "a federated user, whom anybody with GetFederationToken can name"
	case strings.Contains(c.arn, ":user/"):
		return "an IAM user whose path has characters that names don't have"
	}
	return "neither an IAM role nor an IAM user"
}

// claims are what a policy's conditions can read.
func (c *caller) claims(r region) map[string]any {
	claims := map[string]any{"account": c.account, "arn": c.arn, "user_id": c.userID, "region": r.name, "partition": r.partition}
	for name, value := range map[string]string{"role": c.role, "session_name": c.session, "user": c.user} {
		if value != "" {
			claims[name] = value
		}
	}
	return claims
}
