//! What the bodies of requests about releases hold.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    EnvironmentName, Fault, FileChange, GivenAuthor, GivenCommit, OrganizationId, Ref,
    ReleaseStatus, RepositoryName, Timestamp, Version,
};
use serde_json::Value;

use super::ProjectName;
use crate::body::{Fields, Text};

const MAX_REF: usize = 200;
const MAX_REPOSITORY: usize = 64;
const MAX_AUTHOR_NAME: usize = 128;
const MAX_AUTHOR_EMAIL: usize = 200;
const MAX_PATH: usize = 510;
const MAX_DEPLOY_NAME: usize = 64;
/// How many repositories one list may name: all are noted in the release with one update, whose expression
/// is at most 4096 bytes long.
const MAX_REPOSITORIES: usize = 50;
/// How many commits one list may name: as many as can be looked up in the time that a request has.
const MAX_COMMITS: usize = 20_000;
const MAX_PROJECTS: usize = 1000;

/// What every write of a release may say.
#[derive(Debug, Default)]
pub(super) struct ReleaseFields {
    pub(super) reference: Option<String>,
    pub(super) url: Option<String>,
    pub(super) released: Option<Timestamp>,
    pub(super) status: Option<ReleaseStatus>,
    pub(super) commits: Vec<GivenCommit>,
    /// `None`: nothing was said of refs. Empty: they were said to be none.
    pub(super) refs: Option<Vec<Ref>>,
}

/// What a new release says as well.
#[derive(Debug)]
pub(super) struct NewRelease {
    pub(super) version: Version,
    pub(super) owner: Option<String>,
    pub(super) projects: Vec<ProjectName>,
    pub(super) fields: ReleaseFields,
}

/// What a deploy says.
#[derive(Debug)]
pub(super) struct NewDeploy {
    pub(super) environment: EnvironmentName,
    pub(super) name: Option<String>,
    pub(super) url: Option<String>,
    pub(super) started: Option<Timestamp>,
    pub(super) finished: Option<Timestamp>,
    /// `None`: all of the release.
    pub(super) projects: Option<Vec<ProjectName>>,
}

/// Which forms of a release's fields a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// With refs, and with the projects of a new release.
    Organization,
    /// Without: the path names the project, and other keys are ignored.
    Project,
}

impl ReleaseFields {
    pub(super) fn parse(
        mut fields: Fields,
        family: Family,
        organization: OrganizationId,
    ) -> Result<Self, Fault> {
        let parsed = Self::read(&mut fields, family, organization);
        fields.finish(parsed)
    }

    fn read(fields: &mut Fields, family: Family, organization: OrganizationId) -> Self {
        let refs = match family {
            Family::Organization => refs(fields),
            Family::Project => None,
        };
        Self {
            reference: fields.optional("ref", MAX_REF),
            url: fields.url("url"),
            released: fields.date("dateReleased"),
            status: fields.choice("status", |word| word.parse().ok()),
            commits: commits(fields, organization),
            refs,
        }
    }
}

impl NewRelease {
    pub(super) fn parse(
        mut fields: Fields,
        family: Family,
        organization: OrganizationId,
    ) -> Result<Self, Fault> {
        let version = version(&mut fields);
        let owner = match fields.raw("owner") {
            None | Some(Value::Null | Value::Bool(false)) => None,
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::String(text)) => Some(text.trim().to_owned()).filter(|t| !t.is_empty()),
            Some(Value::Bool(true) | Value::Array(_) | Value::Object(_)) => {
                fields.refuse("owner", "Not a valid string.");
                None
            }
        };
        let projects = match family {
            Family::Organization => projects(&mut fields, Fields::required_list),
            Family::Project => None,
        };
        let rest = ReleaseFields::read(&mut fields, family, organization);
        Ok(Self {
            version: fields.finish_with(version)?,
            owner,
            projects: projects.unwrap_or_default(),
            fields: rest,
        })
    }
}

impl NewDeploy {
    pub(super) fn parse(mut fields: Fields) -> Result<Self, Fault> {
        let environment = fields.required("environment", EnvironmentName::MAX);
        let environment = environment.map(|text| text.parse::<EnvironmentName>());
        if let Some(Err(message)) = &environment {
            fields.refuse("environment", *message);
        }
        let projects = projects(&mut fields, Fields::list);
        if projects.as_ref().is_some_and(Vec::is_empty) {
            fields.refuse("projects", "This list may not be empty.");
        }
        let name = fields.optional("name", MAX_DEPLOY_NAME);
        let url = fields.url("url");
        let (started, finished) = (fields.date("dateStarted"), fields.date("dateFinished"));
        Ok(Self {
            environment: fields.finish_with(environment.and_then(Result::ok))?,
            name,
            url,
            started,
            finished,
            projects,
        })
    }
}

fn version(fields: &mut Fields) -> Option<Version> {
    if !fields.has("version") {
        // Said as of any other text.
        return fields.required("version", 0).and(None);
    }
    let version = fields.verbatim("version")??.parse();
    version
        .map_err(|error: domain::InvalidVersion| fields.refuse("version", error.to_string()))
        .ok()
}

fn projects(
    fields: &mut Fields,
    list: impl Fn(&mut Fields, &str) -> Option<Vec<Value>>,
) -> Option<Vec<ProjectName>> {
    let list = list(fields, "projects")?;
    let mut names = BTreeSet::new();
    let mut unknown = Vec::new();
    for value in list {
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Array(_)
            | Value::Object(_) => value.to_string(),
        };
        match ProjectName::of(&text) {
            Some(name) => {
                names.insert(name);
            }
            None => unknown.push(text),
        }
    }
    if !unknown.is_empty() {
        fields.refuse("projects", invalid_projects(&unknown));
        return None;
    }
    if names.len() > MAX_PROJECTS {
        let message = format!("A request may name at most {MAX_PROJECTS} projects.");
        fields.refuse("projects", message);
        return None;
    }
    Some(names.into_iter().collect())
}

pub(super) fn invalid_projects(names: &[String]) -> String {
    format!("Invalid project ids or slugs: {}", names.join(", "))
}

fn refs(fields: &mut Fields) -> Option<Vec<Ref>> {
    let given = fields.objects("refs", |item| {
        let commit = item.required("commit", 2 * Ref::MAX_COMMIT + 2);
        let repository = item.required("repository", RepositoryName::MAX);
        new_ref(item, ("commit", commit?), "previousCommit", repository?)
    });
    let heads = fields.objects("headCommits", |item| {
        let commit = item.required("currentId", Ref::MAX_COMMIT);
        let repository = item.required("repository", MAX_REPOSITORY);
        new_ref(item, ("currentId", commit?), "previousId", repository?)
    });
    let refs = match (given, heads) {
        // Old clients say the same in other words.
        (Some(given), Some(heads)) if given.is_empty() => Some(heads),
        (None, heads) => heads.filter(|heads| !heads.is_empty()),
        (given, _) => given,
    };
    let mut names: Vec<_> = refs.iter().flatten().map(|it| &it.repository).collect();
    names.sort();
    names.dedup();
    if names.len() > MAX_REPOSITORIES {
        let message = format!("A list may name at most {MAX_REPOSITORIES} repositories.");
        fields.refuse("refs", message);
    }
    refs
}

fn new_ref(
    item: &mut Fields,
    (field, commit): (&str, String),
    before: &str,
    repository: String,
) -> Option<Ref> {
    let previous = item.optional(before, Ref::MAX_COMMIT);
    if !previous.as_deref().is_none_or(Ref::is_commit) {
        item.refuse(before, "Not a commit.");
    }
    let repository = RepositoryName::new(&repository)?;
    let new = Ref::new(repository, &commit, previous.as_deref());
    if new.is_none() {
        item.refuse(
            field,
            "Not a commit of at most 64 characters, nor a range like start..end of two.",
        );
    }
    new
}

fn commits(fields: &mut Fields, organization: OrganizationId) -> Vec<GivenCommit> {
    let commits = fields.objects("commits", |item| commit(item, organization));
    let commits = commits.unwrap_or_default();
    if commits.len() > MAX_COMMITS {
        let message = format!("A list may name at most {MAX_COMMITS} commits.");
        fields.refuse("commits", message);
    }
    let mut names: Vec<_> = commits.iter().map(|commit| &commit.repository).collect();
    names.sort();
    names.dedup();
    if names.len() > MAX_REPOSITORIES {
        let message = format!("A list may name at most {MAX_REPOSITORIES} repositories.");
        fields.refuse("commits", message);
    }
    commits
}

fn commit(item: &mut Fields, organization: OrganizationId) -> Option<GivenCommit> {
    let sha = item.required("id", Ref::MAX_COMMIT);
    let repository = item.optional("repository", MAX_REPOSITORY);
    let message = item.verbatim("message");
    let message = message.map(|text| text.map(|text| GivenCommit::kept_message(&text)));
    let name = item.optional("author_name", MAX_AUTHOR_NAME);
    let email = match item.text("author_email", MAX_AUTHOR_EMAIL) {
        Text::Given(text) => Some(text),
        // Given and blank: nobody. Null is as good as left out.
        Text::Blank => Some(String::new()),
        Text::Absent | Text::Null | Text::Wrong => None,
    };
    let date = item.date("timestamp");
    let files = files(item);
    let repository = repository.as_deref().and_then(RepositoryName::new);
    Some(GivenCommit {
        sha: sha?,
        repository: repository.unwrap_or_else(|| GivenCommit::default_repository(organization)),
        message,
        author: GivenAuthor::new(email.as_deref(), name.as_deref()),
        date,
        files,
    })
}

fn files(item: &mut Fields) -> BTreeMap<String, FileChange> {
    if !item.has("patch_set") {
        return BTreeMap::new();
    }
    let given = item.objects("patch_set", |file| {
        let path = file.required("path", MAX_PATH);
        let change = match file.required("type", MAX_PATH)?.as_str() {
            "A" => FileChange::Added,
            "M" => FileChange::Modified,
            "D" => FileChange::Deleted,
            other => {
                file.refuse(
                    "type",
                    format!("Commit patch_set type {other} is not supported."),
                );
                return None;
            }
        };
        Some((path?, change))
    });
    GivenCommit::kept_files(given.unwrap_or_default())
}
