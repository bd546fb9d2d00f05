//! Reads a command: its name, then its fields, each error naming the field it is about.

use domain::Fault;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{
    Context, explain, identity, issues, organizations, projects, pull_requests, repositories, sync,
    tokens, undelete,
};

/// Every command: its name, its fields (`?` marks those that may be left out) and what it does.
pub const HELP: [(&str, &str, &str); 26] = [
    ("help", "", "lists the commands"),
    (
        "create-organization",
        "slug, name",
        "makes an organization, or finds the one with the slug",
    ),
    (
        "create-user",
        "email, name, username? (the address), verified? (true), active? (true), self_assign_issue? (false)",
        "adds a person, or sets the given fields of the one with this address",
    ),
    (
        "set-organization",
        "organization, member_project_creation?, resolve_commits_on? (released, stored)",
        "sets whether team admins may make projects (managers and owners always may), and when commits resolve the issues that they refer to",
    ),
    (
        "verify-email",
        "email, verified? (true)",
        "sets whether a person proved their address; only a proven one identifies them",
    ),
    (
        "create-team",
        "organization, slug, name",
        "makes a team, or finds the one with the slug",
    ),
    (
        "add-member",
        "organization, email, role? (member, admin, manager, owner), teams? (slugs)",
        "makes a person a member, or sets the given fields of the member",
    ),
    (
        "set-role",
        "organization, email, role (member, admin, manager, owner)",
        "sets the role of a member",
    ),
    (
        "remove-member",
        "organization, email",
        "ends a person's membership, and takes them out of the teams; the last owner stays",
    ),
    (
        "create-project",
        "organization, team, slug, name, platform?",
        "makes a project that the team has access to, or finds the one with the slug; shows the DSN",
    ),
    (
        "create-key",
        "organization, project, name",
        "makes a client key of a project, or finds the one with the name; shows its DSN",
    ),
    (
        "undelete-project",
        "organization, project (id, or the slug that it had), slug? (the one that it had)",
        "gives back a deleted project of which nothing has been deleted yet",
    ),
    (
        "create-token",
        "name, scopes (a list, or \"all\"), email | organization",
        "makes an API token of a person or an organization; its text is shown this once",
    ),
    (
        "list-tokens",
        "email | organization",
        "lists the API tokens of a person or an organization: names and scopes, never their texts",
    ),
    (
        "revoke-token",
        "name, email | organization",
        "ends an API token, which is refused from then on",
    ),
    (
        "create-integration",
        "organization, provider (vsts, jira_server, github), external_id, name, domain_name, shared_secret?, subscription_id?, status? (active)",
        "connects a tracker to an organization; what is left out stays as it is, and a secret is made where there is none",
    ),
    (
        "list-integrations",
        "organization",
        "lists the integrations of an organization, without their secrets",
    ),
    (
        "create-issue",
        "organization, project, title, culprit?, level? (error), platform?, fingerprint? (the title), release? (the version that it was first seen in)",
        "makes an issue, or finds the one with the fingerprint",
    ),
    (
        "link-external-issue",
        "organization, issue (id or short id), integration (id), key",
        "links an issue to a tracker's issue",
    ),
    (
        "create-repository",
        "organization, name, provider (git, integrations:github, integrations:gitlab, integrations:bitbucket, integrations:vsts), url, integration? (id; its commits are asked for through it), external_id? (its id at Azure DevOps)",
        "makes a repository that clients may name commits of, or sets what is given of the one with the name",
    ),
    (
        "save-pull-request",
        "organization, repository (name), key, title?, message?, author_email?, merge_commit?",
        "stores what is known of a pull request; the issues that it says it resolves know of it, and are resolved by a release with the commit that it was merged with",
    ),
    (
        "set-feature",
        "organization, feature, enabled",
        "switches a feature of an organization",
    ),
    (
        "set-sync",
        "organization, integration (id), switches? (inbound_assignee, outbound_assignee, inbound_status, outbound_status, comments: true or false), states? ({<id of the tracker's project>: {on_resolve, on_unresolve}}: names of states of Azure DevOps, ids of statuses of Jira)",
        "sets what an organization lets an integration do, and which states of the tracker stand for resolved and unresolved; switches left out stay, states are replaced by those that are given",
    ),
    (
        "set-identity",
        "organization, integration (id), identity ({\"vsts\": {access_token, refresh_token?, expires}} | {\"jira_server\": {consumer_key, private_key, access_token}} | {\"github\": {access_token}}), acts_as? (the address that the tracker shows for it)",
        "gives what an organization writes to a tracker with; it is kept sealed and never shown",
    ),
    (
        "explain",
        "organization, issue | integration (id) and key | delivery, delivery?",
        "tells how the deliveries about an issue ended, and what trackers were told, and why; all that one delivery set off",
    ),
    (
        "clear-owner-caches",
        "organization, project",
        "forgets who owns the issues of a project that were seen in the last day, as far as it is remembered in Redis",
    ),
];

pub(crate) async fn run(context: &Context, payload: &str) -> Result<Value, Fault> {
    let parsed: Result<Value, _> = serde_json::from_str(payload);
    let parsed = parsed.map_err(|e| Fault::detail(format!("JSON parse error - {e}")))?;
    let Value::Object(mut fields) = parsed else {
        return Err(Fault::detail(
            "A command is a JSON object, like {\"command\":\"help\"}.",
        ));
    };
    let name = match fields.remove("command") {
        Some(Value::String(name)) => name,
        Some(_) => return Err(Fault::field("command", "Not a string.")),
        None => return Err(Fault::field("command", "This field is required.")),
    };
    match name.as_str() {
        "help" => Ok(help()),
        "create-organization" => organizations::create(context, read(fields)?).await,
        "create-user" => organizations::create_user(context, read(fields)?).await,
        "create-team" => organizations::create_team(context, read(fields)?).await,
        "add-member" => organizations::add_member(context, read(fields)?).await,
        "remove-member" => organizations::remove_member(context, read(fields)?).await,
        "undelete-project" => undelete::undelete(context, read(fields)?).await,
        "set-role" => organizations::set_role(context, read(fields)?).await,
        "set-organization" => organizations::set(context, read(fields)?).await,
        "verify-email" => organizations::verify_email(context, read(fields)?).await,
        "create-project" => projects::create(context, read(fields)?).await,
        "create-key" => projects::create_key(context, read(fields)?).await,
        "create-token" => tokens::create(context, read(fields)?).await,
        "list-tokens" => tokens::list(context, read(fields)?).await,
        "revoke-token" => tokens::revoke(context, read(fields)?).await,
        "list-integrations" => sync::list_integrations(context, read(fields)?).await,
        "create-integration" => sync::create_integration(context, read(fields)?).await,
        "create-issue" => issues::create(context, read(fields)?).await,
        "link-external-issue" => issues::link(context, read(fields)?).await,
        "create-repository" => repositories::create(context, read(fields)?).await,
        "save-pull-request" => pull_requests::save(context, read(fields)?).await,
        "set-feature" => sync::set_feature(context, read(fields)?).await,
        "set-sync" => sync::set_sync(context, read(fields)?).await,
        "set-identity" => identity::set_identity(context, read(fields)?).await,
        "explain" => explain::explain(context, read(fields)?).await,
        "clear-owner-caches" => issues::clear_owner_caches(context, read(fields)?).await,
        other => {
            let known: Vec<_> = HELP.iter().map(|(name, _, _)| *name).collect();
            let text = format!(
                "There is no command \"{other}\"; there are {}.",
                known.join(", ")
            );
            Err(Fault::field("command", text))
        }
    }
}

fn help() -> Value {
    let commands =
        HELP.map(|(name, fields, does)| json!({ "command": name, "fields": fields, "does": does }));
    json!({ "commands": commands })
}

fn read<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Fault> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let path = error.path().to_string();
        let text = error.inner().to_string();
        // A missing or unknown field is an error of the whole object; its text holds the name.
        let quoted = text.split('`').nth(1).unwrap_or_default();
        if text.starts_with("missing field") {
            Fault::field(quoted, "This field is required.")
        } else if text.starts_with("unknown field") {
            Fault::field(quoted, format!("There is no such field: {text}."))
        } else {
            Fault::field(path, format!("Not valid: {}.", text.trim_end_matches('.')))
        }
    })
}
