//! The commits of releases.
//!
//! What is known of a commit lies in a partition of its own. Which commits a release has of a repository is
//! a list in pages under a generation, and the release names the generation that counts: a new list is
//! written beside the old one, and one write makes all that came together the release's. Readers go
//! through the release, so they see the old lists or the new ones.

use std::collections::{BTreeMap, HashMap, HashSet};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    CodeChange, Commit, CommitAuthor, CommitFields, CommitList, CommitRef, CommitWrite, Email,
    Generation, GivenAuthor, LinkGroups, ListedCommit, Listing, MOST_AUTHORS, Message,
    OrganizationId, Release, ReleaseId, Repository, RepositoryId, RepositoryList, ResolveGroups,
    Timestamp, TraceId, User, write_author, write_commit,
};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    fetches::record_deploys,
    keys::{self, Key},
    mentions::NamedGroups,
    releases::{AddressOwner, Found},
    repositories::repositories_among,
    table::{
        ATTEMPTS, BATCHES_AT_ONCE, Item, Page, Store, attributes, read, step_aside, text, value,
        write,
    },
    transaction::{Change, Commit as Committed},
};

/// How many commits a page holds: far below an item's limit whatever they are named.
const PAGE: usize = 500;

/// How many commits that refer to groups are written at once: as large as they may be, they fit.
const REFERRING_AT_ONCE: usize = 20;

/// How old a list is that no writer can be about to make a release's any more.
const ABANDONED_AFTER_MS: i64 = 60 * 60 * 1000;

/// A part of a commit list.
#[derive(Serialize, Deserialize)]
pub(crate) struct CommitPage {
    authors: Vec<String>,
    /// For each commit its author, by their number above, the milliseconds of its date, its place and its
    /// name: as JSON, which is half of what the table's own lists take.
    commits: String,
    /// Which of them refer to groups, by their number.
    #[serde(default, skip_serializing_if = "HashSet::is_empty")]
    refers: HashSet<usize>,
}

type PackedCommit = (Option<usize>, Option<i64>, u32, String);

impl CommitPage {
    fn pack(commits: &[ListedCommit]) -> Self {
        let mut authors: Vec<String> = Vec::new();
        let mut numbers = HashMap::new();
        let packed: Vec<PackedCommit> = commits
            .iter()
            .map(|listed| {
                let author = listed.author.as_ref().map(|author| {
                    *numbers.entry(author).or_insert_with(|| {
                        authors.push(author.clone());
                        authors.len() - 1
                    })
                });
                let date = listed.date.map(Timestamp::millis);
                (author, date, listed.place, listed.sha.clone())
            })
            .collect();
        Self {
            authors,
            commits: serde_json::to_string(&packed).expect("numbers and texts"),
            refers: (0..commits.len())
                .filter(|number| commits[*number].refers)
                .collect(),
        }
    }

    pub(crate) fn unpack(self, key: &Key) -> Result<Vec<ListedCommit>, StoreError> {
        let packed: Result<Vec<PackedCommit>, _> = serde_json::from_str(&self.commits);
        let packed = packed.map_err(|error| StoreError::Unreadable {
            key: format!("{} {}", key.pk, key.sk),
            cause: error.to_string(),
        })?;
        let listed = packed
            .into_iter()
            .enumerate()
            .map(|(number, (author, date, place, sha))| ListedCommit {
                sha,
                author: author.and_then(|author| self.authors.get(author).cloned()),
                date: date.map(Timestamp::from_millis),
                place,
                refers: self.refers.contains(&number),
            });
        Ok(listed.collect())
    }
}

/// A commit of a release with what is shown of it.
#[derive(Debug)]
pub struct CommitView {
    /// Which.
    pub commit: CommitRef,
    /// What is known of it; `None`: its name alone.
    pub known: Option<Commit>,
    /// Who made it.
    pub author: Option<CommitAuthor>,
    /// The member who that is.
    pub person: Option<User>,
    /// Where it is.
    pub repository: Option<Repository>,
}

/// What has to be written of the commits of a list, and the list of each repository that it names.
struct Prepared {
    lists: BTreeMap<RepositoryId, Listing>,
    puts: Vec<Item>,
    updates: Vec<(CommitRef, CommitFields)>,
}

impl Store {
    /// Makes a list the commits of a release, for the repositories that it names; those of others stay. A
    /// list never depends on what was there, so writers that meet need not wait for one another: of each
    /// repository the last one counts, and what was to be fetched of it is not waited for any more. `None`:
    /// the release is gone.
    pub async fn set_commits(
        &self,
        release: &Release,
        list: &CommitList,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<Option<Release>, StoreError> {
        let written = self.write_lists(release, list, trace, now).await?;
        let key = keys::release(release.organization, &release.version);
        let change = written.lists.change(release.id, None)?;
        let mut transaction = self.transaction().update(&key, change)?;
        if let Some(resolve) = written.resolve {
            transaction = transaction.send(resolve, trace, now, now)?;
        }
        // Of a fetch that the list takes away nobody else tells that it has ended.
        if !release.fetches.is_empty() {
            transaction = transaction.send(record_deploys(release), trace, now, now)?;
        }
        if transaction.commit().await? != Committed::Done {
            return Ok(None);
        }
        // What is left over is met again by a later list.
        let _ = self.delete_all(written.superseded).await;
        self.release_again(release).await
    }

    /// Writes the commits, authors and repositories of a list, and its pages beside those that the release
    /// has: everything but the release itself.
    pub(crate) async fn write_lists(
        &self,
        release: &Release,
        list: &CommitList,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<WrittenLists, StoreError> {
        let own = keys::release_id(release.id).pk;
        let (pages, prepared) = tokio::try_join!(
            self.keys_in(&own, keys::COMMIT_PAGES),
            self.prepare(release, list, now),
        )?;
        let mut prepared = prepared;
        let lists: HashSet<_> = release.lists.keys().chain(prepared.lists.keys()).collect();
        let most_authors = (MOST_AUTHORS / lists.len().max(1)).max(1);
        let mut next = Lists::default();
        let mut referring = BTreeMap::new();
        for (repository, listing) in &prepared.lists {
            let generation = Generation::new(now, rand::random());
            if listing.commits.iter().any(|commit| commit.refers) {
                referring.insert(*repository, generation);
            }
            for (number, commits) in listing.commits.chunks(PAGE).enumerate() {
                let key = keys::commit_page(release.id, generation, number);
                prepared.puts.push(write(&key, &CommitPage::pack(commits))?);
            }
            next.0
                .push((*repository, listing.note(generation, most_authors)));
        }
        self.write_commits(release, prepared.puts, prepared.updates, trace, now)
            .await?;
        let resolve = (!referring.is_empty()).then(|| {
            Message::ResolveGroups(ResolveGroups {
                organization: release.organization,
                release: release.id,
                version: release.version.clone(),
                lists: referring,
                done: 0,
            })
        });
        Ok(WrittenLists {
            superseded: superseded(release, &pages, &next, now),
            lists: next,
            resolve,
        })
    }

    /// Stores what is known of commits, and their authors, whatever becomes of them.
    pub async fn note_commits(
        &self,
        release: &Release,
        list: &CommitList,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let prepared = self.prepare(release, list, now).await?;
        self.write_commits(release, prepared.puts, prepared.updates, trace, now)
            .await
    }

    async fn write_commits(
        &self,
        release: &Release,
        puts: Vec<Item>,
        updates: Vec<(CommitRef, CommitFields)>,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.put_all(puts).await?;
        let (linking, plain): (Vec<_>, Vec<_>) = updates
            .into_iter()
            .partition(|(_, fields)| fields.groups.is_some());
        self.update_commits(plain, now).await?;
        self.update_referring(release.organization, &linking, trace, now)
            .await
    }

    /// Those of the commits of which anything is known.
    pub async fn known_commits(&self, commits: &[CommitRef]) -> Result<Vec<Commit>, StoreError> {
        self.get_list(commits.iter().map(keys::commit).collect())
            .await
    }

    pub(crate) async fn release_again(
        &self,
        release: &Release,
    ) -> Result<Option<Release>, StoreError> {
        let found = self.release(release.organization, &release.version).await?;
        Ok(found.filter(|found| found.id == release.id))
    }

    /// Compares a list with what is stored of its commits and authors. Repositories that are not known are
    /// made.
    async fn prepare(
        &self,
        release: &Release,
        list: &CommitList,
        now: Timestamp,
    ) -> Result<Prepared, StoreError> {
        let names: Vec<_> = list.named.iter().cloned().collect();
        // What messages refer to is read with what is read anyway.
        let mut groups = NamedGroups::new(release.organization, list.references());
        let name = |name| keys::repository_name(release.organization, name);
        let wanted = names.iter().map(name).chain(groups.slugs()).collect();
        let found = self.get_all(wanted).await?;
        let known = repositories_among(&found, release.organization, &names)?;
        groups.read_projects(&found)?;
        let wanted: Vec<_> = list.repositories().into_iter().cloned().collect();
        let repositories = self
            .make_repositories(release.organization, &wanted, known, now)
            .await?;
        let reference = |commit: &domain::GivenCommit| {
            let repository = *repositories.get(&commit.repository.folded())?;
            let sha = commit.sha.clone();
            Some(CommitRef { repository, sha })
        };
        let given: Vec<_> = list
            .commits
            .iter()
            .filter_map(|commit| Some((reference(commit)?, commit)))
            .collect();
        // The first name that an address comes with is the one that counts.
        let mut authors: HashMap<&str, &GivenAuthor> = HashMap::new();
        for author in list.commits.iter().filter_map(|c| c.author.as_ref()) {
            authors.entry(author.email()).or_insert(author);
        }
        let author_key = |email: &str| keys::commit_author(release.organization, email);
        let mut wanted: HashSet<_> = given
            .iter()
            .map(|(reference, _)| keys::commit(reference))
            .collect();
        wanted.extend(authors.keys().map(|email| author_key(email)));
        wanted.extend(groups.short_ids());
        let found = self.get_all(wanted.into_iter().collect()).await?;
        let mut stored: HashMap<CommitRef, Commit> = HashMap::new();
        for (reference, _) in &given {
            let key = keys::commit(reference);
            if let Some(item) = found.get(&key) {
                stored.insert(reference.clone(), read(&key, item.clone())?);
            }
        }
        let groups = groups.groups(&found)?;

        let named = list.named.iter();
        let named = named.filter_map(|name| repositories.get(&name.folded()));
        let mut prepared = Prepared {
            lists: named.map(|id| (*id, Listing::default())).collect(),
            puts: Vec::new(),
            updates: Vec::new(),
        };
        let mut once = HashSet::new();
        for (place, (reference, given)) in given.into_iter().enumerate() {
            let stored = stored.get(&reference);
            let new = given.new_references(stored);
            let new = new.iter().filter_map(|id| groups.get(id).copied());
            let written = write_commit(stored, given, reference.repository, new.collect());
            let own = given
                .author
                .as_ref()
                .map(|author| author.email().to_owned());
            let listing = prepared.lists.entry(reference.repository).or_default();
            listing.push(ListedCommit {
                sha: given.sha.clone(),
                author: own.or_else(|| stored?.author.clone()),
                date: given.date,
                place: u32::try_from(place).unwrap_or(u32::MAX),
                refers: written.refers(stored),
            });
            if !once.insert(reference.clone()) {
                continue;
            }
            match written {
                CommitWrite::None => {}
                CommitWrite::Put(commit) => {
                    prepared
                        .puts
                        .push(write(&keys::commit(&reference), &commit)?);
                }
                CommitWrite::Update(fields) => prepared.updates.push((reference, fields)),
            }
        }
        prepared.lists.values_mut().for_each(Listing::close);
        for (email, author) in authors {
            let key = author_key(email);
            let stored: Option<CommitAuthor> = match found.get(&key) {
                Some(item) => Some(read(&key, item.clone())?),
                None => None,
            };
            if let Some(author) = write_author(stored.as_ref(), author) {
                prepared.puts.push(write(&key, &author)?);
            }
        }
        Ok(prepared)
    }

    async fn update_commits(
        &self,
        updates: Vec<(CommitRef, CommitFields)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for wave in updates.chunks(BATCHES_AT_ONCE) {
            let wave = wave
                .iter()
                .map(|(commit, fields)| self.update_commit(commit, fields, now));
            try_join_all(wave).await?;
        }
        Ok(())
    }

    /// The same for commits that refer to groups, or did: what the groups are to know goes with it.
    async fn update_referring(
        &self,
        organization: OrganizationId,
        updates: &[(CommitRef, CommitFields)],
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let chunks: Vec<_> = updates.chunks(REFERRING_AT_ONCE).collect();
        for wave in chunks.chunks(BATCHES_AT_ONCE) {
            let wave = wave.iter().map(|chunk| async {
                let mut transaction = self.transaction();
                for (commit, fields) in *chunk {
                    let change = commit_change(commit, fields, now)?;
                    transaction = transaction.update(&keys::commit(commit), change)?;
                }
                let commits = chunk.iter().map(|(commit, _)| commit.clone());
                let link = Message::LinkGroups(LinkGroups {
                    organization,
                    changes: commits.map(CodeChange::Commit).collect(),
                });
                match transaction.send(link, trace, now, now)?.commit().await? {
                    Committed::Done => Ok(()),
                    Committed::Refused(_) => Err(StoreError::Contended("the commits".into())),
                }
            });
            try_join_all(wave).await?;
        }
        Ok(())
    }

    async fn update_commit(
        &self,
        commit: &CommitRef,
        fields: &CommitFields,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let change = commit_change(commit, fields, now)?;
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(attributes(&keys::commit(commit))))
            .update_expression(change.expression)
            .set_expression_attribute_names(Some(change.names.into_iter().collect()))
            .set_expression_attribute_values(Some(change.values))
            .send()
            .await
            .map_err(|e| StoreError::sdk("UpdateItem", e))?;
        Ok(())
    }

    /// The commits of a release, the newest first: whole lists, however often they are replaced meanwhile.
    /// `None`: the release is gone.
    pub async fn release_commits(
        &self,
        release: &Release,
        skip: usize,
        limit: usize,
    ) -> Result<Option<Page<CommitView>>, StoreError> {
        let mut seen = release.clone();
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            if let Some(listed) = self.listed_commits(&seen, skip, limit).await? {
                let rows = self.show_commits(&seen, listed).await?;
                let all: u32 = seen.lists.values().map(|list| list.listed).sum();
                let more = skip + limit < all as usize;
                return Ok(Some(Page { rows, more }));
            }
            match self.release_again(&seen).await? {
                Some(found) => seen = found,
                None => return Ok(None),
            }
        }
        Err(StoreError::Contended(format!("release {}", seen.id)))
    }

    /// `None`: a page is gone, so one of the lists is not the release's any more.
    async fn listed_commits(
        &self,
        release: &Release,
        skip: usize,
        limit: usize,
    ) -> Result<Option<Vec<(RepositoryId, ListedCommit)>>, StoreError> {
        // Each row could be any list's, so of each list as many are read as there are rows up to the last.
        let first = match release.lists.len() {
            1 => skip / PAGE,
            _ => 0,
        };
        let mut wanted = Vec::new();
        for (repository, list) in &release.lists {
            let end = (skip + limit).min(list.listed as usize).div_ceil(PAGE);
            let pages = (first..end).map(|n| keys::commit_page(release.id, list.generation, n));
            wanted.extend(pages.map(|key| (*repository, key)));
        }
        let keys = wanted.iter().map(|(_, key)| key.clone()).collect();
        let mut found = self.get_all(keys).await?;
        let mut commits = Vec::new();
        for (repository, key) in wanted {
            let Some(item) = found.remove(&key) else {
                return Ok(None);
            };
            let page: CommitPage = read(&key, item)?;
            let listed = page.unpack(&key)?.into_iter();
            commits.extend(listed.map(|listed| (repository, listed)));
        }
        commits.sort_by_key(|(_, listed)| listed.newest_first());
        let rows = commits.into_iter().skip(skip - first * PAGE).take(limit);
        Ok(Some(rows.collect()))
    }

    /// The commits of one list of a release that refer to groups, themselves or by what was merged with them.
    /// `None`: the list is not the release's any more.
    pub async fn referring_commits(
        &self,
        release: &Release,
        repository: RepositoryId,
        generation: Generation,
    ) -> Result<Option<Vec<ListedCommit>>, StoreError> {
        let list = release.lists.get(&repository);
        let Some(list) = list.filter(|list| list.generation == generation) else {
            return Ok(None);
        };
        let pages: Vec<_> = pages_of(release, list).collect();
        let mut found = self.get_all(pages.clone()).await?;
        let mut referring = Vec::new();
        for key in pages {
            let Some(item) = found.remove(&key) else {
                return Ok(None);
            };
            let page: CommitPage = read(&key, item)?;
            let listed = page.unpack(&key)?.into_iter();
            referring.extend(listed.filter(|commit| commit.refers));
        }
        Ok(Some(referring))
    }

    async fn show_commits(
        &self,
        release: &Release,
        listed: Vec<(RepositoryId, ListedCommit)>,
    ) -> Result<Vec<CommitView>, StoreError> {
        let organization = release.organization;
        let reference = |(repository, listed): (RepositoryId, ListedCommit)| {
            let sha = listed.sha;
            (CommitRef { repository, sha }, listed.author)
        };
        let listed: Vec<_> = listed.into_iter().map(reference).collect();
        let mut wanted = HashSet::new();
        for (commit, author) in &listed {
            wanted.insert(keys::commit(commit));
            wanted.insert(keys::repository(commit.repository));
            if let Some(author) = author {
                wanted.insert(keys::commit_author(organization, author));
                let address = author.parse::<Email>().ok();
                wanted.extend(address.as_ref().map(keys::email_owner));
            }
        }
        let mut found = Found(self.get_all(wanted.into_iter().collect()).await?);
        let (mut authors, mut repositories) = (HashMap::new(), HashMap::new());
        let (mut commits, mut owners) = (HashMap::new(), HashMap::new());
        for (commit, author) in &listed {
            let repository = commit.repository;
            found.take::<_, Commit>(&keys::commit(commit), commit.clone(), &mut commits)?;
            let key = keys::repository(repository);
            found.take::<_, Repository>(&key, repository, &mut repositories)?;
            if let Some(author) = author {
                let key = keys::commit_author(organization, author);
                found.take::<_, CommitAuthor>(&key, author.clone(), &mut authors)?;
                if let Ok(address) = author.parse::<Email>() {
                    let key = keys::email_owner(&address);
                    found.take::<_, AddressOwner>(&key, author.clone(), &mut owners)?;
                }
            }
        }
        let people = self.members_among(organization, owners).await?;
        let views = listed.into_iter().map(|(commit, author)| CommitView {
            known: commits.get(&commit).cloned(),
            author: author.as_ref().and_then(|a| authors.get(a)).cloned(),
            person: author.as_ref().and_then(|a| people.get(a)).cloned(),
            repository: repositories.get(&commit.repository).cloned(),
            commit,
        });
        Ok(views.collect())
    }
}

/// Lists that are written and not the release's yet.
pub(crate) struct WrittenLists {
    pub(crate) lists: Lists,
    /// The pages that nobody needs once they are.
    pub(crate) superseded: Vec<Key>,
    /// What is to be done about the groups that the commits refer to, if they do.
    pub(crate) resolve: Option<Message>,
}

/// The lists that a release gets; `None` takes the one of a repository away.
#[derive(Default)]
pub(crate) struct Lists(Vec<(RepositoryId, Option<RepositoryList>)>);

impl Lists {
    /// Makes them the release's, all at once. What refs named as newest stays, and what an earlier list
    /// began with; `head` is what refs named, by its own name, and takes its place. A transaction makes it,
    /// although it is one write: made again after its answer was lost, it is known for what it is.
    pub(crate) fn change(
        &self,
        release: ReleaseId,
        head: Option<&CommitRef>,
    ) -> Result<Change, StoreError> {
        let mut change = Change {
            expression: "SET commit_seq = commit_seq + :one".into(),
            condition: "id = :id".into(),
            names: Vec::new(),
            values: [
                (":one".into(), value(&1)?),
                (":id".into(), value(&release)?),
            ]
            .into(),
        };
        let mut removed = Vec::new();
        for (n, (repository, list)) in self.0.iter().enumerate() {
            change
                .names
                .push((format!("#r{n}"), repository.to_string()));
            removed.push(format!("fetches.#r{n}"));
            match list {
                Some(list) => {
                    change
                        .expression
                        .push_str(&format!(", lists.#r{n} = :l{n}"));
                    change.values.insert(format!(":l{n}"), value(list)?);
                }
                None => removed.push(format!("lists.#r{n}")),
            }
            let own = head.filter(|head| head.repository == *repository);
            let set = match (own, list) {
                (Some(head), _) => Some((format!(":h{n}"), &head.sha)),
                (None, Some(list)) => {
                    Some((format!("if_not_exists(heads.#r{n}, :h{n})"), &list.newest))
                }
                (None, None) => None,
            };
            if let Some((set, sha)) = set {
                change
                    .expression
                    .push_str(&format!(", heads.#r{n} = {set}"));
                change.values.insert(format!(":h{n}"), text(sha));
            }
        }
        if !removed.is_empty() {
            let removed = removed.join(", ");
            change.expression.push_str(&format!(" REMOVE {removed}"));
        }
        Ok(change)
    }
}

/// Sets the given fields of a commit, and makes it if it is not there. Made again it sets the same.
pub(crate) fn commit_change(
    commit: &CommitRef,
    fields: &CommitFields,
    now: Timestamp,
) -> Result<Change, StoreError> {
    // "date" and "groups" are reserved words.
    let mut sets = vec![
        "repository = :repository".to_owned(),
        "sha = :sha".to_owned(),
    ];
    let mut names = vec![("#date".to_owned(), "date".to_owned())];
    let mut values: Item = [
        (":repository".into(), value(&commit.repository)?),
        (":sha".into(), text(&commit.sha)),
    ]
    .into();
    let none = || value(&None::<()>);
    let mut set = |attribute: &str, name: &str, given: Option<AttributeValue>, other| {
        sets.push(match &given {
            Some(_) => format!("{attribute} = :{name}"),
            None => format!("{attribute} = if_not_exists({attribute}, :{name})"),
        });
        values.insert(format!(":{name}"), given.unwrap_or(other));
    };
    let message = fields.message.as_ref().map(value).transpose()?;
    set("message", "message", message, none()?);
    let author = fields.author.as_ref().map(value).transpose()?;
    set("author", "author", author, none()?);
    let date = fields.date.as_ref().map(value).transpose()?;
    set("#date", "date", date, value(&now)?);
    if let Some(files) = &fields.files {
        sets.push("files = :files".into());
        values.insert(":files".into(), value(files)?);
    }
    let mut removed = "";
    if let Some(groups) = &fields.groups {
        names.push(("#groups".into(), "groups".into()));
        match groups.is_empty() {
            true => removed = " REMOVE #groups",
            false => {
                sets.push("#groups = :groups".into());
                values.insert(":groups".into(), value(groups)?);
            }
        }
    }
    Ok(Change {
        expression: format!("SET {}{removed}", sets.join(", ")),
        condition: String::new(),
        names,
        values,
    })
}

pub(crate) fn pages_of(release: &Release, list: &RepositoryList) -> impl Iterator<Item = Key> {
    let (release, generation) = (release.id, list.generation);
    let pages = 0..(list.listed as usize).div_ceil(PAGE);
    pages.map(move |page| keys::commit_page(release, generation, page))
}

/// The pages that are not needed once a release has new lists: those of the lists that it had, and what was
/// left by writers that met or did not come so far. `pages` are those that were there after the release was
/// read: one that is an hour old and not in a list that the release had then is in none any more.
fn superseded(release: &Release, pages: &[Key], next: &Lists, now: Timestamp) -> Vec<Key> {
    let replaced = next.0.iter();
    let replaced = replaced.filter_map(|(repository, _)| release.lists.get(repository));
    let mut old: Vec<_> = replaced.flat_map(|list| pages_of(release, list)).collect();
    let listed: HashSet<_> = release.lists.values().map(|list| list.generation).collect();
    let abandoned = pages.iter().filter(|key| {
        let generation = keys::generation_of(key);
        generation.is_some_and(|generation| {
            let written = generation.written();
            !listed.contains(&generation) && written.plus(ABANDONED_AFTER_MS) < now
        })
    });
    old.extend(abandoned.cloned());
    old
}
