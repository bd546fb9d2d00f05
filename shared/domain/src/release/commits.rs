//! Commits of releases: what a request says of them, what of it is stored, and in which order they are
//! listed.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashSet},
};

use serde::{Deserialize, Serialize};

use super::{Generation, Release, RepositoryName};
use crate::{GroupId, Mention, OrganizationId, RepositoryId, ShortId, Timestamp, references};

/// A commit whose message holds it is left out.
const SKIP: &str = "#skipsentry";

/// A commit is one item of the table: of a longer message the beginning is kept, in bytes.
const KEPT_MESSAGE: usize = 64 * 1024;
/// And of more files the first, by the length of their paths in bytes.
const KEPT_PATHS: usize = 100 * 1024;

/// Longest address of an author; a longer one is cut, and ends in dots.
const MAX_AUTHOR: usize = 75;

/// How many authors a release names of one list.
pub const MOST_AUTHORS: usize = 200;

/// Of how many repositories a release may have commits: it notes each of them.
pub(super) const MOST_LISTS: usize = 300;

/// Which commit. A hash is known in one repository only: two may hold equal ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CommitRef {
    pub repository: RepositoryId,
    pub sha: String,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum FileChange {
    #[serde(rename = "A")]
    Added,
    #[serde(rename = "M")]
    Modified,
    #[serde(rename = "D")]
    Deleted,
}

/// What is known of a commit. One of which only the hash is known is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Where it is.
    pub repository: RepositoryId,
    /// Its hash, or whatever the client names it by.
    pub sha: String,
    /// Its message.
    pub message: Option<String>,
    /// The address of its author.
    pub author: Option<String>,
    /// When it was made; where nobody said, when it became known.
    pub date: Timestamp,
    /// The files that it changed.
    #[serde(default)]
    pub files: BTreeMap<String, FileChange>,
    /// The groups that its message refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupId>,
    /// What was merged with it, by the key of the pull request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub merged: BTreeMap<String, Mention>,
}

impl Commit {
    /// The first line of its message.
    pub fn title(&self) -> &str {
        let message = self.message.as_deref().unwrap_or_default();
        message.lines().next().unwrap_or_default()
    }
}

/// Who made commits, as an organization knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitAuthor {
    /// In lower case.
    pub email: String,
    /// As the last commit that named them did.
    pub name: Option<String>,
}

/// Who made a commit, as a request says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenAuthor {
    email: String,
    name: Option<String>,
}

impl GivenAuthor {
    /// `None`: no author. An address that is left out is made of the name; one that is given, and blank, is
    /// nobody's, whatever the name.
    pub fn new(email: Option<&str>, name: Option<&str>) -> Option<Self> {
        let name = name.map(str::trim).filter(|name| !name.is_empty());
        let email = match email {
            Some(email) => email.trim().to_lowercase(),
            None => local_address(name?),
        };
        (!email.is_empty()).then(|| Self {
            email: cut(email),
            name: name.map(str::to_owned),
        })
    }

    /// The address, in lower case.
    pub fn email(&self) -> &str {
        &self.email
    }
}

fn local_address(name: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let kept: String = name.chars().filter(kept).collect();
    format!("{}@localhost", kept.to_lowercase())
}

fn cut(email: String) -> String {
    if email.chars().count() <= MAX_AUTHOR {
        return email;
    }
    let kept: String = email.chars().take(MAX_AUTHOR - 3).collect();
    format!("{kept}...")
}

/// What a request says of a commit. What it leaves out stays as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenCommit {
    /// Its hash, or whatever the client names it by.
    pub sha: String,
    /// The name of its repository; the organization's own where none is given.
    pub repository: RepositoryName,
    /// Its message; `Some(None)` says that it has none.
    pub message: Option<Option<String>>,
    /// Who made it.
    pub author: Option<GivenAuthor>,
    /// When.
    pub date: Option<Timestamp>,
    /// The files that it changed.
    pub files: BTreeMap<String, FileChange>,
}

impl GivenCommit {
    /// As much of a message as is kept: without the white space around it, and no half of a character. Of one
    /// that leaves its commit out nothing is kept but that.
    pub fn kept_message(text: &str) -> String {
        let text = text.trim();
        let kept = &text[..text.floor_char_boundary(KEPT_MESSAGE)];
        let skipped = text.contains(SKIP) && !kept.contains(SKIP);
        if skipped { SKIP } else { kept }.to_owned()
    }

    /// As many of the files as are kept. The first change of a path is the one that counts.
    pub fn kept_files(
        given: impl IntoIterator<Item = (String, FileChange)>,
    ) -> BTreeMap<String, FileChange> {
        let (mut files, mut bytes) = (BTreeMap::new(), 0);
        for (path, change) in given {
            bytes += path.len();
            if bytes > KEPT_PATHS {
                break;
            }
            files.entry(path).or_insert(change);
        }
        files
    }

    /// The issues that its message refers to; none where the message is the stored one, or not given.
    pub fn new_references(&self, stored: Option<&Commit>) -> BTreeSet<ShortId> {
        match self.new_message(stored) {
            Some(Some(message)) => references(message),
            Some(None) | None => BTreeSet::new(),
        }
    }

    fn new_message(&self, stored: Option<&Commit>) -> Option<&Option<String>> {
        let given = self.message.as_ref()?;
        let same = stored.is_some_and(|stored| stored.message == *given);
        (!same).then_some(given)
    }

    /// The repository of commits that name none.
    pub fn default_repository(organization: OrganizationId) -> RepositoryName {
        RepositoryName::new(&format!("organization-{organization}")).expect("a short name")
    }
}

/// The commits of a request, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitList {
    /// All repositories that were named. Their commits are replaced, those of others stay.
    pub named: BTreeSet<RepositoryName>,
    /// Without those that are left out.
    pub commits: Vec<GivenCommit>,
}

impl CommitList {
    /// Sorts by date, and leaves out what asks for it. Commits without a date come last, in the order in
    /// which they were given; so do all where none has one.
    pub fn new(mut given: Vec<GivenCommit>) -> Self {
        let named = given.iter().map(|commit| commit.repository.clone());
        let named = named.collect();
        let skipped = |commit: &GivenCommit| {
            let message = commit.message.iter().flatten().next();
            message.is_some_and(|message| message.contains(SKIP))
        };
        given.retain(|commit| !skipped(commit));
        given.sort_by_key(|commit| Reverse(commit.date));
        Self {
            named,
            commits: given,
        }
    }

    /// The issues that the messages in it refer to.
    pub fn references(&self) -> BTreeSet<ShortId> {
        let commits = self.commits.iter();
        commits
            .flat_map(|commit| commit.new_references(None))
            .collect()
    }

    /// Whether the release can note all repositories that it would have commits of. `known`: those that the
    /// list names and that exist.
    pub fn fits(&self, release: &Release, known: &[RepositoryId]) -> bool {
        let there = known.iter().filter(|id| release.lists.contains_key(id));
        release.lists.len() + self.named.len() <= MOST_LISTS + there.count()
    }

    /// The repositories that have commits in it.
    pub fn repositories(&self) -> BTreeSet<&RepositoryName> {
        self.commits
            .iter()
            .map(|commit| &commit.repository)
            .collect()
    }
}

/// What is to be written of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitWrite {
    /// Nothing: nothing is known of it but its hash, or nothing that is not stored.
    None,
    /// All of it: it is not stored, message, author and date are given, and it refers to nothing.
    Put(Commit),
    /// These fields, and what else there is stays.
    Update(CommitFields),
}

impl CommitWrite {
    /// Whether the commit refers to groups once it is written, or what was merged with it does.
    pub fn refers(&self, stored: Option<&Commit>) -> bool {
        let stored_does = stored.is_some_and(|stored| !stored.groups.is_empty());
        let merged = stored.is_some_and(|stored| !stored.merged.is_empty());
        let own = match self {
            Self::None => stored_does,
            Self::Put(commit) => !commit.groups.is_empty(),
            Self::Update(fields) => match &fields.groups {
                Some(groups) => !groups.is_empty(),
                None => stored_does,
            },
        };
        own || merged
    }
}

/// Fields of a commit; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // as in `Commit`
pub struct CommitFields {
    pub message: Option<Option<String>>,
    pub author: Option<String>,
    pub date: Option<Timestamp>,
    pub files: Option<BTreeMap<String, FileChange>>,
    pub groups: Option<Vec<GroupId>>,
}

/// Compares what is given with what is stored. Files are only ever added. `groups` are those that a new
/// message refers to.
pub fn write_commit(
    stored: Option<&Commit>,
    given: &GivenCommit,
    repository: RepositoryId,
    groups: Vec<GroupId>,
) -> CommitWrite {
    let author = given.author.as_ref().map(|author| author.email.clone());
    if let (None, Some(message), Some(_), Some(date), true) = (
        stored,
        &given.message,
        &author,
        given.date,
        groups.is_empty(),
    ) {
        return CommitWrite::Put(Commit {
            repository,
            sha: given.sha.clone(),
            message: message.clone(),
            author,
            date,
            files: given.files.clone(),
            groups,
            merged: BTreeMap::new(),
        });
    }
    let known = stored.map(|commit| &commit.files);
    let all = known.into_iter().flatten().chain(&given.files);
    let files = GivenCommit::kept_files(all.map(|(path, change)| (path.clone(), *change)));
    let differs = |stored: Option<bool>| stored.unwrap_or(true);
    let message = given.new_message(stored).cloned();
    let referred = stored.map_or(&[][..], |stored| &stored.groups);
    let fields = CommitFields {
        groups: (message.is_some() && referred != groups).then_some(groups),
        message,
        author: author
            .filter(|author| differs(stored.map(|stored| stored.author.as_ref() != Some(author)))),
        date: given
            .date
            .filter(|date| differs(stored.map(|stored| stored.date != *date))),
        files: (known.map_or(0, BTreeMap::len) != files.len()).then_some(files),
    };
    match fields == CommitFields::default() {
        true => CommitWrite::None,
        false => CommitWrite::Update(fields),
    }
}

/// The author as they are to be stored, if they are not. A commit without a name takes no name away.
pub fn write_author(stored: Option<&CommitAuthor>, given: &GivenAuthor) -> Option<CommitAuthor> {
    let named = given.name.clone();
    match stored {
        Some(stored) if named.is_none() || named == stored.name => None,
        Some(_) | None => Some(CommitAuthor {
            email: given.email.clone(),
            name: named,
        }),
    }
}

/// A commit in the list of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCommit {
    /// Its hash, or whatever the client names it by.
    pub sha: String,
    /// The address of its author, as far as it was known when the list was made.
    pub author: Option<String>,
    /// The date that the list is sorted by.
    pub date: Option<Timestamp>,
    /// Its place in the list that it was given in: the order of commits that have no date or the same.
    pub place: u32,
    /// Whether it, or what was merged with it, refers to groups.
    pub refers: bool,
}

impl ListedCommit {
    /// Sorts the newest first, and those without a date last.
    pub fn newest_first(&self) -> (Reverse<Option<Timestamp>>, u32) {
        (Reverse(self.date), self.place)
    }
}

/// The commits of one repository in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Each commit once, the newest first.
    pub commits: Vec<ListedCommit>,
    /// How many were given, those that were given twice included.
    pub count: u32,
}

impl Listing {
    /// Adds the next commit.
    pub fn push(&mut self, commit: ListedCommit) {
        self.count += 1;
        self.commits.push(commit);
    }

    /// Leaves each commit in its first place only.
    pub fn close(&mut self) {
        let mut seen = HashSet::new();
        self.commits
            .retain(|listed| seen.insert(listed.sha.clone()));
    }

    /// What a release notes of it, once it is written under `generation`. `None`: it is empty.
    pub fn note(&self, generation: Generation, most_authors: usize) -> Option<RepositoryList> {
        let newest = self.commits.first()?;
        let mut seen = HashSet::new();
        let authors = self.commits.iter().filter_map(|commit| {
            let author = commit.author.as_ref()?;
            seen.insert(author).then(|| author.clone())
        });
        Some(RepositoryList {
            generation,
            listed: u32::try_from(self.commits.len()).unwrap_or(u32::MAX),
            count: self.count,
            newest: newest.sha.clone(),
            date: newest.date,
            place: newest.place,
            authors: authors.take(most_authors).collect(),
        })
    }
}

/// What a release notes of the commits of one repository; the list itself lies beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryList {
    /// Which pages hold the list.
    pub generation: Generation,
    /// How many commits they hold.
    pub listed: u32,
    /// How many commits were given, those that were given twice included.
    pub count: u32,
    /// The newest commit.
    pub newest: String,
    /// The date that it is listed by.
    pub date: Option<Timestamp>,
    /// Its place in the list that it was given in.
    pub place: u32,
    /// Whose commits they are, by address; of very many the first.
    pub authors: Vec<String>,
}

/// A commit that a client names as the newest of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// Which repository.
    pub repository: RepositoryName,
    /// The newest commit.
    pub commit: String,
    /// After which commit those of the release begin, where the client says so.
    pub previous: Option<String>,
}

/// Texts that a script sends where it has no commit: no commit is called so.
const NO_COMMITS: [&str; 3] = ["null", "undefined", "None"];

impl Ref {
    /// Longest name of a commit, in characters.
    pub const MAX_COMMIT: usize = 64;

    /// Reads a commit, or a range `start..end`, whose start counts instead of the `previous` commit that is
    /// given beside it. `None`: neither a commit nor a range.
    pub fn new(repository: RepositoryName, commit: &str, previous: Option<&str>) -> Option<Self> {
        let sides: Vec<_> = commit.split("..").collect();
        let (previous, commit) = match sides.as_slice() {
            [commit] => (previous, *commit),
            [start, end] => (Some(*start), *end),
            _ => return None,
        };
        let valid = previous.is_none_or(Self::is_commit) && Self::is_commit(commit);
        valid.then(|| Self {
            repository,
            commit: commit.to_owned(),
            previous: previous.map(str::to_owned),
        })
    }

    /// Whether this is a commit's own name, whole: any other name may mean another commit tomorrow.
    pub fn is_hash(commit: &str) -> bool {
        matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// Whether a commit can be called so.
    pub fn is_commit(text: &str) -> bool {
        let length = (1..=Self::MAX_COMMIT).contains(&text.chars().count());
        length && !text.starts_with('.') && !NO_COMMITS.contains(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(sha: &str, date: Option<i64>, message: &str) -> GivenCommit {
        GivenCommit {
            sha: sha.into(),
            repository: RepositoryName::new("web").unwrap(),
            message: Some(Some(message.into())),
            author: GivenAuthor::new(Some("Ann@Example.com"), Some("Ann")),
            date: date.map(Timestamp::from_millis),
            files: BTreeMap::new(),
        }
    }

    fn repository(number: u64) -> RepositoryId {
        RepositoryId::new(number).unwrap()
    }

    fn order(commits: &[GivenCommit]) -> Vec<&str> {
        commits.iter().map(|commit| commit.sha.as_str()).collect()
    }

    #[test]
    fn dated_commits_come_first_and_the_others_as_they_were_given() {
        let dates = [("a", Some(1)), ("b", None), ("c", Some(3)), ("d", None)];
        let list = CommitList::new(dates.map(|(sha, date)| given(sha, date, "m")).into());
        assert_eq!(order(&list.commits), ["c", "a", "b", "d"]);
        let list = CommitList::new(["x", "z", "y"].map(|sha| given(sha, None, "m")).into());
        assert_eq!(order(&list.commits), ["x", "z", "y"]);
    }

    #[test]
    fn a_commit_that_asks_for_it_is_left_out_but_its_repository_is_named() {
        let mut skipped = given("a", None, "wip #skipsentry please");
        skipped.repository = RepositoryName::new("other").unwrap();
        let mut silent = given("b", None, "");
        silent.message = Some(None);
        let list = CommitList::new(vec![skipped, silent]);
        assert_eq!(order(&list.commits), ["b"]);
        assert_eq!((list.named.len(), list.repositories().len()), (2, 1));
    }

    #[test]
    fn an_author_is_named_by_address_or_made_of_the_name() {
        let email = |email, name| GivenAuthor::new(email, name).map(|author| author.email);
        assert_eq!(email(Some("A@B.c"), None).as_deref(), Some("a@b.c"));
        assert_eq!(
            email(None, Some("Ann O'Neil-1")).as_deref(),
            Some("annoneil-1@localhost")
        );
        assert_eq!(email(Some(""), Some("Ann")), None);
        assert_eq!(email(None, None), None);
        assert_eq!(email(None, Some(" ")), None);
        let long = email(Some(&format!("{}@example.com", "x".repeat(242))), None).unwrap();
        assert_eq!((long.len(), &long[72..]), (75, "..."));
    }

    #[test]
    fn a_name_replaces_another_and_no_name_replaces_nothing() {
        let author = |name| GivenAuthor::new(Some("a@b.c"), name).unwrap();
        let ann = write_author(None, &author(Some("Ann"))).unwrap();
        assert_eq!(write_author(Some(&ann), &author(Some("Ann"))), None);
        assert_eq!(write_author(Some(&ann), &author(None)), None);
        let anna = write_author(Some(&ann), &author(Some("Anna"))).unwrap();
        assert_eq!(anna.name.as_deref(), Some("Anna"));
    }

    #[test]
    fn only_what_differs_is_written() {
        let mut new = given("a", Some(1), "m");
        let CommitWrite::Put(stored) = write_commit(None, &new, repository(1), Vec::new()) else {
            panic!("a complete commit is put");
        };
        assert_eq!(
            write_commit(Some(&stored), &new, repository(1), Vec::new()),
            CommitWrite::None
        );
        new.message = Some(Some("other".into()));
        new.files = [("b.txt".to_owned(), FileChange::Added)].into();
        let CommitWrite::Update(fields) =
            write_commit(Some(&stored), &new, repository(1), Vec::new())
        else {
            panic!("a differing commit is updated");
        };
        assert_eq!(fields.message, Some(Some("other".into())));
        assert_eq!((fields.author, fields.date), (None, None));
        assert_eq!(fields.files.unwrap().len(), 1);
    }

    #[test]
    fn a_bare_hash_is_not_stored_and_a_partial_commit_fills_in() {
        let mut bare = given("a", None, "");
        (bare.message, bare.author) = (None, None);
        assert_eq!(
            write_commit(None, &bare, repository(1), Vec::new()),
            CommitWrite::None
        );
        bare.author = GivenAuthor::new(Some("a@b.c"), None);
        let CommitWrite::Update(fields) = write_commit(None, &bare, repository(1), Vec::new())
        else {
            panic!("a partial commit is updated");
        };
        assert_eq!(
            (fields.message, fields.author.as_deref()),
            (None, Some("a@b.c"))
        );
    }

    #[test]
    fn a_file_that_is_known_keeps_its_change() {
        let mut new = given("a", Some(1), "m");
        new.files = [("b".to_owned(), FileChange::Added)].into();
        let CommitWrite::Put(stored) = write_commit(None, &new, repository(1), Vec::new()) else {
            panic!("a complete commit is put");
        };
        new.files.insert("b".into(), FileChange::Deleted);
        assert_eq!(
            write_commit(Some(&stored), &new, repository(1), Vec::new()),
            CommitWrite::None
        );
    }

    #[test]
    fn a_list_notes_its_newest_commit_and_each_commit_and_author_once() {
        let generation = Generation::new(Timestamp::from_millis(0), 1);
        let mut listing = Listing::default();
        assert_eq!(listing.note(generation, 9), None);
        for (place, (sha, author)) in [("a", "x@y"), ("b", "z@y"), ("a", "w@y"), ("c", "x@y")]
            .into_iter()
            .enumerate()
        {
            listing.push(ListedCommit {
                sha: sha.into(),
                author: Some(author.into()),
                date: None,
                place: u32::try_from(place).unwrap(),
                refers: false,
            });
        }
        listing.close();
        let note = listing.note(generation, 9).unwrap();
        assert_eq!((note.newest.as_str(), note.listed, note.count), ("a", 3, 4));
        assert_eq!(note.authors, ["x@y", "z@y"]);
        assert_eq!(listing.note(generation, 1).unwrap().authors, ["x@y"]);
    }

    fn read(commit: &str, previous: Option<&str>) -> Option<(String, Option<String>)> {
        let it = Ref::new(RepositoryName::new("web").unwrap(), commit, previous)?;
        Some((it.commit, it.previous))
    }

    #[test]
    fn a_range_names_both_its_ends_and_nothing_else_has_dots_in_a_row() {
        let both = |commit: &str, previous: &str| Some((commit.into(), Some(previous.into())));
        assert_eq!(read("abc", None), Some(("abc".into(), None)));
        assert_eq!(read("abc", Some("x")), both("abc", "x"));
        assert_eq!(read("HEAD~2..HEAD", None), both("HEAD", "HEAD~2"));
        assert_eq!(read("v1.0..v1.1", Some("x")), both("v1.1", "v1.0"));
        let longest = "a".repeat(64);
        let range = format!("{longest}..{longest}");
        assert_eq!(read(&range, None), both(&longest, &longest));
        let long = "a".repeat(65);
        for bad in [
            "",
            "..c",
            "p..",
            "..",
            "a..b..c",
            "a...b",
            "null",
            "undefined..abc",
            &long,
            &format!("a..{long}"),
        ] {
            assert_eq!(read(bad, None), None, "{bad}");
        }
        assert_eq!(read("abc", Some("null")), None);
    }

    #[test]
    fn only_a_whole_hash_means_the_same_commit_for_good() {
        let (sha1, sha256) = ("0a".repeat(20), "0A".repeat(32));
        assert!(Ref::is_hash(&sha1) && Ref::is_hash(&sha256));
        for name in [
            "main",
            "0a0a0a0",
            "v1.0",
            &"0g".repeat(20),
            &"0a".repeat(21),
        ] {
            assert!(!Ref::is_hash(name), "{name}");
        }
    }
}
