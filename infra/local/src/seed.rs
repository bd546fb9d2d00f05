//! A small organization to try things with. It is made through the `operator` function, like any other.

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Stack,
    trackers::{AZURE_REPOSITORY, Provider},
};

const ORGANIZATION: &str = "acme";
const PROJECT: &str = "web";
const COLLECTION: &str = "7f9c1f0e-4d0a-4c58-9a55-2f0f6a1f3b31";
const REPOSITORY: &str = "acme/web";
const REPOSITORY_URL: &str = "https://github.com/acme/web.git";
const WORK_ITEM: &str = "31";
const JIRA_ISSUE: &str = "WEB-7";
/// The trackers' own ids of their projects.
const AZURE_PROJECT: &str = "5c1e1d4e-8a55-4f0b-9d61-0d2b5a3c7e21";
const JIRA_PROJECT: &str = "10000";
/// Whom the simulated Azure DevOps shows as the author of what is written with our token.
const AZURE_AUTHOR: &str = "picket-sync@acme.example";

/// What other programs need to know of a started stack. A field whose part does not exist is null.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs)] // the names are the interface; README.md explains them
pub struct Ready {
    pub base_url: String,
    pub org: Option<String>,
    pub project: Option<String>,
    pub project_id: Option<String>,
    pub auth_token: Option<String>,
    pub dsn: Option<String>,
    pub repo_name: Option<String>,
    pub repo_url: Option<String>,
    pub vsts_webhook_url: String,
    pub vsts_external_id: Option<String>,
    pub vsts_shared_secret: Option<String>,
    pub jira_webhook_url: Option<String>,
    pub discord_interactions_url: Option<String>,
    pub discord_signing_key: Option<String>,
    pub mail_url: Option<String>,
    pub queues_url: String,
    pub requests_url: Option<String>,
    pub group_id: Option<String>,
    pub group_short_id: Option<String>,
    pub members: Vec<Person>,
    pub outsider: Option<Person>,
}

/// A seeded person.
#[derive(Debug, Clone, Serialize)]
pub struct Person {
    /// The user's id.
    pub id: String,
    /// The user's name.
    pub name: String,
    /// The user's verified address.
    pub email: String,
}

impl Ready {
    /// What is known of a stack without a seed.
    pub fn of(stack: &Stack) -> Self {
        let url = stack.base_url();
        Self {
            base_url: url.to_owned(),
            vsts_webhook_url: format!("{url}/extensions/vsts/issue-updated/"),
            queues_url: format!("{url}/_local/queues"),
            mail_url: Some(format!("{url}/_local/mail")),
            requests_url: Some(format!("{url}/_local/requests")),
            ..Self::default()
        }
    }

    /// Removes a file of an earlier start, which names what is gone, and makes sure that a new one can
    /// be written.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub fn prepare(file: &Path) -> anyhow::Result<()> {
        tempfile::NamedTempFile::new_in(directory(file))
            .with_context(|| format!("the ready file {} cannot be written", file.display()))?;
        Self::remove(file)
    }

    /// Removes the file, if it is there.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub fn remove(file: &Path) -> anyhow::Result<()> {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("the old ready file {}", file.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Writes the file in one step: whoever sees it sees all of it.
    ///
    /// # Errors
    /// When the directory cannot be written to.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let temporary =
            tempfile::NamedTempFile::new_in(directory(file)).context("the ready file")?;
        serde_json::to_writer_pretty(&temporary, self)?;
        temporary.persist(file).context("the ready file")?;
        Ok(())
    }
}

/// Carries out a command, and makes an error of a refusal.
///
/// # Errors
/// The operator's own words.
pub async fn operator(stack: &Stack, command: Value) -> anyhow::Result<Value> {
    let answer = stack.invoke("operator", command.to_string()).await;
    let answer: Value = serde_json::from_str(&answer.map_err(anyhow::Error::msg)?)?;
    match answer.get("error") {
        Some(error) => bail!("{command}: {error}"),
        None => Ok(answer),
    }
}

/// Makes the organization "acme" with all that the ready file names.
///
/// # Errors
/// When a command is refused.
pub async fn seed(stack: &Arc<Stack>) -> anyhow::Result<Ready> {
    let run = async |command: Value| operator(stack, command).await;
    let organization = ORGANIZATION;
    run(json!({ "command": "create-organization", "slug": organization, "name": "Acme" })).await?;
    run(json!({ "command": "create-team", "organization": organization, "slug": "web-team", "name": "Web team" })).await?;
    let mut people = Vec::new();
    for (name, role, teams) in [
        ("Ana Ruiz", "owner", json!(["web-team"])),
        ("Bo Li", "member", json!(["web-team"])),
        ("Cy Moss", "member", json!([])),
    ] {
        let first = name.split(' ').next().unwrap_or_default().to_lowercase();
        let email = format!("{first}@acme.example");
        let user =
            json!({ "command": "create-user", "email": email, "name": name, "username": first });
        let user = run(user).await?;
        run(json!({ "command": "add-member", "organization": organization, "email": email, "role": role, "teams": teams })).await?;
        people.push(Person {
            id: text(&user["user"]["id"]),
            name: name.to_owned(),
            email,
        });
    }
    let project = run(json!({
        "command": "create-project", "organization": organization, "team": "web-team",
        "slug": PROJECT, "name": "Web", "platform": "python",
    }))
    .await?;
    let token = run(json!({
        "command": "create-token", "email": people[0].email, "scopes": "all",
        // A kept table knows the tokens of earlier starts, and cannot show them again.
        "name": format!("cargo local {}", stack.clock().now()),
    }))
    .await?;
    for feature in ["integrations-issue-basic", "integrations-issue-sync"] {
        run(json!({ "command": "set-feature", "organization": organization, "feature": feature, "enabled": true })).await?;
    }
    let integration = run(json!({
        "command": "create-integration", "organization": organization, "provider": "vsts",
        "external_id": COLLECTION, "name": "acme", "domain_name": "https://dev.azure.com/acme/",
    }))
    .await?["integration"]
        .take();
    let shared_secret = text(&integration["shared_secret"]);
    stack.trackers().subscribe(COLLECTION, &shared_secret);
    run(json!({
        "command": "set-sync", "organization": organization, "integration": integration["id"],
        "states": { AZURE_PROJECT: { "on_resolve": "Resolved", "on_unresolve": "Active" } },
        "switches": {
            "inbound_assignee": true, "outbound_assignee": true,
            "inbound_status": true, "outbound_status": true,
        },
    }))
    .await?;
    let issue = run(json!({
        "command": "create-issue", "organization": organization, "project": PROJECT,
        "title": "KeyError: 'user'", "culprit": "app.views in index",
    }))
    .await?["issue"]
        .take();
    run(json!({
        "command": "link-external-issue", "organization": organization,
        "issue": issue["short_id"], "integration": integration["id"], "key": WORK_ITEM,
    }))
    .await?;
    run(json!({
        "command": "set-identity", "organization": organization, "integration": integration["id"],
        "identity": { "vsts": stack.trackers().azure_identity() }, "acts_as": AZURE_AUTHOR,
    }))
    .await?;
    let jira = stack.trackers().jira_identity();
    let key = format!("jira.acme.example:{}", jira.consumer_key);
    let tracker = run(json!({
        "command": "create-integration", "organization": organization, "provider": "jira_server",
        "external_id": key, "name": "Acme Jira", "domain_name": "https://jira.acme.example/",
    }))
    .await?["integration"]
        .take();
    run(json!({
        "command": "set-identity", "organization": organization, "integration": tracker["id"],
        "identity": { "jira_server": jira },
    }))
    .await?;
    run(json!({
        "command": "set-sync", "organization": organization, "integration": tracker["id"],
        "states": { JIRA_PROJECT: { "on_resolve": "5", "on_unresolve": "1" } },
        "switches": {
            "inbound_assignee": true, "outbound_assignee": true,
            "inbound_status": true, "outbound_status": true,
        },
    }))
    .await?;
    run(json!({
        "command": "link-external-issue", "organization": organization,
        "issue": issue["short_id"], "integration": tracker["id"], "key": JIRA_ISSUE,
    }))
    .await?;
    let host = run(json!({
        "command": "create-integration", "organization": organization, "provider": "github",
        "external_id": "acme", "name": "acme", "domain_name": "https://github.com/",
    }))
    .await?["integration"]
        .take();
    run(json!({
        "command": "set-identity", "organization": organization, "integration": host["id"],
        "identity": { "github": stack.trackers().github_identity() },
    }))
    .await?;
    run(json!({
        "command": "create-repository", "organization": organization, "name": REPOSITORY,
        "provider": "integrations:github", "url": REPOSITORY_URL, "integration": host["id"],
    }))
    .await?;
    let outsider = people.pop();
    Ok(Ready {
        org: Some(organization.to_owned()),
        project: Some(PROJECT.to_owned()),
        project_id: Some(text(&project["project"]["id"])),
        auth_token: Some(text(&token["token"]["text"])),
        repo_name: Some(REPOSITORY.to_owned()),
        repo_url: Some(REPOSITORY_URL.to_owned()),
        vsts_external_id: Some(COLLECTION.to_owned()),
        vsts_shared_secret: Some(shared_secret),
        group_id: Some(text(&issue["id"])),
        group_short_id: Some(text(&issue["short_id"])),
        members: people,
        outsider,
        ..Ready::of(stack)
    })
}

/// Adds the repository that the shown git repository was cloned from to the organization "acme", and gives its
/// name. `None`: it came from no host whose commits can be fetched.
///
/// # Errors
/// When a command is refused.
pub async fn seed_origin(stack: &Stack) -> anyhow::Result<Option<String>> {
    let Some(origin) = stack.trackers().origin() else {
        return Ok(None);
    };
    let command = json!({ "command": "list-integrations", "organization": ORGANIZATION });
    let integrations = operator(stack, command).await?["integrations"].take();
    let provider = serde_json::to_value(origin.provider)?;
    let mut integrations = integrations.as_array().into_iter().flatten();
    let host = integrations.find(|it| it["provider"] == provider);
    let mut new = json!({
        "command": "create-repository", "organization": ORGANIZATION, "name": origin.name,
        "url": origin.url, "integration": host.context("no integration of the host")?["id"],
    });
    match origin.provider {
        Provider::Vsts => {
            new["provider"] = "integrations:vsts".into();
            new["external_id"] = AZURE_REPOSITORY.into();
        }
        Provider::Github => {
            new["provider"] = "integrations:github".into();
            stack.trackers().add_repository(&origin.name);
        }
        Provider::JiraServer => bail!("Jira has no repositories"),
    }
    operator(stack, new).await?;
    Ok(Some(origin.name))
}

fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
