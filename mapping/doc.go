// Package mapping is the policy: who may become which Databricks service principal. It loads the policy's files, compiles
// them, decides by them, explains its decisions, and runs the tests that stand in them. docs/policy.md describes the
// language.
//
// A policy is compiled once, into a snapshot that never changes; a decision is a few look-ups in it, without I/O, and
// costs the same at 10 rules and at 100,000. Three-valued logic runs through all of it: what depends on groups that are
// not known is unknown, which is not enough for an allow, and enough for a deny.
//
// Loading, in the order in which it happens:
//
//	engine.go           what is in force: prepare, commit, refuse, start; a bad file never replaces a good policy
//	environment.go      what the configuration knows and a policy refers to
//	document.go         the shape of a file
//	compile.go          files -> Policy, every fault at once
//	compile_principal.go  workspaces, principals, names of groups
//	compile_rule.go     rules and access: what they grant, and that they are no wider than they say
//	compile_match.go    the match part of a rule
//	glob.go             patterns
//	condition.go        CEL: checked, bounded and planned at load
//	condition_reads.go  which claims a condition reads
//	tenant.go           whether a pattern or a condition binds a tenant of a shared issuer
//	policy.go           the compiled form
//	index.go            where to look for the rules that can match
//	suite.go            the policy's own tests, suite_run.go runs them
//	lint.go             what loads, and yet should be mended; lint_overlap.go what concerns pairs of rules, lint_actor.go who may act
//	versions.go         accepted policies in the ledger
//
// Deciding:
//
//	own.go         what the service itself uses
//	decide.go      Policy.Decide: target, denies, allows, then what was asked for
//	target.go      audience and resource -> workspace and principal, within what the client may ask for
//	match.go       one rule against one attempt; session.go how young the session of who acts is
//	activation.go  an attempt as CEL sees it
//	remember.go    what a condition came to for one verified token
//	explain.go     the same once more, with everything written down
//	access.go      who may use our own API
//
// Telling, as MappingService of our own API:
//
//	service.go           what it needs, what its methods take, one rule or principal
//	service_list.go      lists and their filters; service_page.go their pages
//	service_explain.go   an attempt by claims or by a token, explained
//	service_past.go      an exchange that was recorded, explained
//	service_versions.go  accepted policies
//	service_message.go   the compiled form in the words of the file
package mapping
