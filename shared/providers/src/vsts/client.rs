//! Calls to Azure DevOps: who has an account, who works on a work item and in which state it is, and somebody
//! else or another state from now on.

use std::{fmt, str::FromStr};

use domain::{Email, ExternalKey, Secret};
use http::{HeaderName, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::webhook;
use crate::{
    CallError, Outside,
    http::{Call, Response, encode, segment},
};

const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
pub(super) const VERSION: &str = "application/json; api-version=4.1";
const PREVIEW: &str = "application/json; api-version=4.1-preview.1";

const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");
/// Makes missing credentials a 401 instead of a page to sign in.
const FED_AUTH_REDIRECT: HeaderName = HeaderName::from_static("x-tfs-fedauthredirect");

const ASSIGNED_TO: &str = "/fields/System.AssignedTo";
const STATE: &str = "/fields/System.State";

/// Projects are found on one page after another.
const PROJECTS_A_PAGE: usize = 100;
const MAX_PROJECT_PAGES: usize = 10;

/// Where the users of an account are found on one page after another. A page has some hundreds.
const CONTINUATION: &str = "x-ms-continuationtoken";
const MAX_PAGES: usize = 50;

/// The name of an account, which becomes a part of a host's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountName(String);

impl AccountName {
    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let valid = (1..=50).contains(&text.len()) && text.bytes().all(legal);
        valid
            .then(|| Self(text.to_owned()))
            .ok_or("the name of an account has 1 to 50 letters, digits and hyphens")
    }
}

impl TryFrom<String> for AccountName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One collection of Azure DevOps, as the holder of a token sees it.
#[derive(Debug, Clone)]
pub struct Client {
    outside: Outside,
    instance: String,
    account: AccountName,
    token: Secret,
}

/// What a work item says about who works on it.
#[derive(Clone, PartialEq, Eq)]
pub struct WorkItem {
    /// Its revision.
    pub revision: u64,
    /// The assignee's address in lower case, or their name where no address is shown; `None`: nobody.
    pub assignee: Option<String>,
    /// The name of its project.
    pub project: String,
    /// The name of its state.
    pub state: String,
}

impl fmt::Debug for WorkItem {
    /// Personal data stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assignee = self.assignee.as_ref().map(|_| "[e-mail]");
        let mut item = f.debug_struct("WorkItem");
        item.field("revision", &self.revision);
        item.field("assignee", &assignee);
        item.field("project", &self.project);
        item.field("state", &self.state).finish()
    }
}

/// What a work item is after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Its revision, where the answer names it.
    pub revision: Option<u64>,
}

impl Client {
    /// `instance` is the base URL of the collection.
    pub fn new(
        outside: Outside,
        instance: impl Into<String>,
        account: AccountName,
        token: Secret,
    ) -> Self {
        let mut instance = instance.into();
        if !instance.ends_with('/') {
            instance.push('/');
        }
        Self {
            outside,
            instance,
            account,
            token,
        }
    }

    /// The account's first user with one of the addresses, in Azure's own spelling of the address.
    /// `None`: nobody, as far as 50 pages of users tell.
    pub async fn find_assignee(&self, addresses: &[Email]) -> Result<Option<String>, CallError> {
        let users = format!(
            "https://{}.vssps.visualstudio.com/_apis/graph/users",
            self.account
        );
        let mut next = users.clone();
        for _ in 0..MAX_PAGES {
            let call = self.call(Method::GET, next, PREVIEW);
            let answer = self.send(call).await?;
            let token = answer.header(CONTINUATION).filter(|text| !text.is_empty());
            let following =
                token.map(|token| format!("{users}?continuationToken={}", encode(token)));
            let page: Users = answer.json()?;
            let mut known = page.value.into_iter().filter_map(|user| user.mail_address);
            let wanted = |spelled: &String| {
                let address = spelled.to_lowercase();
                addresses.iter().any(|email| email.as_str() == address)
            };
            if let Some(found) = known.find(wanted) {
                return Ok(Some(found));
            }
            match following {
                Some(url) => next = url,
                None => break,
            }
        }
        Ok(None)
    }

    /// Reads a work item.
    pub async fn work_item(&self, key: &ExternalKey) -> Result<WorkItem, CallError> {
        let call = self.call(Method::GET, self.work_item_url(key)?, VERSION);
        let item: Item = self.send(call).await?.json()?;
        Ok(WorkItem {
            revision: item.rev,
            assignee: item.fields.assigned_to.as_ref().and_then(shown),
            project: item.fields.project,
            state: item.fields.state,
        })
    }

    /// The id of the project with this name. `None`: there is none, as far as 1,000 projects tell.
    pub async fn project_id(&self, name: &str) -> Result<Option<String>, CallError> {
        for page in 0..MAX_PROJECT_PAGES {
            let skip = page * PROJECTS_A_PAGE;
            let url = format!(
                "{}_apis/projects?stateFilter=WellFormed&$skip={skip}&$top={PROJECTS_A_PAGE}",
                self.instance
            );
            let projects: Projects = self
                .send(self.call(Method::GET, url, VERSION))
                .await?
                .json()?;
            let last = projects.value.len() < PROJECTS_A_PAGE;
            let mut named = projects.value.into_iter();
            match named.find(|project| project.name == name) {
                Some(project) => return Ok(Some(project.id)),
                None if last => break,
                None => {}
            }
        }
        Ok(None)
    }

    /// Gives a work item to a user, by Azure's spelling of their address, or takes it from whoever has it.
    pub async fn set_assignee(
        &self,
        key: &ExternalKey,
        assignee: Option<&str>,
    ) -> Result<Written, CallError> {
        let operation = match assignee {
            Some(address) => json!({ "op": "replace", "path": ASSIGNED_TO, "value": address }),
            None => json!({ "op": "remove", "path": ASSIGNED_TO }),
        };
        self.patch(key, operation, assignee.unwrap_or_default())
            .await
    }

    /// Brings a work item into a state, by its name.
    pub async fn set_state(&self, key: &ExternalKey, state: &str) -> Result<Written, CallError> {
        let operation = json!({ "op": "replace", "path": STATE, "value": state });
        self.patch(key, operation, "").await
    }

    async fn patch(
        &self,
        key: &ExternalKey,
        operation: Value,
        hidden: &str,
    ) -> Result<Written, CallError> {
        let call = self
            .call(Method::PATCH, self.work_item_url(key)?, VERSION)
            .hiding(hidden)
            .json(&[operation]);
        let answer = self.send(call).await?.accepted()?;
        Ok(Written {
            revision: revision(&answer),
        })
    }

    /// Azure may answer a token that it does not take with 203 and a page to sign in, which is no success.
    pub(super) async fn send(&self, call: Call) -> Result<Response, CallError> {
        let answer = self.outside.send(call).await?;
        match answer.status() {
            StatusCode::NON_AUTHORITATIVE_INFORMATION => Err(CallError::Unauthorized),
            _ => Ok(answer),
        }
    }

    fn work_item_url(&self, key: &ExternalKey) -> Result<String, CallError> {
        let id = segment(key.as_str())?;
        Ok(format!("{}_apis/wit/workitems/{id}", self.instance))
    }

    /// The base URL of the collection, with a slash at its end.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    pub(super) fn call(&self, method: Method, url: String, accept: &'static str) -> Call {
        let (name, content) = match method {
            Method::PATCH => ("PATCH", JSON_PATCH),
            Method::POST => ("POST", JSON),
            _ => ("GET", JSON),
        };
        Call::new(method, url)
            .header(header::ACCEPT, accept)
            .header(header::CONTENT_TYPE, content)
            .header(METHOD_OVERRIDE, name)
            .header(FED_AUTH_REDIRECT, "Suppress")
            .authorization(&format!("Bearer {}", self.token.reveal()))
            .hiding(self.token.reveal())
    }
}

/// A change that was accepted has happened, whatever the answer looks like.
fn revision(answer: &Response) -> Option<u64> {
    let item: Value = serde_json::from_slice(answer.body()).ok()?;
    item.get("rev")?.as_u64()
}

fn shown(assigned_to: &Value) -> Option<String> {
    let address = webhook::address(assigned_to).map(|email| email.to_string());
    address.or_else(|| match assigned_to {
        Value::String(name) => Some(name.clone()).filter(|name| !name.is_empty()),
        Value::Object(identity) => {
            let names = ["uniqueName", "displayName"];
            let mut texts = names
                .iter()
                .filter_map(|name| identity.get(*name)?.as_str());
            Some(texts.next().unwrap_or_default().to_owned())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    })
}

#[derive(Deserialize)]
struct Users {
    value: Vec<User>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    #[serde(default)]
    mail_address: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    rev: u64,
    #[serde(default)]
    fields: Fields,
}

#[derive(Default, Deserialize)]
struct Fields {
    #[serde(rename = "System.AssignedTo", default)]
    assigned_to: Option<Value>,
    #[serde(rename = "System.TeamProject", default)]
    project: String,
    #[serde(rename = "System.State", default)]
    state: String,
}

#[derive(Deserialize)]
struct Projects {
    value: Vec<Project>,
}

#[derive(Deserialize)]
struct Project {
    id: String,
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_account_cannot_leave_its_part_of_the_host() {
        for good in ["acme", "Acme-2", "-", &"a".repeat(50)] {
            assert!(good.parse::<AccountName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "a.b",
            "a/b",
            "a@b",
            "a b",
            "ü",
            "a#",
            "a:1",
            "a_b",
            &"a".repeat(51),
        ] {
            assert!(bad.parse::<AccountName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn whoever_is_assigned_is_shown_by_address_or_by_name() {
        let shown = |value: Value| shown(&value);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(shown(json!("Bo Li <BO@acme.test>")), some("bo@acme.test"));
        assert_eq!(shown(json!("Bo Li <ACME\\bo>")), some("Bo Li <ACME\\bo>"));
        let object = json!({ "displayName": "Bo", "uniqueName": "Bo@acme.test" });
        assert_eq!(shown(object), some("bo@acme.test"));
        let local = json!({ "displayName": "Bo", "uniqueName": "ACME\\bo" });
        assert_eq!(shown(local), some("ACME\\bo"));
        assert_eq!(shown(json!({})), some(""));
        assert_eq!(shown(json!("")), None);
        assert_eq!(shown(json!(null)), None);
    }
}
