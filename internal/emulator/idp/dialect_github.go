package idp

import (
	"fmt"
	"strings"
	"time"
)

// GitHubIssuer is that of GitHub Actions, of which all workflows of all repositories have tokens.
func GitHubIssuer() IssuerConfig {
	return IssuerConfig{Name: "github", Algorithms: []string{"RS256"}, KeysPath: "/.well-known/jwks"}
}

// GitHubJob is a job of a workflow.
type GitHubJob struct {
	Owner, OwnerID   string
	Repository, ID   string // its name without the owner, and its id
	Ref              string // refs/heads/main
	Environment      string // none where empty
	Audience         string
	ImmutableSubject bool   // names in sub are followed by ids, as in repositories made since July 2026
	Subject          string // what the repository has made of its sub; the default where empty
}

// GitHubToken is a job's.
func (i *Issuer) GitHubToken(j GitHubJob) Token {
	full := j.Owner + "/" + j.Repository
	subject := "repo:" + full
	if j.ImmutableSubject {
		subject = fmt.Sprintf("repo:%s@%s/%s@%s", j.Owner, j.OwnerID, j.Repository, j.ID)
	}
	claims := map[string]any{
		"aud": j.Audience, "nbf": i.srv.Now().Add(-5 * time.Minute).Unix(),
		"repository": full, "repository_id": j.ID, "repository_owner": j.Owner, "repository_owner_id": j.OwnerID, "repository_visibility": "private",
		"ref": j.Ref, "ref_type": "branch", "ref_protected": "true", "sha": strings.Repeat("1f", 20), "event_name": "push",
		"actor": "ada", "actor_id": "12", "run_id": "1001", "run_number": "7", "run_attempt": "1", "runner_environment": "github-hosted",
		"workflow": "nightly", "workflow_ref": full + "/.github/workflows/nightly.yml@" + j.Ref, "workflow_sha": strings.Repeat("1f", 20),
		"job_workflow_ref": full + "/.github/workflows/nightly.yml@" + j.Ref, "job_workflow_sha": strings.Repeat("1f", 20), "head_ref": "", "base_ref": "",
	}
	switch {
	case j.Subject != "":
		claims["sub"] = j.Subject
	case j.Environment != "":
		claims["sub"], claims["environment"] = subject+":environment:"+j.Environment, j.Environment
	default:
		claims["sub"] = subject + ":ref:" + j.Ref
	}
	return Token{Issuer: i.cfg.Name, Claims: claims, Lifetime: 5 * time.Minute}
}
