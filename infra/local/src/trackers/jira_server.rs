//! Jira Server as far as the bundle calls it: issues of one project, who has them, who can, and their statuses.
//!
//! No webhook is sent: the front has no route for one yet.

mod oauth;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use runtime::Clock;
use serde::Serialize;
use serde_json::{Value, json};

use self::oauth::Door;
use super::people::{self, Person};
use super::wire::{Answer, Asked};

const HOST: &str = "jira.acme.example";
const PROJECT: &str = "WEB";
const PROJECT_ID: &str = "10000";

/// The statuses of an issue, the first one of new ones, each by id and name. A transition leads from each to
/// each other one.
const STATUSES: [(&str, &str); 3] = [("1", "Open"), ("3", "In Progress"), ("5", "Resolved")];

/// What an application link to the simulated Jira is set up with. For this machine only: the key is in the
/// repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JiraIdentity {
    /// The link's name for Picket.
    pub consumer_key: String,
    /// In PEM, PKCS#8.
    pub private_key: String,
    /// On whose behalf calls are made.
    pub access_token: String,
}

/// The Jira at `jira.acme.example`.
#[derive(Debug)]
pub(super) struct JiraServer {
    door: Door,
    /// Those that were ever assigned.
    assignees: BTreeMap<u64, Option<&'static Person>>,
    /// The statuses of those that were ever moved, by their place in [`STATUSES`].
    statuses: BTreeMap<u64, usize>,
}

impl JiraServer {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            door: Door::new()?,
            assignees: BTreeMap::new(),
            statuses: BTreeMap::new(),
        })
    }

    pub(super) fn identity() -> JiraIdentity {
        oauth::identity()
    }

    pub(super) fn answer(&mut self, asked: &Asked, clock: &Clock) -> Result<Answer, Answer> {
        let segments = asked.segments();
        let [HOST, "rest", "api", "2", resource @ ..] = &segments[..] else {
            return Err(Answer::not_emulated(asked));
        };
        self.door.admit(asked, clock).map_err(turned_away)?;
        let fields = asked.parameter("fields");
        match (asked.method(), resource) {
            ("GET", ["issue", key]) if fields.as_deref() == Some("assignee") => self.issue(key),
            ("GET", ["issue", key]) if fields.as_deref() == Some("status,project") => {
                self.placed(key)
            }
            ("GET", ["issue", key, "transitions"]) => self.transitions(key),
            ("POST", ["issue", key, "transitions"]) => self.make_transition(key, asked),
            ("PUT", ["issue", key, "assignee"]) => self.put_assignee(key, asked),
            ("GET", ["user", "assignable", "search"]) => assignable(asked),
            _ => Err(Answer::not_emulated(asked)),
        }
    }

    fn issue(&self, key: &str) -> Result<Answer, Answer> {
        let number = existing(key)?;
        let assignee = self.assignee(number).map(user);
        let body = json!({
            "id": (10_000 + number).to_string(),
            "self": format!("https://{HOST}/rest/api/2/issue/{}", 10_000 + number),
            "key": key,
            "fields": { "assignee": assignee },
        });
        Ok(Answer::json(StatusCode::OK, &body))
    }

    fn placed(&self, key: &str) -> Result<Answer, Answer> {
        let number = existing(key)?;
        let (id, name) = STATUSES[self.status(number)];
        let body = json!({
            "id": (10_000 + number).to_string(),
            "key": key,
            "fields": {
                "status": { "id": id, "name": name },
                "project": { "id": PROJECT_ID, "key": PROJECT },
            },
        });
        Ok(Answer::json(StatusCode::OK, &body))
    }

    fn transitions(&self, key: &str) -> Result<Answer, Answer> {
        let present = self.status(existing(key)?);
        let others = STATUSES
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != present);
        let shown = others.map(|(place, (id, name))| {
            json!({ "id": transition(place), "name": name, "to": { "id": id, "name": name } })
        });
        let shown: Vec<_> = shown.collect();
        Ok(Answer::json(
            StatusCode::OK,
            &json!({ "expand": "transitions", "transitions": shown }),
        ))
    }

    fn make_transition(&mut self, key: &str, asked: &Asked) -> Result<Answer, Answer> {
        let number = existing(key)?;
        let body: Value = serde_json::from_slice(asked.body()).unwrap_or_default();
        let id = body["transition"]["id"].as_str().unwrap_or_default();
        let places = 0..STATUSES.len();
        let found = places
            .filter(|place| *place != self.status(number))
            .find(|place| transition(*place) == id);
        let Some(place) = found else {
            let message = format!(
                "It seems that you have tried to perform an illegal workflow operation: {id}"
            );
            return Err(refusal(StatusCode::BAD_REQUEST, &message));
        };
        self.statuses.insert(number, place);
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }

    fn status(&self, number: u64) -> usize {
        self.statuses.get(&number).copied().unwrap_or_default()
    }

    /// The name of an issue's status.
    ///
    /// # Panics
    /// When there is no such issue.
    pub(super) fn issue_status(&self, key: &str) -> &'static str {
        STATUSES[self.status(known(key))].1
    }

    fn put_assignee(&mut self, key: &str, asked: &Asked) -> Result<Answer, Answer> {
        let number = existing(key)?;
        if asked.content_type() != Some("application/json") {
            return Err(Answer::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let body: Value = serde_json::from_slice(asked.body()).unwrap_or_default();
        let assignee = match body.get("name") {
            Some(Value::Null) => None,
            Some(Value::String(name)) => Some(by_name(name).ok_or_else(|| {
                invalid_assignee(&format!("User '{name}' cannot be assigned issues."))
            })?),
            Some(_) | None => return Err(invalid_assignee("a name, or null, is expected")),
        };
        self.assignees.insert(number, assignee);
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }

    /// A user of Jira assigns an issue.
    ///
    /// # Panics
    /// When there is no such issue.
    pub(super) fn change_as_user(&mut self, key: &str, to: Option<&'static Person>) {
        self.assignees.insert(known(key), to);
    }

    /// The name of who has an issue.
    ///
    /// # Panics
    /// When there is no such issue.
    pub(super) fn issue_assignee(&self, key: &str) -> Option<String> {
        let person = self.assignee(known(key))?;
        Some(person.jira.to_owned())
    }

    fn assignee(&self, number: u64) -> Option<&'static Person> {
        self.assignees.get(&number).copied().flatten()
    }
}

/// The id of the transition that leads to a status, by its place.
fn transition(place: usize) -> String {
    format!("{}1", place + 1)
}

/// Any issue of the one project exists.
fn issue_number(key: &str) -> Option<u64> {
    let digits = key.strip_prefix(PROJECT)?.strip_prefix('-')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    plain.then(|| digits.parse().ok()).flatten()
}

fn known(key: &str) -> u64 {
    issue_number(key).unwrap_or_else(|| panic!("there is no issue {key:?}"))
}

fn existing(key: &str) -> Result<u64, Answer> {
    issue_number(key).ok_or_else(|| refusal(StatusCode::NOT_FOUND, "Issue Does Not Exist"))
}

fn by_name(name: &str) -> Option<&'static Person> {
    people::all().find(|person| person.jira == name)
}

/// Jira compares the beginnings of names and addresses: who is found need not be who was meant.
fn assignable(asked: &Asked) -> Result<Answer, Answer> {
    existing(&asked.parameter("issueKey").unwrap_or_default())?;
    let Some(wanted) = asked.parameter("username") else {
        return Err(refusal(
            StatusCode::BAD_REQUEST,
            "The username query parameter was not provided",
        ));
    };
    let wanted = wanted.to_lowercase();
    let matches = |person: &&Person| {
        let texts = [person.jira, person.address, person.name];
        texts
            .iter()
            .any(|text| text.to_lowercase().starts_with(&wanted))
    };
    let found: Vec<_> = people::all().filter(matches).map(user).collect();
    Ok(Answer::json(StatusCode::OK, &found.into()))
}

fn user(person: &Person) -> Value {
    json!({
        "self": format!("https://{HOST}/rest/api/2/user?username={}", person.jira),
        "key": person.jira,
        "name": person.jira,
        "emailAddress": person.address,
        "displayName": person.name,
        "active": true,
    })
}

fn turned_away(problem: &'static str) -> Answer {
    let realm = format!("OAuth realm=\"https%3A%2F%2F{HOST}\", oauth_problem=\"{problem}\"");
    refusal(StatusCode::UNAUTHORIZED, problem).with("www-authenticate", realm)
}

fn invalid_assignee(message: &str) -> Answer {
    let body = json!({ "errorMessages": [], "errors": { "assignee": message } });
    Answer::json(StatusCode::BAD_REQUEST, &body)
}

/// An error in Jira's shape.
pub(super) fn refusal(status: StatusCode, message: &str) -> Answer {
    let body = json!({ "errorMessages": [message], "errors": {} });
    Answer::json(status, &body)
}
