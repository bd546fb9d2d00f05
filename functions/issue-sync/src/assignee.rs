//! The assignee of a tracker's issue becomes the assignee of the groups linked to it.

use domain::{
    AssigneeChange, Email, Fault, Feature, GroupCursor, GroupState, Message, OrganizationId,
    Origin, Outcome, Reason, SyncIssue, TraceId, UserId,
};
use runtime::record_outcome;
use store::{Assignables, LinkedGroup, StoreError};
use tracing::{Instrument, info_span};

use crate::Context;

/// How many groups one message handles. An issue linked to more goes on in a message of its own.
const GROUPS: u16 = 25;

type Target = (OrganizationId, LinkedGroup);

/// The groups of one message, and where the next one is to go on.
struct Targets {
    groups: Vec<Target>,
    next: Option<GroupCursor>,
}

pub(crate) async fn sync(
    context: &Context,
    change: &SyncIssue,
    assignee: &AssigneeChange,
    trace: &TraceId,
) -> Result<(), Fault> {
    let organizations = organizations(context, change).await?;
    let (targets, users) = tokio::try_join!(
        targets(context, change, &organizations),
        users(context, assignee)
    )?;
    if targets.groups.is_empty() {
        if !organizations.is_empty() && change.after.is_none() {
            record_outcome(Outcome::Suppressed(Reason::NoLinkedGroup));
        }
        return Ok(());
    }
    let loaded = context.store.assignables(&targets.groups, &users).await?;

    let mut failed = None;
    for target in &targets.groups {
        let span = info_span!(
            "group",
            trace.id = trace.as_str(),
            org.id = target.0.number(),
            group.id = target.1.group.number(),
            external_issue = change.origin.external_issue.as_str(),
        );
        let work = sync_group(context, change, assignee, &users, &loaded, target, trace);
        // One group's trouble does not keep the others from changing; the message comes back for it.
        match work.instrument(span).await {
            Ok(outcome) => record_outcome(outcome),
            Err(error) => failed = Some(error),
        }
    }
    if let Some(error) = failed {
        return Err(error.into());
    }
    match targets.next {
        Some(next) => go_on(context, change, next, trace).await,
        None => Ok(()),
    }
}

/// The organizations that the integration serves and that let its assignees in.
async fn organizations(
    context: &Context,
    change: &SyncIssue,
) -> Result<Vec<OrganizationId>, Fault> {
    let attached = context
        .store
        .attached_organizations(change.origin.integration)
        .await?;
    let ids: Vec<_> = attached
        .iter()
        .map(|attached| attached.organization)
        .collect();
    let organizations = context.store.organizations(&ids).await?;
    if organizations.is_empty() {
        record_outcome(Outcome::Suppressed(Reason::NoOrganization));
    }
    let first = change.after.map(|after| after.organization);
    let mut allowed = Vec::new();
    for organization in organizations {
        let on = |attached: &domain::AttachedOrganization| {
            attached.organization == organization.id && attached.switches.inbound_assignee
        };
        let reason = if !organization.has(Feature::IntegrationsIssueSync) {
            Some(Reason::FeatureOff)
        } else if !attached.iter().any(on) {
            Some(Reason::SwitchOff)
        } else {
            None
        };
        match reason {
            None => allowed.push(organization.id),
            Some(reason) if first.is_none() => {
                let span = info_span!("organization", org.id = organization.id.number());
                span.in_scope(|| record_outcome(Outcome::Suppressed(reason)));
            }
            Some(_) => {}
        }
    }
    allowed.retain(|organization| first.is_none_or(|first| *organization >= first));
    allowed.sort();
    Ok(allowed)
}

/// The next groups in order of organization and group, at most [`GROUPS`] of them.
async fn targets(
    context: &Context,
    change: &SyncIssue,
    organizations: &[OrganizationId],
) -> Result<Targets, Fault> {
    let mut groups: Vec<Target> = Vec::new();
    for organization in organizations {
        let left = GROUPS - u16::try_from(groups.len()).unwrap_or(GROUPS);
        if left == 0 {
            return Ok(cut(groups));
        }
        let after = change
            .after
            .filter(|after| after.organization == *organization);
        let page = context
            .store
            .linked_groups(
                *organization,
                change.origin.integration,
                &change.origin.external_issue,
                after.map(|after| after.group),
                left,
            )
            .await?;
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

async fn sync_group(
    context: &Context,
    change: &SyncIssue,
    assignee: &AssigneeChange,
    users: &[UserId],
    loaded: &Assignables,
    target: &Target,
    trace: &TraceId,
) -> Result<Outcome, StoreError> {
    let origin = Origin::Tracker(change.origin.clone());
    let state = loaded.states.get(&target.1.group).cloned();
    let now = context.clock.now();
    let decision = match assignee {
        AssigneeChange::Unassigned => {
            let decide = |state: &GroupState| domain::unassign(state, &origin);
            context
                .store
                .change_group(state, decide, trace, now)
                .await?
        }
        AssigneeChange::Assigned(email) => match eligible(users, loaded, target) {
            Ok(user) => {
                let decide = assigning(user, email, &origin);
                context
                    .store
                    .change_group(state, decide, trace, now)
                    .await?
            }
            Err(reason) => return Ok(Outcome::Suppressed(reason)),
        },
    };
    let gone = Outcome::Suppressed(Reason::NoGroup);
    Ok(decision.map_or(gone, |decision| decision.outcome))
}

fn assigning<'a>(
    user: UserId,
    email: &'a Email,
    origin: &'a Origin,
) -> impl Fn(&GroupState) -> domain::Decision + 'a {
    move |state| domain::assign(state, user, email, origin)
}

/// The first of the users who has access to the group's project.
fn eligible(users: &[UserId], loaded: &Assignables, target: &Target) -> Result<UserId, Reason> {
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
    users
        .iter()
        .find(admitted)
        .copied()
        .ok_or(Reason::AssigneeWithoutAccess)
}

async fn go_on(
    context: &Context,
    change: &SyncIssue,
    next: GroupCursor,
    trace: &TraceId,
) -> Result<(), Fault> {
    let rest = SyncIssue {
        after: Some(next),
        ..change.clone()
    };
    let now = context.clock.now();
    context
        .store
        .outbox_send(Message::SyncIssue(rest), trace, now)
        .await?;
    tracing::info!(
        groups = GROUPS,
        "the issue has more groups, going on in another message"
    );
    Ok(())
}
