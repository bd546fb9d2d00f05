//! The assignee of a tracker's issue becomes the assignee of the groups linked to it.

use domain::{
    Actor, AssigneeChange, Assignment, AttachedOrganization, Existing, Facet, Fault, Feature,
    GroupCursor, GroupId, GroupState, OrganizationId, Origin, Outcome, Reason, Rule, SyncIssue,
    SyncRecord, TraceId, TrackerAssignee, UserId,
};
use runtime::record_outcome;
use store::{Assignables, Cause, LinkedGroup, Page, StoreError};
use tracing::{Instrument, info_span};

use crate::Context;

/// An organization that lets the change in.
struct Allowed {
    id: OrganizationId,
    /// Whether its own identity made the change, where that can be told.
    ours: Option<bool>,
}

/// How many groups one message handles. An issue linked to more goes on in a message of its own.
const GROUPS: u16 = 25;

const ASSIGNEE: Facet = Facet::Assignee;

type Target = (OrganizationId, LinkedGroup);

/// The groups of one message, and where the next one is to go on.
struct Targets {
    groups: Vec<Target>,
    next: Option<GroupCursor>,
}

/// How many groups could not be changed.
#[derive(Default)]
pub(crate) struct Failures {
    pub(crate) groups: usize,
    /// Those of them that have no end in the trail, though they were tried for the last time.
    pub(crate) unrecorded: usize,
}

/// Changes the assignee of the groups that are linked to the issue, each of them, whatever becomes of the others.
/// `last`: it is the last time.
pub(crate) async fn sync(
    context: &Context,
    change: &SyncIssue,
    assignee: &AssigneeChange,
    attached: &[AttachedOrganization],
    trace: &TraceId,
    last: bool,
) -> Result<Failures, Fault> {
    let (organizations, page, users) = tokio::try_join!(
        organizations(context, change, attached),
        first_page(context, change, attached),
        users(context, assignee)
    )?;
    let targets = targets(context, change, &organizations, page).await?;
    if targets.groups.is_empty() {
        if !organizations.is_empty() && change.after.is_none() {
            for organization in organizations {
                let reason = Reason::NoLinkedGroup;
                record(
                    context,
                    change,
                    ASSIGNEE,
                    Some(organization.id),
                    None,
                    reason,
                )
                .await?;
            }
        }
        return Ok(Failures::default());
    }
    if let Some(next) = targets.next {
        // First of all: whatever befalls the groups of this message, the others do not wait for it.
        go_on(context, change, next, trace).await?;
    }
    let mut loaded = context.store.assignables(&targets.groups, &users).await?;

    let mut failures = Failures::default();
    for target in &targets.groups {
        let span = info_span!(
            "group",
            org.id = target.0.number(),
            group.id = target.1.group.number(),
            external_issue = change.origin.external_issue.as_str(),
        );
        let state = loaded.states.remove(&target.1.group).transpose();
        let actor = eligible(assignee, &users, &loaded, target);
        let mut from = organizations.iter().filter(|from| from.id == target.0);
        let ours = from.next().and_then(|from| from.ours);
        let work = async {
            match actor {
                Ok(assignment) => {
                    let outcome =
                        sync_group(context, change, assignment, ours, state?, trace).await?;
                    match outcome {
                        Some(outcome) => {
                            record_outcome(outcome);
                            Ok(())
                        }
                        None => {
                            let reason = Reason::NoGroup;
                            record(context, change, ASSIGNEE, Some(target.0), None, reason).await
                        }
                    }
                }
                Err(reason) => {
                    let (organization, group) = (Some(target.0), Some(target.1.group));
                    record(context, change, ASSIGNEE, organization, group, reason).await
                }
            }
        };
        // One group's trouble does not keep the others from changing; the message comes back for it.
        if let Err(error) = work.instrument(span.clone()).await {
            failures.groups += 1;
            span.in_scope(|| tracing::warn!(reason = error.to_string(), "a group failed"));
            if last && let Err(error) = give_up(context, change, target).await {
                failures.unrecorded += 1;
                span.in_scope(|| {
                    tracing::warn!(reason = error.to_string(), "the last try leaves no record");
                });
            }
        }
    }
    Ok(failures)
}

/// Says in the trail that a group could not be changed, and that nobody tries it again.
async fn give_up(context: &Context, change: &SyncIssue, target: &Target) -> Result<(), StoreError> {
    let outcome = Outcome::Dead(Reason::HandlingFailed);
    let record = SyncRecord {
        organization: Some(target.0),
        group: Some(target.1.group),
        ..SyncRecord::of_delivery(&change.origin, ASSIGNEE, outcome, context.clock.now())
    };
    context.store.record_last_try(&record).await
}

/// The organizations that the integration serves and that let its assignees in.
async fn organizations(
    context: &Context,
    change: &SyncIssue,
    attached: &[AttachedOrganization],
) -> Result<Vec<Allowed>, Fault> {
    let ids: Vec<_> = attached
        .iter()
        .map(|attached| attached.organization)
        .collect();
    let organizations = context.store.organizations(&ids).await?;
    if organizations.is_empty() {
        record(
            context,
            change,
            ASSIGNEE,
            None,
            None,
            Reason::NoOrganization,
        )
        .await?;
    }
    let first = change.after.map(|after| after.organization);
    let mut allowed = Vec::new();
    for organization in organizations {
        let mut own = attached
            .iter()
            .filter(|a| a.organization == organization.id);
        let own = own.next().filter(|own| own.switches.inbound_assignee);
        let reason = if !organization.has(Feature::IntegrationsIssueSync) {
            Some(Reason::FeatureOff)
        } else if own.is_none() {
            Some(Reason::SwitchOff)
        } else {
            None
        };
        match reason {
            None => allowed.push(Allowed {
                id: organization.id,
                ours: own
                    .and_then(|own| Some(own.acts_as.as_ref()? == change.origin.author.as_ref()?)),
            }),
            Some(reason) if first.is_none() => {
                let span = info_span!("organization", org.id = organization.id.number());
                let organization = Some(organization.id);
                record(context, change, ASSIGNEE, organization, None, reason)
                    .instrument(span)
                    .await?;
            }
            Some(_) => {}
        }
    }
    allowed.retain(|organization| first.is_none_or(|first| organization.id >= first));
    allowed.sort_by_key(|organization| organization.id);
    Ok(allowed)
}

/// The groups of the organization that is looked at first, if its feature is on: they are read while that
/// is found out.
async fn first_page(
    context: &Context,
    change: &SyncIssue,
    attached: &[AttachedOrganization],
) -> Result<Option<(OrganizationId, Page<LinkedGroup>)>, Fault> {
    let first = change.after.map(|after| after.organization);
    let candidates = attached
        .iter()
        .filter(|attached| attached.switches.inbound_assignee)
        .map(|attached| attached.organization)
        .filter(|organization| first.is_none_or(|first| *organization >= first));
    let Some(organization) = candidates.min() else {
        return Ok(None);
    };
    let page = page(context, change, organization, GROUPS).await?;
    Ok(Some((organization, page)))
}

/// Up to `most` groups of an organization that are linked to the issue, from where the message goes on.
async fn page(
    context: &Context,
    change: &SyncIssue,
    organization: OrganizationId,
    most: u16,
) -> Result<Page<LinkedGroup>, StoreError> {
    let after = change
        .after
        .filter(|after| after.organization == organization);
    let (integration, issue) = (change.origin.integration, &change.origin.external_issue);
    let after = after.map(|after| after.group);
    context
        .store
        .linked_groups(organization, integration, issue, after, most)
        .await
}

/// The next groups in order of organization and group, at most [`GROUPS`] of them.
async fn targets(
    context: &Context,
    change: &SyncIssue,
    organizations: &[Allowed],
    mut first: Option<(OrganizationId, Page<LinkedGroup>)>,
) -> Result<Targets, Fault> {
    let mut groups: Vec<Target> = Vec::new();
    for organization in organizations.iter().map(|organization| &organization.id) {
        let left = GROUPS - u16::try_from(groups.len()).unwrap_or(GROUPS);
        if left == 0 {
            return Ok(cut(groups));
        }
        // It has the smallest id, so whoever it is of comes first or not at all.
        let page = match first.take_if(|(of, _)| of == organization) {
            Some((_, page)) => page,
            None => page(context, change, *organization, left).await?,
        };
        groups.extend(page.rows.into_iter().map(|linked| (*organization, linked)));
        if page.more {
            return Ok(cut(groups));
        }
    }
    Ok(Targets { groups, next: None })
}

fn cut(groups: Vec<Target>) -> Targets {
    let cursor = |(organization, linked): &Target| GroupCursor {
        organization: *organization,
        group: linked.group,
    };
    Targets {
        next: groups.last().map(cursor),
        groups,
    }
}

/// The active users whose verified address this is. Anybody can put an unverified one into a profile
/// and would take over other people's issues.
async fn users(context: &Context, assignee: &AssigneeChange) -> Result<Vec<UserId>, Fault> {
    let AssigneeChange::Assigned(email) = assignee else {
        return Ok(Vec::new());
    };
    let known = context.store.users_with_address(email).await?;
    Ok(known
        .iter()
        .filter(|known| known.verified && known.active)
        .map(|known| known.user)
        .collect())
}

/// Says in the log and in the trail why nothing is to be done.
pub(crate) async fn record(
    context: &Context,
    change: &SyncIssue,
    facet: Facet,
    organization: Option<OrganizationId>,
    group: Option<GroupId>,
    reason: Reason,
) -> Result<(), StoreError> {
    let outcome = Outcome::Suppressed(reason);
    let now = context.clock.now();
    let record = SyncRecord {
        organization,
        group,
        ..SyncRecord::of_delivery(&change.origin, facet, outcome, now)
    };
    context.store.record_sync(&record).await?;
    record_outcome(outcome);
    Ok(())
}

/// Decides and commits for one group. Without an assignment nobody is to work on it any more. `None`: it is
/// gone.
async fn sync_group(
    context: &Context,
    change: &SyncIssue,
    assignment: Option<Assignment>,
    ours: Option<bool>,
    state: Option<GroupState>,
    trace: &TraceId,
) -> Result<Option<Outcome>, StoreError> {
    let origin = Origin::Tracker(change.origin.clone());
    let told = match assignment.as_ref().map(|assignment| assignment.actor) {
        Some(Actor::User(user)) => Some(TrackerAssignee::User(user)),
        Some(Actor::Team(_)) => None,
        None => Some(TrackerAssignee::Nobody),
    };
    let decide = |state: &GroupState| {
        let echo = told.and_then(|told| domain::echo(state, &change.origin, told, ours));
        echo.unwrap_or_else(|| match &assignment {
            Some(assignment) => domain::assign(state, assignment, &origin),
            None => domain::unassign(state, &origin),
        })
    };
    let cause = Cause {
        origin: &origin,
        facet: Facet::Assignee,
        rule: assignment.as_ref().map(|_| Rule::VerifiedEmail),
        handed_over: false,
        trace,
        now: context.clock.now(),
    };
    let decision = context.store.change_group(state, decide, &cause).await?;
    Ok(decision.map(|decision| decision.outcome))
}

/// Whom to assign: the first of the users who has access to the group's project.
fn eligible(
    change: &AssigneeChange,
    users: &[UserId],
    loaded: &Assignables,
    target: &Target,
) -> Result<Option<Assignment>, Reason> {
    let email = match change {
        AssigneeChange::Unassigned => return Ok(None),
        AssigneeChange::Unreadable => return Err(Reason::AssigneeUnreadable),
        AssigneeChange::Assigned(email) => email,
    };
    if users.is_empty() {
        return Err(Reason::AssigneeUnknown);
    }
    let (organization, linked) = target;
    let project = loaded.projects.get(&linked.project);
    let admitted = |user: &&UserId| {
        let member = loaded.members.get(&(*organization, **user));
        project
            .zip(member)
            .is_some_and(|(project, member)| project.admits(member))
    };
    let user = users
        .iter()
        .find(admitted)
        .ok_or(Reason::AssigneeWithoutAccess)?;
    Ok(Some(Assignment {
        actor: Actor::User(*user),
        email: Some(email.clone()),
        acting_user: None,
        existing: Existing::Replace,
        leaves: None,
    }))
}

async fn go_on(
    context: &Context,
    change: &SyncIssue,
    next: GroupCursor,
    trace: &TraceId,
) -> Result<(), Fault> {
    let now = context.clock.now();
    if context.store.send_rest(change, next, trace, now).await? {
        tracing::info!(
            groups = GROUPS,
            "the issue has more groups, going on in another message"
        );
    }
    Ok(())
}
