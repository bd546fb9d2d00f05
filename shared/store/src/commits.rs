//! The commits of releases.
//!
//! What is known of a commit lies in a partition of its own. Which commits a release has is a list in
//! pages under a generation, and the release names the generation that counts: a new list is written
//! beside the old one, and one conditional write makes it the release's. Readers go through the release,
//! so they see the old list or the new one.

use std::collections::{BTreeSet, HashMap, HashSet};

use aws_sdk_dynamodb::types::ReturnValue;
use domain::{
    Commit, CommitAuthor, CommitFields, CommitList, CommitRef, CommitWrite, Email, Generation,
    GivenAuthor, Head, ListedCommit, Listing, Release, Repository, RepositoryId, Timestamp, User,
    merge_commits, write_author, write_commit,
};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys::{self, Key},
    releases::{AddressOwner, Found},
    table::{
        ATTEMPTS, BATCHES_AT_ONCE, Item, Page, Query, Store, attributes, key_of, read, step_aside,
        text, value, write,
    },
    transaction::{Change, Commit as Committed},
};

/// How many commits a page holds: far below an item's limit whatever they are named.
const PAGE: usize = 500;

/// How old a list is that no writer can be about to make a release's any more.
const ABANDONED_AFTER_MS: i64 = 60 * 60 * 1000;

/// A part of a commit list.
#[derive(Serialize, Deserialize)]
struct CommitPage {
    generation: Generation,
    page: usize,
    repositories: Vec<RepositoryId>,
    authors: Vec<String>,
    /// For each commit repository and author, by their number above, the milliseconds of its date, and its
    /// name: as JSON, which is half of what the table's own lists take.
    commits: String,
}

type PackedCommit = (usize, Option<usize>, Option<i64>, String);

impl CommitPage {
    fn pack(generation: Generation, page: usize, commits: &[ListedCommit]) -> Self {
        let (mut repositories, mut authors) = (Vec::new(), Vec::new());
        let packed: Vec<PackedCommit> = commits
            .iter()
            .map(|listed| {
                let author = listed.author.as_ref();
                (
                    number(&mut repositories, &listed.commit.repository),
                    author.map(|author| number(&mut authors, author)),
                    listed.date.map(Timestamp::millis),
                    listed.commit.sha.clone(),
                )
            })
            .collect();
        Self {
            generation,
            page,
            repositories,
            authors,
            commits: serde_json::to_string(&packed).expect("numbers and texts"),
        }
    }

    fn unpack(&self, key: &Key) -> Result<Vec<ListedCommit>, StoreError> {
        let unreadable = |cause: String| StoreError::Unreadable {
            key: format!("{} {}", key.pk, key.sk),
            cause,
        };
        let packed: Vec<PackedCommit> =
            serde_json::from_str(&self.commits).map_err(|e| unreadable(e.to_string()))?;
        let listed = packed.into_iter().map(|(repository, author, date, sha)| {
            let author = author.map(|author| self.authors.get(author).cloned());
            Some(ListedCommit {
                commit: CommitRef {
                    repository: *self.repositories.get(repository)?,
                    sha,
                },
                author: match author {
                    Some(author) => Some(author?),
                    None => None,
                },
                date: date.map(Timestamp::from_millis),
            })
        });
        let listed: Option<_> = listed.collect();
        listed.ok_or_else(|| unreadable("a number that stands for nothing".into()))
    }
}

/// The place of a thing in a list, where it is put if it is not there.
fn number<T: PartialEq + Clone>(list: &mut Vec<T>, thing: &T) -> usize {
    match list.iter().position(|known| known == thing) {
        Some(place) => place,
        None => {
            list.push(thing.clone());
            list.len() - 1
        }
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

/// The commit lists that lie with a release, and which items they are.
#[derive(Default)]
struct Pages(Vec<(Key, CommitPage)>);

impl Pages {
    /// The list of a generation. `None`: it is not all there, so it is no release's any more.
    fn listing(&self, release: &Release) -> Result<Option<Vec<ListedCommit>>, StoreError> {
        let mut commits = Vec::new();
        let own = |page: &CommitPage| Some(page.generation) == release.generation;
        for (key, page) in self.0.iter().filter(|(_, page)| own(page)) {
            commits.extend(page.unpack(key)?);
        }
        let whole = commits.len() == release.listed as usize;
        Ok(whole.then_some(commits))
    }

    /// What is not needed once the release has another generation: its present one, and what writers left
    /// that did not come so far.
    fn superseded(&self, release: &Release, now: Timestamp) -> Vec<Key> {
        let abandoned =
            |page: &CommitPage| page.generation.written().plus(ABANDONED_AFTER_MS) < now;
        let old =
            |page: &CommitPage| Some(page.generation) == release.generation || abandoned(page);
        let old = self.0.iter().filter(|(_, page)| old(page));
        old.map(|(key, _)| key.clone()).collect()
    }
}

/// What has to be written of the commits of a list, and the list as the release is to have it.
struct Prepared {
    replaced: BTreeSet<RepositoryId>,
    listed: Vec<ListedCommit>,
    puts: Vec<Item>,
    updates: Vec<(CommitRef, CommitFields)>,
}

impl Store {
    /// Makes a list the commits of a release, for the repositories that it names; those of others stay.
    /// Writers that meet follow one another. `None`: the release is gone.
    pub async fn set_commits(
        &self,
        release: &Release,
        list: &CommitList,
        now: Timestamp,
    ) -> Result<Option<Release>, StoreError> {
        let names: Vec<_> = list.named.iter().cloned().collect();
        let (mut pages, known) = tokio::try_join!(
            self.commit_pages(release),
            self.repositories_named(release.organization, &names),
        )?;
        let wanted: Vec<_> = list.repositories().into_iter().cloned().collect();
        let repositories = self
            .make_repositories(release.organization, &wanted, known, now)
            .await?;
        let mut prepared = self.prepare(release, list, &repositories).await?;
        self.update_commits(std::mem::take(&mut prepared.updates), now)
            .await?;
        let mut seen = release.clone();
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            if let Some(known) = pages.listing(&seen)? {
                let listing = merge_commits(known, &prepared.replaced, &prepared.listed);
                let puts = std::mem::take(&mut prepared.puts);
                let next = self.write_listing(&seen, &listing, puts, now).await?;
                if let Some(next) = next {
                    // What is left over is met again by the next list.
                    let _ = self.delete_all(pages.superseded(&seen, now)).await;
                    return Ok(Some(next));
                }
            }
            match self.release(seen.organization, &seen.version).await? {
                Some(found) if found.id == seen.id => seen = found,
                Some(_) | None => return Ok(None),
            }
            pages = self.commit_pages(&seen).await?;
        }
        Err(StoreError::Contended(format!("release {}", seen.id)))
    }

    /// Writes a list beside the present one and makes it the release's. `None`: the commits of the release
    /// were changed since it was `seen`, and nothing is left of the new list.
    async fn write_listing(
        &self,
        seen: &Release,
        listing: &Listing,
        mut puts: Vec<Item>,
        now: Timestamp,
    ) -> Result<Option<Release>, StoreError> {
        let generation = Generation::new(now, rand::random());
        let mut pages = Vec::new();
        for (number, commits) in listing.commits.chunks(PAGE).enumerate() {
            let key = keys::commit_page(seen.id, generation, number);
            puts.push(write(&key, &CommitPage::pack(generation, number, commits))?);
            pages.push(key);
        }
        self.put_all(puts).await?;
        let mut next = seen.clone();
        next.take((!pages.is_empty()).then_some(generation), listing);
        match self.replace_commits(seen, &next).await? {
            Committed::Done => Ok(Some(next)),
            Committed::Refused(_) => {
                let _ = self.delete_all(pages).await;
                Ok(None)
            }
        }
    }

    /// Names the newest commits of repositories. `None`: the release is gone.
    pub async fn set_heads(
        &self,
        release: &Release,
        heads: &[Head],
    ) -> Result<Option<Release>, StoreError> {
        let decide = |seen: &Release| {
            let mut next = seen.clone();
            next.heads = seen.heads_with(heads);
            next.commit_seq += 1;
            next
        };
        self.change_commits(release, decide).await
    }

    /// Takes all commits from a release. `None`: it is gone.
    pub async fn clear_commits(&self, release: &Release) -> Result<Option<Release>, StoreError> {
        let decide = |seen: &Release| {
            let mut next = seen.clone();
            next.clear_commits();
            next
        };
        let pages = self.commit_pages(release).await?;
        let cleared = self.change_commits(release, decide).await?;
        let old = pages.0.into_iter().map(|(key, _)| key);
        let _ = self.delete_all(old.collect()).await;
        Ok(cleared)
    }

    async fn change_commits(
        &self,
        release: &Release,
        decide: impl Fn(&Release) -> Release,
    ) -> Result<Option<Release>, StoreError> {
        let mut seen = release.clone();
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let next = decide(&seen);
            if self.replace_commits(&seen, &next).await? == Committed::Done {
                return Ok(Some(next));
            }
            match self.release(seen.organization, &seen.version).await? {
                Some(found) if found.id == seen.id => seen = found,
                Some(_) | None => return Ok(None),
            }
        }
        Err(StoreError::Contended(format!("release {}", seen.id)))
    }

    /// Changes what the commits of a release are, if nobody else did. A transaction, although it is one
    /// write: made again after its answer was lost, it is known for what it is.
    async fn replace_commits(
        &self,
        seen: &Release,
        next: &Release,
    ) -> Result<Committed, StoreError> {
        let fields = [
            ("commit_seq", value(&next.commit_seq)?),
            ("generation", value(&next.generation)?),
            ("listed", value(&next.listed)?),
            ("commit_count", value(&next.commit_count)?),
            ("last_commit", value(&next.last_commit)?),
            ("authors", value(&next.authors)?),
            ("heads", value(&next.heads)?),
        ];
        let mut change = Change {
            condition: "commit_seq = :seen_seq AND generation = :seen_generation AND id = :id"
                .into(),
            values: [
                (":seen_seq".into(), value(&seen.commit_seq)?),
                (":seen_generation".into(), value(&seen.generation)?),
                (":id".into(), value(&seen.id)?),
            ]
            .into(),
            ..Change::default()
        };
        let mut sets = Vec::new();
        for (name, value) in fields {
            sets.push(format!("{name} = :{name}"));
            change.values.insert(format!(":{name}"), value);
        }
        change.expression = format!("SET {}", sets.join(", "));
        let key = keys::release(seen.organization, &seen.version);
        self.transaction().update(&key, change)?.commit().await
    }

    async fn commit_pages(&self, release: &Release) -> Result<Pages, StoreError> {
        let pk = keys::release_id(release.id).pk;
        let query = Query::prefix(&pk, keys::COMMIT_PAGES);
        let (mut pages, mut start) = (Pages::default(), None);
        loop {
            let (items, next) = self.query_page(&query, true, None, start).await?;
            for item in items {
                let key = key_of(&item);
                let page = read(&key, item)?;
                pages.0.push((key, page));
            }
            if next.is_none() {
                return Ok(pages);
            }
            start = next;
        }
    }

    /// Compares a list with what is stored of its commits and authors.
    async fn prepare(
        &self,
        release: &Release,
        list: &CommitList,
        repositories: &HashMap<String, RepositoryId>,
    ) -> Result<Prepared, StoreError> {
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
        let found = self.get_all(wanted.into_iter().collect()).await?;

        let mut prepared = Prepared {
            replaced: list
                .named
                .iter()
                .filter_map(|name| repositories.get(&name.folded()).copied())
                .collect(),
            listed: Vec::new(),
            puts: Vec::new(),
            updates: Vec::new(),
        };
        let mut once = HashSet::new();
        for (reference, given) in given {
            let key = keys::commit(&reference);
            let stored: Option<Commit> = match found.get(&key) {
                Some(item) => Some(read(&key, item.clone())?),
                None => None,
            };
            let own = given
                .author
                .as_ref()
                .map(|author| author.email().to_owned());
            prepared.listed.push(ListedCommit {
                author: own.or_else(|| stored.as_ref()?.author.clone()),
                date: given.date,
                commit: reference.clone(),
            });
            if !once.insert(reference.clone()) {
                continue;
            }
            match write_commit(stored.as_ref(), given, reference.repository) {
                CommitWrite::None => {}
                CommitWrite::Put(commit) => prepared.puts.push(write(&key, &commit)?),
                CommitWrite::Update(fields) => prepared.updates.push((reference, fields)),
            }
        }
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

    /// Sets the given fields of a commit, and makes it if it is not there. Made again it sets the same.
    async fn update_commit(
        &self,
        commit: &CommitRef,
        fields: &CommitFields,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // "date" is a reserved word.
        let mut sets = vec![
            "repository = :repository, sha = :sha".to_owned(),
            "message = if_not_exists(message, :none)".to_owned(),
            "author = if_not_exists(author, :none)".to_owned(),
            "#date = if_not_exists(#date, :now)".to_owned(),
        ];
        let mut values: Item = [
            (":repository".into(), value(&commit.repository)?),
            (":sha".into(), text(&commit.sha)),
            (":none".into(), value(&None::<()>)?),
            (":now".into(), value(&now)?),
        ]
        .into();
        let mut set = |place: usize, name: &str, attribute: &str, value| {
            sets[place] = format!("{attribute} = :{name}");
            values.insert(format!(":{name}"), value);
        };
        if let Some(message) = &fields.message {
            set(1, "message", "message", value(message)?);
        }
        if let Some(author) = &fields.author {
            set(2, "author", "author", value(author)?);
        }
        if let Some(date) = fields.date {
            set(3, "date", "#date", value(&date)?);
        }
        if let Some(files) = &fields.files {
            sets.push("files = :files".into());
            values.insert(":files".into(), value(files)?);
        }
        if !sets.iter().any(|set| set.contains(":none")) {
            values.remove(":none");
        }
        if !sets.iter().any(|set| set.contains(":now")) {
            values.remove(":now");
        }
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(attributes(&keys::commit(commit))))
            .update_expression(format!("SET {}", sets.join(", ")))
            .expression_attribute_names("#date", "date")
            .set_expression_attribute_values(Some(values))
            .return_values(ReturnValue::None)
            .send()
            .await
            .map_err(|e| StoreError::sdk("UpdateItem", e))?;
        Ok(())
    }

    /// The commits of a release, the newest first: all of one list, however often it is replaced meanwhile.
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
                let more = skip + limit < seen.listed as usize;
                return Ok(Some(Page { rows, more }));
            }
            match self.release(seen.organization, &seen.version).await? {
                Some(found) if found.id == seen.id => seen = found,
                Some(_) | None => return Ok(None),
            }
        }
        Err(StoreError::Contended(format!("release {}", seen.id)))
    }

    /// `None`: a page is gone, so the list is not the release's any more.
    async fn listed_commits(
        &self,
        release: &Release,
        skip: usize,
        limit: usize,
    ) -> Result<Option<Vec<ListedCommit>>, StoreError> {
        let end = (skip + limit).min(release.listed as usize);
        let Some(generation) = release.generation.filter(|_| skip < end) else {
            return Ok(Some(Vec::new()));
        };
        let pages = skip / PAGE..end.div_ceil(PAGE);
        let keys = pages.map(|page| keys::commit_page(release.id, generation, page));
        let keys: Vec<_> = keys.collect();
        let mut found = self.get_all(keys.clone()).await?;
        let mut commits = Vec::new();
        for key in &keys {
            let Some(item) = found.remove(key) else {
                return Ok(None);
            };
            commits.extend(read::<CommitPage>(key, item)?.unpack(key)?);
        }
        let rows = commits.into_iter().skip(skip % PAGE).take(limit);
        Ok(Some(rows.collect()))
    }

    async fn show_commits(
        &self,
        release: &Release,
        listed: Vec<ListedCommit>,
    ) -> Result<Vec<CommitView>, StoreError> {
        let organization = release.organization;
        let mut wanted = HashSet::new();
        for listed in &listed {
            wanted.insert(keys::commit(&listed.commit));
            wanted.insert(keys::repository(listed.commit.repository));
            if let Some(author) = &listed.author {
                wanted.insert(keys::commit_author(organization, author));
                let address = author.parse::<Email>().ok();
                wanted.extend(address.as_ref().map(keys::email_owner));
            }
        }
        let mut found = Found(self.get_all(wanted.into_iter().collect()).await?);
        let (mut authors, mut repositories) = (HashMap::new(), HashMap::new());
        let (mut commits, mut owners) = (HashMap::new(), HashMap::new());
        for listed in &listed {
            let (commit, repository) = (&listed.commit, listed.commit.repository);
            found.take::<_, Commit>(&keys::commit(commit), commit.clone(), &mut commits)?;
            let key = keys::repository(repository);
            found.take::<_, Repository>(&key, repository, &mut repositories)?;
            if let Some(author) = &listed.author {
                let key = keys::commit_author(organization, author);
                found.take::<_, CommitAuthor>(&key, author.clone(), &mut authors)?;
                if let Ok(address) = author.parse::<Email>() {
                    let key = keys::email_owner(&address);
                    found.take::<_, AddressOwner>(&key, author.clone(), &mut owners)?;
                }
            }
        }
        let people = self.members_among(organization, owners).await?;
        let views = listed.into_iter().map(|listed| CommitView {
            known: commits.get(&listed.commit).cloned(),
            author: listed.author.as_ref().and_then(|a| authors.get(a)).cloned(),
            person: listed.author.as_ref().and_then(|a| people.get(a)).cloned(),
            repository: repositories.get(&listed.commit.repository).cloned(),
            commit: listed.commit,
        });
        Ok(views.collect())
    }
}
