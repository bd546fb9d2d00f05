//! The flow in front of one's eyes: what goes in, step by step, and what it changes.

use std::time::Duration;

use anyhow::{Context, ensure};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    client::request,
    seed::{Person, Ready},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// How often a delivery that was answered 503 is sent again.
const RESENDS: usize = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// Plays the flow against a running, seeded stack. `newest` is the newest commit that the simulated hosts show,
/// `origin` the repository that they were cloned from, where it is one of the organization's.
///
/// # Errors
/// When a step does not do what it says.
pub async fn play(ready: &Ready, newest: Option<&str>, origin: Option<&str>) -> anyhow::Result<()> {
    let demo = Demo::new(ready)?;
    let (ana, bo, cy) = (&ready.members[0], &ready.members[1], demo.outsider);
    say("An issue, linked to work item 31 at Azure DevOps. Nobody is assigned.");
    demo.expect(Value::Null).await?;

    let to = |name: &str, email: &str| json!({ "newValue": format!("{name} <{email}>") });
    say(&format!(
        "Azure DevOps: work item 31 is assigned to {} (revision 1).",
        ana.name
    ));
    demo.deliver(1, to(&ana.name, &ana.email), 200).await?;
    demo.expect(json!(ana.email)).await?;

    say("The same delivery again, as Azure sends it when an answer got lost.");
    demo.deliver(1, to(&ana.name, &ana.email), 200).await?;
    say(&format!(
        "Revision 3 ({}) overtakes revision 2 (nobody).",
        bo.name
    ));
    demo.deliver(3, to(&bo.name, &bo.email), 200).await?;
    demo.expect(json!(bo.email)).await?;
    demo.deliver(2, json!({ "oldValue": "Ana Ruiz <ana@acme.example>" }), 200)
        .await?;

    say("Revision 4: a person without access to the project. The assignee stays.");
    demo.deliver(4, to(&cy.name, &cy.email), 200).await?;

    say("Revision 5: unassigned, through the deassign function.");
    demo.deliver(5, json!({ "oldValue": "Bo Li <bo@acme.example>" }), 200)
        .await?;
    demo.expect(Value::Null).await?;

    say("A delivery with a wrong secret is refused.");
    demo.deliver_with("not-the-secret", 6, to(&ana.name, &ana.email), 401)
        .await?;

    say("What happened, newest first: three changes, each once.");
    let lines = demo.activities(3).await?;
    for line in &lines {
        let who = line["data"]["assigneeEmail"].as_str().unwrap_or("nobody");
        println!(
            "      {}  {:<11} {:<18} because of revision {}",
            line["dateCreated"].as_str().unwrap_or_default(),
            line["type"].as_str().unwrap_or_default(),
            who,
            line["data"]["cause"]["revision"].as_str().unwrap_or("-"),
        );
    }
    match newest {
        Some(newest) => {
            let repository = origin.or(ready.repo_name.as_deref());
            demo.release(newest, repository.unwrap_or_default()).await?;
        }
        None => say("No git repository is here whose commits a release could have."),
    }
    let queues = request(Method::GET, &ready.queues_url, &[], "")
        .await?
        .json();
    println!("\n  The queues now: {queues}\n");
    Ok(())
}

struct Demo<'a> {
    ready: &'a Ready,
    bearer: String,
    outsider: &'a Person,
}

impl<'a> Demo<'a> {
    fn new(ready: &'a Ready) -> anyhow::Result<Self> {
        let token = ready
            .auth_token
            .as_deref()
            .context("the demo needs the seed")?;
        let outsider = ready.outsider.as_ref().context("the demo needs the seed")?;
        Ok(Self {
            ready,
            bearer: format!("Bearer {token}"),
            outsider,
        })
    }

    async fn deliver(&self, revision: u64, assigned_to: Value, status: u16) -> anyhow::Result<()> {
        let secret = self.ready.vsts_shared_secret.as_deref().unwrap_or_default();
        self.deliver_with(secret, revision, assigned_to, status)
            .await
    }

    async fn deliver_with(
        &self,
        secret: &str,
        revision: u64,
        assigned_to: Value,
        status: u16,
    ) -> anyhow::Result<()> {
        let body = json!({
            "eventType": "workitem.updated",
            "resource": {
                "workItemId": 31, "rev": revision,
                "fields": { "System.AssignedTo": assigned_to },
            },
            "resourceContainers": { "collection": { "id": self.ready.vsts_external_id } },
        });
        println!("    -> POST {}", self.ready.vsts_webhook_url);
        println!("       rev {revision}, System.AssignedTo {assigned_to}");
        let headers = [
            ("shared-secret", secret),
            ("content-type", "application/json"),
        ];
        let url = &self.ready.vsts_webhook_url;
        let mut answer = request(Method::POST, url, &headers, body.to_string()).await?;
        // A 503 says that nothing was taken and asks for the delivery again; a sender does that.
        for _ in 0..RESENDS {
            if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                break;
            }
            println!("    <- {}, so it is sent again", answer.status);
            answer = request(Method::POST, url, &headers, body.to_string()).await?;
        }
        println!("    <- {}", answer.status);
        ensure!(
            answer.status.as_u16() == status,
            "expected {status}, got {}",
            answer.status
        );
        Ok(())
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let group = self.ready.group_id.as_deref().unwrap_or_default();
        let url = format!("{}/api/0/issues/{group}/{path}", self.ready.base_url);
        let headers = [("authorization", self.bearer.as_str())];
        Ok(request(Method::GET, &url, &headers, "").await?.json())
    }

    /// A release that names its newest commit alone, as `set-commits --auto` does, and gets the others from the
    /// host.
    async fn release(&self, newest: &str, repository: &str) -> anyhow::Result<()> {
        say("What sentry-cli sends in a clone: releases set-commits web@demo --auto");
        let api = format!("{}/api/0/organizations/acme/", self.ready.base_url);
        let headers = [
            ("authorization", self.bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let send = async |method: Method, path: &str, body: Value| {
            let url = format!("{api}{path}");
            println!("    -> {method} {url}");
            let body = match body.is_null() {
                true => String::new(),
                false => body.to_string(),
            };
            if !body.is_empty() {
                println!("       {body}");
            }
            let answer = request(method, &url, &headers, body).await?;
            println!("    <- {}", answer.status);
            ensure!(answer.status.is_success(), "{}", answer.text());
            anyhow::Ok(answer.json())
        };
        let known = send(Method::GET, "repos/", Value::Null).await?;
        let mut known = known.as_array().into_iter().flatten();
        let found = known.find(|known| known["name"] == repository);
        let found = found.with_context(|| format!("{repository} is not listed"))?;
        println!("       {repository}: {}", found["url"]);
        let new = json!({ "version": "web@demo", "projects": ["web"] });
        send(Method::POST, "releases/", new).await?;
        let refs = json!([{ "repository": repository, "commit": newest, "previousCommit": null }]);
        send(Method::PUT, "releases/web@demo/", json!({ "refs": refs })).await?;
        say("The commits before that one are asked for at its host.");
        let releases = format!("{api}releases/");
        let start = Instant::now();
        loop {
            let url = format!("{releases}web@demo/commits/");
            let commits = request(Method::GET, &url, &headers, "").await?.json();
            if let Some(commit) = commits.get(0) {
                let message = commit["message"].as_str().unwrap_or_default();
                println!(
                    "       {} commits, {} ms later; the newest: {}",
                    commits.as_array().map_or(0, Vec::len),
                    start.elapsed().as_millis(),
                    message.lines().next().unwrap_or_default(),
                );
                return Ok(());
            }
            ensure!(start.elapsed() < PATIENCE, "no commits came: {commits}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the list, which may lag behind the issue, has this many lines.
    async fn activities(&self, count: usize) -> anyhow::Result<Vec<Value>> {
        let start = Instant::now();
        loop {
            let answer = self.get("activities/").await?;
            let lines = answer["activity"].as_array().cloned().unwrap_or_default();
            if lines.len() == count {
                return Ok(lines);
            }
            ensure!(
                start.elapsed() < PATIENCE,
                "expected {count} activities, found {lines:?}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the issue shows this assignee.
    async fn expect(&self, email: Value) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let issue = self.get("").await?;
            if issue["assignedTo"]["email"] == email && issue["id"].is_string() {
                println!(
                    "       {}: assigned to {}, {} ms later",
                    issue["shortId"].as_str().unwrap_or_default(),
                    email.as_str().unwrap_or("nobody"),
                    start.elapsed().as_millis(),
                );
                return Ok(());
            }
            ensure!(
                start.elapsed() < PATIENCE,
                "the issue does not show {email}: {issue}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn say(line: &str) {
    println!("\n  {line}");
}
