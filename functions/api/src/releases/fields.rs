//! What the bodies of requests about releases hold. All that is wrong is said at once, field by field;
//! of the objects in a list, whichever of them it is about.

use std::collections::BTreeMap;

use domain::{
    ClientFault, EnvironmentName, Fault, FieldError, FileChange, GivenAuthor, GivenCommit,
    OrganizationId, Ref, ReleaseStatus, RepositoryName, Timestamp, Version,
};
use serde_json::{Map, Value};

use super::ProjectName;

const MAX_REF: usize = 200;
const MAX_REPOSITORY: usize = 64;
const MAX_AUTHOR_NAME: usize = 128;
const MAX_AUTHOR_EMAIL: usize = 200;
const MAX_PATH: usize = 510;
const MAX_DEPLOY_NAME: usize = 64;
/// How many repositories one list may name: each is looked up and noted in the release.
const MAX_REPOSITORIES: usize = 100;

const REQUIRED: &str = "This field is required.";
const NULL: &str = "This field may not be null.";
const BLANK: &str = "This field may not be blank.";

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
        fields: &Map<String, Value>,
        family: Family,
        organization: OrganizationId,
    ) -> Result<Self, Fault> {
        let mut reader = Reader::new(fields);
        let parsed = Self::read(&mut reader, family, organization);
        reader.finish()?;
        Ok(parsed)
    }

    fn read(reader: &mut Reader<'_>, family: Family, organization: OrganizationId) -> Self {
        let refs = match family {
            Family::Organization => refs(reader),
            Family::Project => None,
        };
        Self {
            reference: reader.optional("ref", MAX_REF),
            url: reader.url("url"),
            released: reader.date("dateReleased"),
            status: status(reader),
            commits: commits(reader, organization),
            refs,
        }
    }
}

impl NewRelease {
    pub(super) fn parse(
        fields: &Map<String, Value>,
        family: Family,
        organization: OrganizationId,
    ) -> Result<Self, Fault> {
        let mut reader = Reader::new(fields);
        let version = version(&mut reader);
        let owner = match fields.get("owner") {
            None | Some(Value::Null | Value::Bool(false)) => None,
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::String(text)) => Some(text.trim().to_owned()).filter(|t| !t.is_empty()),
            Some(Value::Bool(true) | Value::Array(_) | Value::Object(_)) => {
                reader.wrong("owner", "Not a valid string.");
                None
            }
        };
        let projects = match family {
            Family::Organization => match fields.contains_key("projects") {
                true => projects(&mut reader),
                false => {
                    reader.wrong("projects", REQUIRED);
                    None
                }
            },
            Family::Project => None,
        };
        let fields = ReleaseFields::read(&mut reader, family, organization);
        reader.finish()?;
        Ok(Self {
            version: version.ok_or_else(|| Fault::field("version", REQUIRED))?,
            owner,
            projects: projects.unwrap_or_default(),
            fields,
        })
    }
}

impl NewDeploy {
    pub(super) fn parse(fields: &Map<String, Value>) -> Result<Self, Fault> {
        let mut reader = Reader::new(fields);
        let environment = match reader.required("environment", EnvironmentName::MAX) {
            Some(text) => match text.parse::<EnvironmentName>() {
                Ok(name) => Some(name),
                Err(message) => {
                    reader.wrong("environment", message);
                    None
                }
            },
            None => None,
        };
        let given = fields.contains_key("projects");
        let projects = given.then(|| projects(&mut reader)).flatten();
        if projects.as_ref().is_some_and(Vec::is_empty) {
            reader.wrong("projects", "This list may not be empty.");
        }
        let deploy = Self {
            environment: match environment {
                Some(name) => name,
                None => {
                    reader.finish()?;
                    return Err(Fault::field("environment", REQUIRED));
                }
            },
            name: reader.optional("name", MAX_DEPLOY_NAME),
            url: reader.url("url"),
            started: reader.date("dateStarted"),
            finished: reader.date("dateFinished"),
            projects,
        };
        reader.finish()?;
        Ok(deploy)
    }
}

fn version(reader: &mut Reader<'_>) -> Option<Version> {
    let text = match reader.fields.get("version") {
        None => {
            reader.wrong("version", REQUIRED);
            return None;
        }
        Some(Value::Null) => {
            reader.wrong("version", NULL);
            return None;
        }
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            reader.wrong("version", "Not a valid string.");
            return None;
        }
    };
    match text.parse() {
        Ok(version) => Some(version),
        Err(error) => {
            let error: domain::InvalidVersion = error;
            reader.wrong("version", error.to_string());
            None
        }
    }
}

fn status(reader: &mut Reader<'_>) -> Option<ReleaseStatus> {
    let value = reader.fields.get("status")?;
    let status = value.as_str().and_then(|text| text.parse().ok());
    if status.is_none() {
        let shown = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        reader.wrong("status", format!("\"{shown}\" is not a valid choice."));
    }
    status
}

fn projects(reader: &mut Reader<'_>) -> Option<Vec<ProjectName>> {
    let list = reader.list("projects")?;
    let mut names = Vec::new();
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
            Some(name) if !names.contains(&name) => names.push(name),
            Some(_) => {}
            None => unknown.push(text),
        }
    }
    if unknown.is_empty() {
        return Some(names);
    }
    reader.wrong("projects", invalid_projects(&unknown));
    None
}

pub(super) fn invalid_projects(names: &[String]) -> String {
    format!("Invalid project ids or slugs: {}", names.join(", "))
}

fn refs(reader: &mut Reader<'_>) -> Option<Vec<Ref>> {
    let given = reader.objects("refs", |item| {
        let commit = item.required("commit", 2 * Ref::MAX_COMMIT + 2);
        let repository = item.required("repository", RepositoryName::MAX);
        new_ref(item, ("commit", commit?), "previousCommit", repository?)
    });
    let heads = reader.objects("headCommits", |item| {
        let commit = item.required("currentId", Ref::MAX_COMMIT);
        let repository = item.required("repository", MAX_REPOSITORY);
        new_ref(item, ("currentId", commit?), "previousId", repository?)
    });
    let refs = match (given, heads) {
        // Old clients say the same in other words.
        (None | Some(_), Some(heads)) if !heads.is_empty() && given_none(reader) => Some(heads),
        (given, _) => given,
    };
    let mut names: Vec<_> = refs.iter().flatten().map(|it| &it.repository).collect();
    names.sort();
    names.dedup();
    if names.len() > MAX_REPOSITORIES {
        let message = format!("A list may name at most {MAX_REPOSITORIES} repositories.");
        reader.wrong("refs", message);
    }
    refs
}

fn given_none(reader: &Reader<'_>) -> bool {
    let refs = reader.fields.get("refs").and_then(Value::as_array);
    refs.is_none_or(Vec::is_empty)
}

fn new_ref(
    item: &mut Reader<'_>,
    (field, commit): (&str, String),
    before: &str,
    repository: String,
) -> Option<Ref> {
    let previous = item.optional(before, Ref::MAX_COMMIT);
    if !previous.as_deref().is_none_or(Ref::is_commit) {
        item.wrong(before, "Not a commit.");
    }
    let repository = RepositoryName::new(&repository)?;
    let new = Ref::new(repository, &commit, previous.as_deref());
    if new.is_none() {
        item.wrong(
            field,
            "Not a commit of at most 64 characters, nor a range like start..end of two.",
        );
    }
    new
}

fn commits(reader: &mut Reader<'_>, organization: OrganizationId) -> Vec<GivenCommit> {
    let commits = reader.objects("commits", |item| commit(item, organization));
    let commits = commits.unwrap_or_default();
    let mut names: Vec<_> = commits.iter().map(|commit| &commit.repository).collect();
    names.sort();
    names.dedup();
    if names.len() > MAX_REPOSITORIES {
        let message = format!("A list may name at most {MAX_REPOSITORIES} repositories.");
        reader.wrong("commits", message);
    }
    commits
}

fn commit(item: &mut Reader<'_>, organization: OrganizationId) -> Option<GivenCommit> {
    let sha = item.required("id", Ref::MAX_COMMIT);
    let repository = item.optional("repository", MAX_REPOSITORY);
    let message = match item.fields.get("message") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(GivenCommit::kept_message(text))),
        Some(_) => {
            item.wrong("message", "Not a valid string.");
            None
        }
    };
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

fn files(item: &mut Reader<'_>) -> BTreeMap<String, FileChange> {
    if item.fields.get("patch_set").is_none_or(Value::is_null) {
        return BTreeMap::new();
    }
    let given = item.objects("patch_set", |file| {
        let path = file.required("path", MAX_PATH);
        let change = file.required("type", MAX_PATH);
        let change = match change.as_deref() {
            Some("A") => Some(FileChange::Added),
            Some("M") => Some(FileChange::Modified),
            Some("D") => Some(FileChange::Deleted),
            Some(other) => {
                file.wrong("type", format!("\"{other}\" is not a valid choice."));
                None
            }
            None => None,
        };
        Some((path?, change?))
    });
    GivenCommit::kept_files(given.unwrap_or_default())
}

/// A text as a field gives it, trimmed.
enum Text {
    Absent,
    Null,
    Blank,
    Given(String),
    /// It was said what is wrong.
    Wrong,
}

/// Reads the fields of an object, and notes what is wrong with them.
struct Reader<'f> {
    fields: &'f Map<String, Value>,
    errors: BTreeMap<String, FieldError>,
}

impl<'f> Reader<'f> {
    fn new(fields: &'f Map<String, Value>) -> Self {
        Self {
            fields,
            errors: BTreeMap::new(),
        }
    }

    fn finish(&mut self) -> Result<(), Fault> {
        match self.errors.is_empty() {
            true => Ok(()),
            false => Err(Fault::Client(ClientFault::Nested(std::mem::take(
                &mut self.errors,
            )))),
        }
    }

    fn wrong(&mut self, field: &str, message: impl Into<String>) {
        let error = FieldError::Messages(vec![message.into()]);
        self.errors.entry(field.to_owned()).or_insert(error);
    }

    fn text(&mut self, field: &str, most: usize) -> Text {
        let text = match self.fields.get(field) {
            None => return Text::Absent,
            Some(Value::Null) => return Text::Null,
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                self.wrong(field, "Not a valid string.");
                return Text::Wrong;
            }
        };
        if text.is_empty() {
            return Text::Blank;
        }
        if text.chars().count() > most {
            let message = format!("Ensure this field has no more than {most} characters.");
            self.wrong(field, message);
            return Text::Wrong;
        }
        Text::Given(text)
    }

    /// A text that may be left out, null or blank.
    fn optional(&mut self, field: &str, most: usize) -> Option<String> {
        match self.text(field, most) {
            Text::Given(text) => Some(text),
            Text::Absent | Text::Null | Text::Blank | Text::Wrong => None,
        }
    }

    /// A text that has to be there.
    fn required(&mut self, field: &str, most: usize) -> Option<String> {
        let message = match self.text(field, most) {
            Text::Given(text) => return Some(text),
            Text::Wrong => return None,
            Text::Absent => REQUIRED,
            Text::Null => NULL,
            Text::Blank => BLANK,
        };
        self.wrong(field, message);
        None
    }

    fn url(&mut self, field: &str) -> Option<String> {
        let url = self.optional(field, usize::MAX)?;
        let host = ["http://", "https://", "ftp://", "ftps://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme));
        let valid = host.is_some_and(|host| !host.starts_with('/') && !host.is_empty())
            && !url.contains(char::is_whitespace);
        if !valid {
            self.wrong(field, "Enter a valid URL.");
            return None;
        }
        Some(url)
    }

    fn date(&mut self, field: &str) -> Option<Timestamp> {
        let text = self.optional(field, usize::MAX)?;
        let date = Timestamp::parse(&text);
        if date.is_none() {
            self.wrong(
                field,
                "Datetime has wrong format. Use one of these formats instead: \
                 YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].",
            );
        }
        date
    }

    /// A list that may be left out, but not null.
    fn list(&mut self, field: &str) -> Option<&'f Vec<Value>> {
        match self.fields.get(field)? {
            Value::Array(list) => Some(list),
            Value::Null => {
                self.wrong(field, NULL);
                None
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                self.wrong(field, "Expected a list of items.");
                None
            }
        }
    }

    /// A list of objects. `read` gives `None` for one that it found something wrong with.
    fn objects<T>(
        &mut self,
        field: &str,
        read: impl Fn(&mut Reader<'f>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let list = self.list(field)?;
        let (mut found, mut errors) = (Vec::new(), BTreeMap::new());
        for value in list {
            let Value::Object(fields) = value else {
                let text = "Invalid data. Expected a dictionary.".to_owned();
                let error = FieldError::Messages(vec![text]);
                errors.entry("non_field_errors".to_owned()).or_insert(error);
                continue;
            };
            let mut reader = Reader::new(fields);
            found.extend(read(&mut reader));
            for (name, error) in reader.errors {
                errors.entry(name).or_insert(error);
            }
        }
        if errors.is_empty() {
            return Some(found);
        }
        self.errors
            .entry(field.to_owned())
            .or_insert(FieldError::Fields(errors));
        None
    }
}
