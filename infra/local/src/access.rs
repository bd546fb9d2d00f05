//! Who may call what of AWS: the roles of the template, held to as IAM would.
//!
//! It exists so that an action missing from a role is found here and not after a deployment, and so
//! that a test can tell which actions of a role nothing uses. It must not know what a call does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use hyper::HeaderMap;

/// An action and the name of the resource it is for: `("sqs:SendMessage", "issue-sync")`.
pub type Call = (String, String);

/// Every function's role, and what it called. A caller who is no function may do everything: without
/// functions, as in the tests of one server, that is everybody.
#[derive(Debug, Default)]
pub(crate) struct Access {
    roles: BTreeMap<String, BTreeSet<Call>>,
    calls: Mutex<BTreeMap<String, BTreeSet<Call>>>,
}

impl Access {
    /// The roles by the names of the functions, which are the ids of their access keys.
    pub(crate) fn new(roles: BTreeMap<String, BTreeSet<Call>>) -> Self {
        Self {
            roles,
            calls: Mutex::default(),
        }
    }

    /// Remembers a call and says, in the words of IAM, why it is not allowed.
    pub(crate) fn check(
        &self,
        headers: &HeaderMap,
        action: &str,
        resource: &str,
    ) -> Result<(), String> {
        let Some((function, role)) = caller(headers).and_then(|key| self.roles.get_key_value(key))
        else {
            return Ok(());
        };
        let call = (action.to_owned(), resource.to_owned());
        if !role.contains(&call) {
            let text = format!(
                "{function} is not authorized to perform: {action} on resource: {resource} because \
                 its role in infra/template.yaml does not allow it"
            );
            tracing::error!("{text}");
            return Err(text);
        }
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.entry(function.clone()).or_default().insert(call);
        Ok(())
    }

    /// What each function called so far.
    pub(crate) fn calls(&self) -> BTreeMap<String, BTreeSet<Call>> {
        let calls = self.calls.lock();
        calls.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The id of the access key that a request is signed with.
pub(crate) fn caller(headers: &HeaderMap) -> Option<&str> {
    let signature = headers.get("authorization")?.to_str().ok()?;
    let (_, rest) = signature.split_once("Credential=")?;
    rest.split('/').next()
}
