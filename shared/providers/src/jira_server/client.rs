//! Calls to Jira Server: whom an issue can be assigned to, who has it and in which status it is, and somebody
//! else or another status from now on.

use std::fmt;

use domain::{Email, ExternalKey, Timestamp};
use http::{Method, header};
use serde::Deserialize;
use serde_json::json;

use super::oauth::Credentials;
use crate::{
    CallError, Outside, Remedy,
    http::{Call, Response, encode, segment},
};

const JSON: &str = "application/json";

/// One Jira, as the holder of an access token sees it. Made for the handling of one message: all its calls
/// carry the time that it was made with.
#[derive(Debug, Clone)]
pub struct Client {
    outside: Outside,
    base_url: String,
    credentials: Credentials,
    now: Timestamp,
}

/// Who has an issue.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct AssigneeRef {
    /// What Jira knows them by.
    pub name: String,
    /// Their address, where Jira shows it.
    #[serde(rename = "emailAddress", default)]
    pub email: Option<String>,
}

impl fmt::Debug for AssigneeRef {
    /// Personal data stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let email = self.email.as_ref().map(|_| "[e-mail]");
        let mut assignee = f.debug_struct("AssigneeRef");
        assignee.field("name", &self.name);
        assignee.field("email", &email).finish()
    }
}

/// The status of an issue, and the project that decides what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRef {
    /// The project's id.
    pub project: String,
    /// The status' id.
    pub status: String,
}

impl Client {
    /// `base_url` is Jira's own, with the path of its context if it has one.
    pub fn new(
        outside: Outside,
        base_url: impl Into<String>,
        credentials: Credentials,
        now: Timestamp,
    ) -> Self {
        let base_url = base_url.into().trim_end_matches('/').to_owned();
        Self {
            outside,
            base_url,
            credentials,
            now,
        }
    }

    /// The name of the user with one of the addresses whom the issue can be assigned to; where several are,
    /// the last address decides. An address that cannot be searched for is passed over; when none can be,
    /// that is the error.
    pub async fn find_assignee(
        &self,
        issue: &ExternalKey,
        addresses: &[Email],
    ) -> Result<Option<String>, CallError> {
        let (mut found, mut failed, mut answered) = (None, None, false);
        for address in addresses {
            match self.assignable(issue, address).await {
                Ok(name) => {
                    answered = true;
                    found = name.or(found);
                }
                Err(error @ CallError::Unauthorized) => return Err(error),
                Err(error) => failed = Some(more_hopeful(failed, error)),
            }
        }
        match failed {
            Some(error) if !answered => Err(error),
            _ => Ok(found),
        }
    }

    /// Who has the issue; `None`: nobody.
    pub async fn assignee(&self, issue: &ExternalKey) -> Result<Option<AssigneeRef>, CallError> {
        let path = format!("issue/{}?fields=assignee", segment(issue.as_str())?);
        let call = self.call(Method::GET, &path);
        let issue: Issue = self.send(call).await?.json()?;
        Ok(issue.fields.assignee)
    }

    /// Gives the issue to a user by name, or takes it from whoever has it.
    pub async fn set_assignee(
        &self,
        issue: &ExternalKey,
        name: Option<&str>,
    ) -> Result<(), CallError> {
        let path = format!("issue/{}/assignee", segment(issue.as_str())?);
        let call = self
            .call(Method::PUT, &path)
            .header(header::CONTENT_TYPE, JSON)
            .json(&json!({ "name": name }));
        self.send(call).await?.accepted()?;
        Ok(())
    }

    /// In which status the issue is.
    pub async fn status(&self, issue: &ExternalKey) -> Result<StatusRef, CallError> {
        let path = format!("issue/{}?fields=status,project", segment(issue.as_str())?);
        let found: Placed = self.send(self.call(Method::GET, &path)).await?.json()?;
        Ok(StatusRef {
            project: found.fields.project.id,
            status: found.fields.status.id,
        })
    }

    /// The first transition that leads from the issue's present status to another one, by id. `None`: there is
    /// none.
    pub async fn transition_to(
        &self,
        issue: &ExternalKey,
        status: &str,
    ) -> Result<Option<String>, CallError> {
        let path = format!("issue/{}/transitions", segment(issue.as_str())?);
        let found: Transitions = self.send(self.call(Method::GET, &path)).await?.json()?;
        let mut found = found.transitions.into_iter();
        let found = found.find(|transition| transition.to.id == status);
        Ok(found.map(|transition| transition.id))
    }

    /// Brings the issue into another status by one of its transitions.
    pub async fn make_transition(
        &self,
        issue: &ExternalKey,
        transition: &str,
    ) -> Result<(), CallError> {
        let path = format!("issue/{}/transitions", segment(issue.as_str())?);
        let call = self
            .call(Method::POST, &path)
            .header(header::CONTENT_TYPE, JSON)
            .json(&json!({ "transition": { "id": transition } }));
        self.send(call).await?.accepted()?;
        Ok(())
    }

    async fn assignable(
        &self,
        issue: &ExternalKey,
        address: &Email,
    ) -> Result<Option<String>, CallError> {
        let (issue, username) = (encode(issue.as_str()), encode(address.as_str()));
        let path = format!("user/assignable/search?issueKey={issue}&username={username}");
        let call = self.call(Method::GET, &path).hiding(address.as_str());
        let users: Vec<User> = self.send(call).await?.json()?;
        let theirs = |user: &User| {
            let shown = user.email_address.as_deref().unwrap_or_default();
            shown.to_lowercase() == address.as_str()
        };
        Ok(users.into_iter().find(theirs).map(|user| user.name))
    }

    fn call(&self, method: Method, path: &str) -> Call {
        Call::new(method, format!("{}/rest/api/2/{path}", self.base_url))
            .header(header::ACCEPT, JSON)
            .hiding(self.credentials.access_token.reveal())
    }

    /// Signs with a nonce that was never used, and sends.
    async fn send(&self, call: Call) -> Result<Response, CallError> {
        let nonce = format!("{:032x}", rand::random::<u128>());
        let (method, url) = (call.method(), self.outside.url(call.url())?);
        let signed = self
            .credentials
            .authorization(method, &url, &nonce, self.now);
        self.outside.send(call.authorization(&signed)).await
    }
}

/// Of two errors the one that gives the search another chance.
fn more_hopeful(before: Option<CallError>, error: CallError) -> CallError {
    match before {
        Some(before) if error.remedy() == Remedy::Never => before,
        _ => error,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    name: String,
    #[serde(default)]
    email_address: Option<String>,
}

#[derive(Deserialize)]
struct Placed {
    fields: Place,
}

#[derive(Deserialize)]
struct Place {
    project: Named,
    status: Named,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
struct Transitions {
    transitions: Vec<Transition>,
}

#[derive(Deserialize)]
struct Transition {
    id: String,
    to: Named,
}

#[derive(Deserialize)]
struct Issue {
    #[serde(default)]
    fields: Fields,
}

#[derive(Default, Deserialize)]
struct Fields {
    #[serde(default)]
    assignee: Option<AssigneeRef>,
}
