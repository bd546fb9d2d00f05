//! Azure DevOps as far as the bundle calls it: work items and who has them, the users of an account, the
//! commits of a repository, and the tokens that calls are made with.

mod hooks;
mod repositories;
mod tokens;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use base64::{Engine, prelude::BASE64_STANDARD};
use runtime::Clock;
use serde::Deserialize;
use serde_json::{Value, json};

use self::hooks::{Change, Hooks};
use self::tokens::Tokens;
use super::git::Git;
use super::people::{self, Person};
use super::wire::{Answer, Asked};

pub(super) use self::hooks::Hook;
pub use self::repositories::AZURE_REPOSITORY;
pub use self::tokens::AzureIdentity;

const ACCOUNT: &str = "acme";
const USERS_HOST: &str = "acme.vssps.visualstudio.com";
const TOKENS_HOST: &str = "app.vssps.visualstudio.com";

const VERSION: &str = "application/json; api-version=4.1";
const PREVIEW: &str = "application/json; api-version=4.1-preview.1";
const JSON_PATCH: &str = "application/json-patch+json";
const ASSIGNED_TO: &str = "/fields/System.AssignedTo";
const STATE: &str = "/fields/System.State";

/// The states of a work item, the first one of new ones.
const STATES: [&str; 4] = ["Active", "New", "Resolved", "Closed"];
/// The one project.
const PROJECT: (&str, &str) = ("5c1e1d4e-8a55-4f0b-9d61-0d2b5a3c7e21", "web");

const PAGE: usize = 2;
/// Every work item below this number exists.
const WORK_ITEMS: u64 = 10_000;

/// What a work item is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkItem {
    /// Its revision.
    pub rev: u64,
    /// The assignee's address as Azure DevOps spells it; `None`: nobody.
    pub assignee: Option<String>,
    /// The name of its state.
    pub state: &'static str,
}

/// The account "acme".
#[derive(Debug)]
pub(super) struct AzureDevOps {
    /// Those that were ever changed.
    items: BTreeMap<u64, Item>,
    pub(super) tokens: Tokens,
    pub(super) hooks: Hooks,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    revision: u64,
    assignee: Option<&'static Person>,
    state: &'static str,
    changed_by: &'static Person,
}

impl Default for Item {
    fn default() -> Self {
        Self {
            revision: 1,
            assignee: None,
            state: STATES[0],
            changed_by: people::USER,
        }
    }
}

#[derive(Deserialize)]
struct Operation {
    op: String,
    path: String,
    #[serde(default)]
    value: Value,
}

impl AzureDevOps {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            items: BTreeMap::new(),
            tokens: Tokens::new(clock),
            hooks: Hooks::default(),
        }
    }

    /// `git` is `None` while no commit is known.
    pub(super) fn answer(
        &mut self,
        asked: &Asked,
        git: Option<&Git>,
        clock: &Clock,
    ) -> Result<Answer, Answer> {
        match (asked.method(), &asked.segments()[..]) {
            ("POST", [TOKENS_HOST, "oauth2", "token"]) => self.tokens.refresh(asked, clock),
            ("GET", [USERS_HOST, "_apis", "graph", "users"]) => {
                self.tokens.check(asked, clock)?;
                users(asked)
            }
            ("GET", ["dev.azure.com", ACCOUNT, "_apis", "wit", "workitems", id]) => {
                self.tokens.check(asked, clock)?;
                check_version(asked, VERSION)?;
                Ok(self.shown(existing(id)?))
            }
            ("GET", ["dev.azure.com", ACCOUNT, "_apis", "projects"]) => {
                self.tokens.check(asked, clock)?;
                check_version(asked, VERSION)?;
                Ok(projects(asked))
            }
            ("PATCH", ["dev.azure.com", ACCOUNT, "_apis", "wit", "workitems", id]) => {
                self.tokens.check(asked, clock)?;
                check_version(asked, VERSION)?;
                self.patch(existing(id)?, asked, clock)
            }
            (
                _,
                [
                    "dev.azure.com",
                    ACCOUNT,
                    "_apis",
                    "git",
                    "repositories",
                    resource @ ..,
                ],
            ) => {
                self.tokens.check(asked, clock)?;
                repositories::answer(asked, resource, git)
            }
            _ => Err(Answer::not_emulated(asked)),
        }
    }

    /// All operations are carried out, or none.
    fn patch(&mut self, id: u64, asked: &Asked, clock: &Clock) -> Result<Answer, Answer> {
        if asked.content_type() != Some(JSON_PATCH) {
            return Err(bad_request(
                "The content type has to be application/json-patch+json.",
            ));
        }
        let operations: Vec<Operation> = serde_json::from_slice(asked.body()).map_err(|_| {
            bad_request("You must pass a valid patch document in the body of the request.")
        })?;
        let mut after = self.item(id);
        for operation in &operations {
            match operation.path.as_str() {
                STATE => after.state = state(operation)?,
                _ => after.assignee = assigned(operation)?,
            }
        }
        self.change(id, after, &people::SERVICE, clock);
        Ok(self.shown(id))
    }

    /// A change that changes nothing makes no revision, and nobody hears of it.
    fn change(&mut self, id: u64, after: Item, by: &'static Person, clock: &Clock) {
        let before = self.item(id);
        if (before.assignee, before.state) == (after.assignee, after.state) {
            return;
        }
        let after = Item {
            revision: before.revision + 1,
            changed_by: by,
            ..after
        };
        self.items.insert(id, after);
        self.hooks.add(&Change { id, before, after }, clock);
    }

    /// A user of Azure DevOps assigns a work item.
    ///
    /// # Panics
    /// When there is no such work item.
    pub(super) fn change_as_user(&mut self, key: &str, to: Option<&'static Person>, clock: &Clock) {
        let id = work_item_id(key).unwrap_or_else(|| panic!("there is no work item {key:?}"));
        let after = Item {
            assignee: to,
            ..self.item(id)
        };
        self.change(id, after, people::USER, clock);
    }

    /// What work item there is.
    ///
    /// # Panics
    /// When there is none.
    pub(super) fn work_item(&self, id: u64) -> WorkItem {
        assert!((1..WORK_ITEMS).contains(&id), "there is no work item {id}");
        let item = self.item(id);
        WorkItem {
            rev: item.revision,
            assignee: item.assignee.map(|person| person.unique_name().to_owned()),
            state: item.state,
        }
    }

    fn item(&self, id: u64) -> Item {
        self.items.get(&id).copied().unwrap_or_default()
    }

    fn shown(&self, id: u64) -> Answer {
        let item = self.item(id);
        let mut fields = json!({
            "System.Id": id,
            "System.TeamProject": PROJECT.1,
            "System.WorkItemType": "Bug",
            "System.State": item.state,
            "System.Title": format!("Work item {id}"),
            "System.ChangedBy": identity(item.changed_by),
        });
        if let Some(person) = item.assignee {
            fields["System.AssignedTo"] = identity(person);
        }
        let url = format!("https://dev.azure.com/{ACCOUNT}/_apis/wit/workItems/{id}");
        let body = json!({ "id": id, "rev": item.revision, "fields": fields, "url": url });
        Answer::json(StatusCode::OK, &body)
    }
}

fn work_item_id(text: &str) -> Option<u64> {
    let id = text.parse().ok()?;
    (1..WORK_ITEMS).contains(&id).then_some(id)
}

fn existing(text: &str) -> Result<u64, Answer> {
    work_item_id(text).ok_or_else(|| {
        let message = format!(
            "TF401232: Work item {text} does not exist, or you do not have permissions to read it."
        );
        refusal(StatusCode::NOT_FOUND, &message)
    })
}

/// Azure DevOps resolves more than an address in its own spelling; the bundle sends nothing else.
fn assigned(operation: &Operation) -> Result<Option<&'static Person>, Answer> {
    let value = operation.value.as_str();
    match (operation.op.as_str(), operation.path.as_str(), value) {
        ("remove", ASSIGNED_TO, _) | ("add" | "replace", ASSIGNED_TO, Some("")) => Ok(None),
        ("add" | "replace", ASSIGNED_TO, Some(address)) => {
            let person = people::all().find(|person| person.azure == Some(address));
            person.map(Some).ok_or_else(|| {
                bad_request(&format!(
                    "The identity value '{address}' for field 'Assigned To' is an unknown identity."
                ))
            })
        }
        (op, path, _) => Err(bad_request(&format!(
            "cargo local does not emulate {op} of {path} with this value"
        ))),
    }
}

fn state(operation: &Operation) -> Result<&'static str, Answer> {
    let value = operation.value.as_str().unwrap_or_default();
    let known = STATES.into_iter().find(|state| *state == value);
    match (operation.op.as_str(), known) {
        ("add" | "replace", Some(state)) => Ok(state),
        _ => Err(bad_request(&format!(
            "The field 'State' contains the value '{value}' that is not in the list of supported values"
        ))),
    }
}

/// One project, on the first page.
fn projects(asked: &Asked) -> Answer {
    let first = asked.parameter("$skip").is_none_or(|skip| skip == "0");
    let (id, name) = PROJECT;
    let all = [json!({ "id": id, "name": name, "state": "wellFormed" })];
    let page = &all[..usize::from(first)];
    Answer::json(
        StatusCode::OK,
        &json!({ "count": page.len(), "value": page }),
    )
}

fn users(asked: &Asked) -> Result<Answer, Answer> {
    check_version(asked, PREVIEW)?;
    let from = match asked.parameter("continuationToken") {
        Some(token) => {
            page_start(&token).ok_or_else(|| bad_request("The continuation token is invalid."))?
        }
        None => 0,
    };
    let everybody: Vec<_> = people::all().collect();
    let page: Vec<_> = everybody.iter().skip(from).take(PAGE).collect();
    let value: Vec<_> = page.iter().map(|person| graph_user(person)).collect();
    let body = json!({ "count": value.len(), "value": value });
    let answer = Answer::json(StatusCode::OK, &body);
    let next = from + PAGE;
    Ok(match next < everybody.len() {
        true => answer.with("x-ms-continuationtoken", page_token(next)),
        false => answer,
    })
}

/// Nothing that a client could count on, and nothing that fits into a query as it is.
fn page_token(start: usize) -> String {
    BASE64_STANDARD.encode(format!("users/{start}?"))
}

fn page_start(token: &str) -> Option<usize> {
    let text = String::from_utf8(BASE64_STANDARD.decode(token).ok()?).ok()?;
    text.strip_prefix("users/")?.strip_suffix('?')?.parse().ok()
}

fn graph_user(person: &Person) -> Value {
    let mut user = json!({
        "subjectKind": "user",
        "origin": "aad",
        "displayName": person.name,
        "principalName": person.unique_name(),
        "descriptor": descriptor(person),
    });
    if let Some(address) = person.azure {
        user["mailAddress"] = address.into();
    }
    user
}

fn identity(person: &Person) -> Value {
    json!({
        "displayName": person.name,
        "uniqueName": person.unique_name(),
        "descriptor": descriptor(person),
    })
}

fn descriptor(person: &Person) -> String {
    format!("aad.{}", BASE64_STANDARD.encode(person.jira))
}

fn check_version(asked: &Asked, expected: &str) -> Result<(), Answer> {
    match asked.header("accept") {
        Some(accept) if accept == expected => Ok(()),
        accept => Err(bad_request(&format!(
            "This call is for {expected}, not for {}.",
            accept.unwrap_or("no version")
        ))),
    }
}

fn bad_request(message: &str) -> Answer {
    refusal(StatusCode::BAD_REQUEST, message)
}

/// An error in Azure's shape.
pub(super) fn refusal(status: StatusCode, message: &str) -> Answer {
    let body = json!({ "$id": "1", "innerException": null, "message": message, "errorCode": 0 });
    Answer::json(status, &body)
}
