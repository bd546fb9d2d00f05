//! The assignee of a tracker's issue becomes the assignee of the groups linked to it.

use domain::{
    Actor, AssigneeChange, Assignment, Existing, Fault, Feature, GroupCursor, GroupState, Message,
    OrganizationId, Origin, Outcome, Reason, SyncIssue, TraceId, UserId,
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
    attempt: u32,
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
    let mut loaded = context.store.assignables(&targets.groups, &users).await?;

    let mut failed = 0;
    for target in &targets.groups {
        let span = info_span!(
            "group",
            org.id = target.0.number(),
            group.id = target.1.group.number(),
            external_issue = change.origin.external_issue.as_str(),
        );
        let state = loaded.states.remove(&target.1.group).transpose();
        let actor = eligible(assignee, &users, &loaded, target);
        let work = async {
            record_outcome(sync_group(context, change, actor, state?, trace).await?);
            Ok::<(), StoreError>(())
        };
        // One group's trouble does not keep the others from changing; the message comes back for it.
        if let Err(error) = work.instrument(span.clone()).await {
            failed += 1;
            span.in_scope(|| tracing::warn!(reason = error.to_string(), "a group failed"));
        }
    }
    match targets.next {
        // A message that comes back for a failed group has sent the rest on its way before.
        Some(next) if failed == 0 || attempt == 1 => go_on(context, change, next, trace).await?,
        Some(_) | None => {}
    }
    match failed {
        0 => Ok(()),
        failed => Err(Fault::Retry(format!("{failed} groups failed"))),
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

/// Decides and commits for one group. `actor` is whom to assign, nobody, or why nothing is to be done.
async fn sync_group(
    context: &Context,
    change: &SyncIssue,
    actor: Result<Option<Assignment>, Reason>,
    state: Option<GroupState>,
    trace: &TraceId,
) -> Result<Outcome, StoreError> {
    let origin = Origin::Tracker(change.origin.clone());
    let assignment = match actor {
        Ok(assignment) => assignment,
        Err(reason) => return Ok(Outcome::Suppressed(reason)),
    };
    let decide = |state: &GroupState| match &assignment {
        Some(assignment) => domain::assign(state, assignment, &origin),
        None => domain::unassign(state, &origin),
    };
    let now = context.clock.now();
    let decision = context
        .store
        .change_group(state, decide, trace, now)
        .await?;
    let gone = Outcome::Suppressed(Reason::NoGroup);
    Ok(decision.map_or(gone, |decision| decision.outcome))
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
