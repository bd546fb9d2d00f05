//! What can go wrong, as three answers: the caller can fix it, later may succeed, never will.
//!
//! `runtime` turns a fault into an HTTP answer or a batch item failure in one place. What a caller is
//! shown and what the log says are different strings: only [`ClientFault`] is shown.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{Role, Scope, Slug};

/// Field name to what is wrong with it, as clients show it.
pub type FieldErrors = BTreeMap<String, FieldError>;

/// What is wrong with a field: messages, or what is wrong with the fields inside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum FieldError {
    /// About the field itself.
    Messages(Vec<String>),
    /// About the fields of the objects that it holds, whichever of them it is.
    Fields(FieldErrors),
}

impl FieldError {
    /// One message about the field itself.
    pub fn message(text: impl Into<String>) -> Self {
        Self::Messages(vec![text.into()])
    }
}

/// Why a handler could not do what it was asked.
#[derive(Debug)]
pub enum Fault {
    /// The caller can fix it: a 4xx. On our own queues nobody can, so there it counts as poison.
    Client(ClientFault),
    /// Later may succeed: 503 with Retry-After, or a batch item failure. The text is for the log.
    Retry(String),
    /// Never will succeed: 500, or a batch item failure that ends in the dead-letter queue. The text
    /// is for the log.
    Poison(String),
}

/// A fault that is shown to the caller, with the status it maps to.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientFault {
    /// 401: no credentials.
    Unauthenticated,
    /// 401: credentials that name no token.
    InvalidToken,
    /// 403: the token lacks every one of the scopes that would do.
    Forbidden {
        /// Any of these would do.
        required: Vec<Scope>,
        /// What the token has.
        has: Vec<Scope>,
        /// The member's role, where it is the role that takes from what the token has.
        role: Option<Role>,
    },
    /// 403: for another reason, which is told.
    Denied(String),
    /// 302: what the path names has another name now.
    Moved {
        /// Where it is.
        url: String,
        /// Its name.
        slug: Slug,
    },
    /// 413: a body of this size is not read.
    TooLarge,
    /// 415: a body of this kind is not read.
    UnsupportedMediaType(String),
    /// 404: absent, or not visible to the caller.
    NotFound,
    /// 409: somebody else was faster, time and again.
    Conflict(String),
    /// 409: what these fields ask for was taken a moment ago.
    Taken(FieldErrors),
    /// 400 about the request as a whole.
    Detail(String),
    /// 400 about fields of the body.
    Fields(FieldErrors),
    /// 400 about a parameter that names what it may not.
    Parameter(String),
}

impl Fault {
    /// A 400 about one field.
    pub fn field(name: impl Into<String>, message: impl Into<String>) -> Self {
        let error = FieldError::message(message);
        Self::Client(ClientFault::Fields([(name.into(), error)].into()))
    }

    /// A 400 about the request as a whole.
    pub fn detail(message: impl Into<String>) -> Self {
        Self::Client(ClientFault::Detail(message.into()))
    }

    /// A 404.
    pub fn not_found() -> Self {
        Self::Client(ClientFault::NotFound)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(fault) => write!(f, "refused: {fault:?}"),
            Self::Retry(reason) => write!(f, "may succeed later: {reason}"),
            Self::Poison(reason) => write!(f, "can never succeed: {reason}"),
        }
    }
}

impl std::error::Error for Fault {}
