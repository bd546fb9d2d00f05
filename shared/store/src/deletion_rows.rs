//! What deletions delete, in which order: stages, each a list of rows.

use std::collections::HashMap;

use domain::{
    ClientKey, CommitRef, DeletedRows, Deletion, DeletionRef, Group, GroupId, ListedCommit, Member,
    NotificationSetting, OrganizationId, Release, Timestamp, TraceId,
};

use crate::{
    commits::CommitPage,
    error::StoreError,
    groups::GroupRef,
    integrations::IntegrationRef,
    keys::{self, Key},
    organizations::TeamRef,
    pictures::PictureRow,
    releases::Pointer,
    repositories::RepositoryRef,
    sync_trail::LinkedIssue,
    table::{Item, Query, Sort, Store, attributes, key_of, read},
    tokens::NamedToken,
    transaction::Commit,
};

/// A list of rows in the partition of what is deleted, with what has to go before each of them.
struct Stage {
    name: &'static str,
    /// What the rows' sort keys begin with.
    rows: &'static str,
    with: With,
}

/// What has to go before a row, because nothing else leads there.
enum With {
    /// Nothing.
    Nothing,
    /// Items elsewhere.
    Items(fn(&Key, &Item) -> Result<Vec<Key>, StoreError>),
    /// An item elsewhere, if it still belongs to what is deleted.
    Owned(fn(&Deletion, &Key) -> Option<Key>),
    /// A partition. The row goes when there is nothing left in it: only then it is sure that nobody
    /// who knew the partition before has written there since.
    Partition(fn(&Key, &Item) -> Result<String, StoreError>),
    /// A release that stays, and is not the project's any more.
    UsedRelease,
    /// A release, with its partition and its commits.
    Release,
}

/// What people want to hear of a project or an organization. Each row leads to the same one of the person.
const NOTIFICATION_SETTINGS: Stage = Stage {
    name: "notification-settings",
    rows: keys::NOTIFICATIONS,
    with: With::Items(notification_setting),
};

/// All that belongs to a project but itself, children before what leads to them. Whatever gets rows in a
/// project's partition gets a line here.
const OF_PROJECT: [Stage; 9] = [
    // First of all, as nobody is to be told of it any more.
    NOTIFICATION_SETTINGS,
    // Before the rest, so that no more events come in.
    Stage {
        name: "client-keys",
        rows: keys::CLIENT_KEYS,
        with: With::Items(public_key),
    },
    Stage {
        name: "former-slugs",
        rows: keys::FORMER_SLUGS,
        with: With::Owned(former_slug),
    },
    Stage {
        name: "alert-rules",
        rows: keys::ALERT_RULES,
        with: With::Nothing,
    },
    // The releases themselves are their organization's.
    Stage {
        name: "releases",
        rows: keys::PROJECT_RELEASES,
        with: With::UsedRelease,
    },
    Stage {
        name: "activity",
        rows: keys::ACTIVITIES,
        with: With::Nothing,
    },
    Stage {
        name: "pending-resolutions",
        rows: keys::PENDING_RESOLUTIONS,
        with: With::Nothing,
    },
    Stage {
        name: "fingerprints",
        rows: keys::FINGERPRINTS,
        with: With::Nothing,
    },
    Stage {
        name: "groups",
        rows: keys::SHORT_IDS,
        with: With::Partition(group),
    },
];

/// All that belongs to an organization but itself, when its projects are gone.
const OF_ORGANIZATION: [Stage; 14] = [
    NOTIFICATION_SETTINGS,
    // Before the rest, so that nobody comes in who was out.
    Stage {
        name: "tokens",
        rows: keys::TOKEN_NAMES,
        with: With::Items(token),
    },
    Stage {
        name: "integrations",
        rows: keys::ORGANIZATION_INTEGRATIONS,
        with: With::Items(integration),
    },
    Stage {
        name: "releases",
        rows: keys::ORGANIZATION_RELEASES,
        with: With::Release,
    },
    Stage {
        name: "repositories",
        rows: keys::REPOSITORY_NAMES,
        with: With::Partition(repository),
    },
    Stage {
        name: "pictures",
        rows: keys::PICTURES,
        with: With::Partition(picture),
    },
    Stage {
        name: "commit-authors",
        rows: keys::COMMIT_AUTHORS,
        with: With::Nothing,
    },
    Stage {
        name: "environments",
        rows: keys::ENVIRONMENTS,
        with: With::Nothing,
    },
    // They went with their projects, unless a project was changed while it went.
    Stage {
        name: "former-slugs",
        rows: keys::FORMER_SLUGS,
        with: With::Nothing,
    },
    Stage {
        name: "own-former-slugs",
        rows: keys::FORMER_ORGANIZATION_SLUGS,
        with: With::Owned(own_former_slug),
    },
    Stage {
        name: "teams",
        rows: keys::TEAM_SLUGS,
        with: With::Items(team),
    },
    Stage {
        name: "audit-log",
        rows: keys::AUDIT_ENTRIES,
        with: With::Nothing,
    },
    Stage {
        name: "deletions",
        rows: keys::DELETIONS,
        with: With::Nothing,
    },
    // Last, so that an owner may stop it as long as there is something to stop.
    Stage {
        name: "members",
        rows: keys::MEMBERS,
        with: With::Items(member),
    },
];

/// The stage of an organization's deletion that comes before all others: each of its projects is deleted by
/// itself, as if somebody had asked for it.
pub const PROJECTS_STAGE: &str = "projects";

/// The names of the stages, in their order.
pub fn deletion_stages(of: DeletionRef) -> Vec<&'static str> {
    let first = match of.project {
        Some(_) => None,
        None => Some(PROJECTS_STAGE),
    };
    let rest = stages(of).iter().map(|stage| stage.name);
    first.into_iter().chain(rest).collect()
}

fn stages(of: DeletionRef) -> &'static [Stage] {
    match of.project {
        Some(_) => &OF_PROJECT,
        None => &OF_ORGANIZATION,
    }
}

fn partition(of: DeletionRef) -> String {
    match of.project {
        Some(project) => keys::project(project).pk,
        None => keys::organization(of.organization).pk,
    }
}

fn notification_setting(key: &Key, row: &Item) -> Result<Vec<Key>, StoreError> {
    let found: NotificationSetting = read(key, row.clone())?;
    Ok(vec![keys::user_notification(found.user, found.id)])
}

fn token(key: &Key, row: &Item) -> Result<Vec<Key>, StoreError> {
    let NamedToken { hash } = read(key, row.clone())?;
    Ok(vec![keys::token(&hash)])
}

fn integration(key: &Key, row: &Item) -> Result<Vec<Key>, StoreError> {
    let found: IntegrationRef = read(key, row.clone())?;
    let (integration, organization) = (found.integration, found.organization);
    Ok(vec![
        keys::attached_organization(integration, organization),
        keys::identity(integration, organization),
        keys::tracker_pause(integration, organization),
    ])
}

fn repository(key: &Key, row: &Item) -> Result<String, StoreError> {
    let found: RepositoryRef = read(key, row.clone())?;
    Ok(keys::repository(found.repository).pk)
}

fn picture(key: &Key, row: &Item) -> Result<String, StoreError> {
    let found: PictureRow = read(key, row.clone())?;
    Ok(keys::picture_piece(found.picture, 0).pk)
}

fn team(key: &Key, row: &Item) -> Result<Vec<Key>, StoreError> {
    let TeamRef { team } = read(key, row.clone())?;
    Ok(vec![keys::team(team)])
}

fn member(key: &Key, row: &Item) -> Result<Vec<Key>, StoreError> {
    let found: Member = read(key, row.clone())?;
    let organization = key.pk.strip_prefix("ORG#").and_then(|id| id.parse().ok());
    let reverse = organization.map(|id| keys::user_organization(found.user, id));
    let id = keys::member_id(found.id);
    Ok([id].into_iter().chain(reverse).collect())
}

fn own_former_slug(_: &Deletion, key: &Key) -> Option<Key> {
    let slug = key.sk.strip_prefix(keys::FORMER_ORGANIZATION_SLUGS)?;
    Some(keys::former_organization_slug(&slug.parse().ok()?))
}

fn public_key(key: &Key, row: &Item) -> Result<Vec<Key>, StoreError> {
    let found: ClientKey = read(key, row.clone())?;
    Ok(vec![keys::client_key_project(&found.public_key)])
}

fn former_slug(deletion: &Deletion, key: &Key) -> Option<Key> {
    let slug = key.sk.strip_prefix(keys::FORMER_SLUGS)?.parse().ok()?;
    Some(keys::former_project_slug(deletion.of.organization, &slug))
}

fn group(key: &Key, row: &Item) -> Result<String, StoreError> {
    let GroupRef { group } = read(key, row.clone())?;
    Ok(keys::group_meta(group).pk)
}

/// The items elsewhere that only this item of a group's partition leads to.
fn led_to(key: &Key, item: &Item) -> Result<Vec<Key>, StoreError> {
    let group = key
        .pk
        .strip_prefix(keys::GROUPS)
        .and_then(|id| id.parse::<GroupId>().ok());
    let Some(group) = group else {
        return Ok(Vec::new());
    };
    if *key == keys::group_meta(group) {
        let found: Group = read(key, item.clone())?;
        let held = found.first_release;
        return Ok(held
            .map(|it| keys::first_seen(it, group))
            .into_iter()
            .collect());
    }
    if !key.sk.starts_with(keys::GROUP_LINKS) {
        return Ok(Vec::new());
    }
    let link: LinkedIssue = read(key, item.clone())?;
    let (integration, issue) = (link.integration, &link.external_issue);
    Ok(vec![keys::external_group(
        link.organization,
        integration,
        issue,
        group,
    )])
}

/// How much one batch may do.
#[derive(Debug)]
pub struct Budget {
    queries: usize,
    deletes: usize,
}

impl Default for Budget {
    /// Some seconds' work.
    fn default() -> Self {
        Self {
            queries: 100,
            deletes: 500,
        }
    }
}

impl Budget {
    /// Whether nothing more is to be done.
    pub fn is_spent(&self) -> bool {
        self.queries == 0 || self.deletes == 0
    }
}

/// What is to be deleted, in three parts: nothing of the last may go before all of the first has gone.
#[derive(Default)]
struct Plan {
    elsewhere: Vec<Key>,
    here: Vec<Key>,
    leading: Vec<Key>,
}

impl Plan {
    fn add(&mut self, key: Key, elsewhere: Vec<Key>) {
        match elsewhere.is_empty() {
            true => self.here.push(key),
            false => self.leading.push(key),
        }
        self.elsewhere.extend(elsewhere);
    }

    fn len(&self) -> usize {
        self.elsewhere.len() + self.here.len() + self.leading.len()
    }
}

impl Store {
    /// Deletes some rows of the stage that a deletion is at, with all that hangs on them.
    pub async fn delete_rows(
        &self,
        deletion: &Deletion,
        budget: &mut Budget,
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<DeletedRows, StoreError> {
        let (mut plan, mut result) = (Plan::default(), DeletedRows::default());
        let mut all = stages(deletion.of).iter();
        let stage = all.find(|stage| stage.name == deletion.stage);
        let Some(stage) = stage else {
            return Ok(result);
        };
        let pk = partition(deletion.of);
        let start = deletion.cursor.clone().map(|sk| {
            let pk = pk.clone();
            attributes(&Key { pk, sk })
        });
        let most = match stage.with {
            With::Nothing | With::Items(_) => budget.deletes,
            // Each needs a request of its own.
            With::Owned(_) | With::Partition(_) | With::Release | With::UsedRelease => {
                (budget.queries - 1).max(1)
            }
        };
        let query = Query::prefix(&pk, stage.rows);
        let (rows, next) = self.query_page(&query, true, limit(most), start).await?;
        budget.queries -= 1;
        result.more = next.is_some();
        for row in rows {
            let key = key_of(&row);
            let through = match stage.with {
                With::Nothing => {
                    plan.add(key.clone(), Vec::new());
                    true
                }
                With::Items(items) => {
                    plan.add(key.clone(), items(&key, &row)?);
                    true
                }
                With::Owned(item) => {
                    if let Some(item) = item(deletion, &key) {
                        self.delete_owned(&item, deletion.of).await?;
                        budget.queries = budget.queries.saturating_sub(1);
                    }
                    plan.add(key.clone(), Vec::new());
                    true
                }
                With::Partition(partition) => {
                    let before = plan.len();
                    let partition = partition(&key, &row)?;
                    let plans = self.plan_partition(&partition, &mut plan, budget, led_to);
                    let through = plans.await?;
                    // Found empty a moment after it was emptied, it does not count yet.
                    if through && plan.len() == before && deletion.pass > 1 {
                        plan.add(key.clone(), Vec::new());
                        if stage.rows == keys::SHORT_IDS {
                            let GroupRef { group } = read(&key, row)?;
                            result.groups.push(group);
                        }
                    }
                    through
                }
                With::UsedRelease => {
                    let left = self.leave_release(deletion.of, (&key, row), trace, now);
                    let deploys = left.await?;
                    budget.queries = budget.queries.saturating_sub(2);
                    plan.add(key.clone(), deploys);
                    true
                }
                With::Release => {
                    let of = deletion.of.organization;
                    self.plan_release(of, (&key, row), &mut plan, budget)
                        .await?
                }
            };
            if !through {
                result.more = true;
                break;
            }
            result.done += 1;
            result.cursor = Some(key.sk);
        }
        budget.deletes = budget.deletes.saturating_sub(plan.len());
        result.deleted = plan.len() as u64;
        self.delete_planned(plan).await?;
        Ok(result)
    }

    async fn delete_owned(&self, key: &Key, of: DeletionRef) -> Result<(), StoreError> {
        let transaction = self.transaction();
        let transaction = match of.project {
            Some(project) => transaction.delete_over(key, "project", &project)?,
            None => transaction.delete_over(key, "organization", &of.organization)?,
        };
        match transaction.commit().await? {
            Commit::Done | Commit::Refused(_) => Ok(()),
        }
    }

    /// Plans to delete what is in a partition. `false`: there is more than the budget allows.
    async fn plan_partition(
        &self,
        pk: &str,
        plan: &mut Plan,
        budget: &mut Budget,
        led_to: impl Fn(&Key, &Item) -> Result<Vec<Key>, StoreError>,
    ) -> Result<bool, StoreError> {
        let query = Query {
            sort: Sort::All,
            ..Query::prefix(pk, "")
        };
        let mut start = None;
        loop {
            let left = budget.deletes.saturating_sub(plan.len());
            if budget.queries == 0 || left == 0 {
                return Ok(false);
            }
            let (items, next) = self.query_page(&query, true, limit(left), start).await?;
            budget.queries -= 1;
            for item in items {
                // One item may lead to many.
                if plan.len() >= budget.deletes {
                    return Ok(false);
                }
                let key = key_of(&item);
                let elsewhere = led_to(&key, &item)?;
                plan.add(key, elsewhere);
            }
            if next.is_none() {
                return Ok(true);
            }
            start = next;
        }
    }

    /// Takes a project from a release that it uses, and gives its last deploys of it.
    async fn leave_release(
        &self,
        of: DeletionRef,
        (key, row): (&Key, Item),
        trace: &TraceId,
        now: Timestamp,
    ) -> Result<Vec<Key>, StoreError> {
        let pointer: Pointer = read(key, row)?;
        let (organization, version) = (of.organization, &pointer.version);
        let found = self.release(organization, version).await?;
        let own = |it: &Release| it.id == pointer.release;
        let (Some(release), Some(project)) = (found.filter(own), of.project) else {
            return Ok(Vec::new());
        };
        let leave = |seen: &Release| {
            let mut release = seen.clone();
            release.projects.remove(&project);
            release
        };
        self.change_release(&release, &[], leave, trace, now)
            .await?;
        let pk = keys::release_id(release.id).pk;
        self.keys_in(&pk, &keys::last_deploys_of(project)).await
    }

    /// Plans to delete the commits that a release names and what is in its partition; the release itself and
    /// the row go when nothing of it is left, because the release says which repositories its commits are in.
    async fn plan_release(
        &self,
        organization: OrganizationId,
        (key, row): (&Key, Item),
        plan: &mut Plan,
        budget: &mut Budget,
    ) -> Result<bool, StoreError> {
        let pointer: Pointer = read(key, row)?;
        let release = keys::release(organization, &pointer.version);
        let found: Option<Release> = self.get(&release).await?;
        budget.queries = budget.queries.saturating_sub(1);
        // A version that was made again after it was deleted is another one.
        let own = found.filter(|it| it.id == pointer.release);
        let lists = own.iter().flat_map(|it| &it.lists);
        let repositories: HashMap<_, _> = lists.map(|(id, list)| (list.generation, *id)).collect();
        let commits = |key: &Key, item: &Item| {
            let generation = keys::generation_of(key);
            let Some(repository) = generation.and_then(|it| repositories.get(&it)) else {
                return Ok(Vec::new());
            };
            let page: CommitPage = read(key, item.clone())?;
            let commit = |listed: ListedCommit| CommitRef {
                repository: *repository,
                sha: listed.sha,
            };
            let listed = page.unpack(key)?.into_iter();
            Ok(listed.map(|it| keys::commit(&commit(it))).collect())
        };
        let (before, pk) = (plan.len(), keys::release_id(pointer.release).pk);
        let through = self.plan_partition(&pk, plan, budget, commits).await?;
        if through && plan.len() == before {
            plan.add(key.clone(), own.map(|_| release).into_iter().collect());
        }
        Ok(through)
    }

    /// Batches are written many at once, so what leads elsewhere is deleted when the others are through.
    async fn delete_planned(&self, plan: Plan) -> Result<(), StoreError> {
        let first = [plan.elsewhere, plan.here].concat();
        self.delete_all(first).await?;
        self.delete_all(plan.leading).await
    }
}

fn limit(most: usize) -> Option<i32> {
    i32::try_from(most).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::CHART;

    fn check(pk: &str, with_itself: &[&str], stages: &[Stage]) {
        for row in CHART.iter().filter(|row| row.pk == pk) {
            let own = with_itself.contains(&row.sk);
            let stages = stages.iter().filter(|it| row.sk.starts_with(it.rows));
            assert_eq!(stages.count(), usize::from(!own), "{}", row.item);
        }
    }

    #[test]
    fn every_kind_of_row_in_a_projects_partition_has_a_stage() {
        check("PROJECT#<project>", &["META", "COUNTER"], &OF_PROJECT);
    }

    #[test]
    fn every_kind_of_row_in_an_organizations_partition_has_a_stage() {
        // Projects are deleted one by one, and the record of the deletion ends by itself.
        let others = ["META", "SETTINGS", "PROJECT_SLUG#<slug>", "DELETION"];
        check("ORG#<organization>", &others, &OF_ORGANIZATION);
    }
}
