package idp

import (
	"strings"
	"time"
)

// GitLabIssuer is that of an instance of GitLab.
func GitLabIssuer() IssuerConfig {
	return IssuerConfig{Name: "gitlab", Algorithms: []string{"RS256"}, KeysPath: "/oauth/discovery/keys"}
}

// GitLabJob is a job of a pipeline. All ids are texts, as GitLab writes them.
type GitLabJob struct {
	Namespace, NamespaceID string // acme/data
	Project, ProjectID     string // its name without the namespace, and its id
	Ref                    string // main
	Protected              bool
	Audience               string // of id_tokens
}

// GitLabToken is a job's ID token.
func (i *Issuer) GitLabToken(j GitLabJob) Token {
	path, protected := j.Namespace+"/"+j.Project, "false"
	if j.Protected {
		protected = "true"
	}
	return Token{Issuer: i.cfg.Name, Lifetime: time.Hour, Claims: map[string]any{
		"sub": "project_path:" + path + ":ref_type:branch:ref:" + j.Ref, "aud": j.Audience, "nbf": i.srv.Now().Add(-5 * time.Second).Unix(),
		"namespace_id": j.NamespaceID, "namespace_path": j.Namespace, "project_id": j.ProjectID, "project_path": path, "project_visibility": "private",
		"user_id": "12", "user_login": "ada", "user_email": "ada@acme.example", "user_access_level": "maintainer",
		"pipeline_id": "1001", "pipeline_source": "push", "job_id": "2002", "ref": j.Ref, "ref_type": "branch", "ref_path": "refs/heads/" + j.Ref, "ref_protected": protected,
		"runner_id": 1, "runner_environment": "gitlab-hosted", "sha": strings.Repeat("1f", 20),
		"ci_config_ref_uri": "gitlab.example/" + path + "//.gitlab-ci.yml@refs/heads/" + j.Ref, "ci_config_sha": strings.Repeat("1f", 20),
		"groups_direct": []string{"acme"},
	}}
}
