//! What commits and pull requests do to the groups that their texts refer to, and what a release does that
//! has them.

use serde::{Deserialize, Serialize};

use crate::{
    ActivityKind, Actor, CodeChange, Decision, GroupId, GroupState, GroupStatus, GroupWrite,
    Origin, Outcome, PositionGuard, Reason, Release, Resolution, ResolveCommitsOn, StatusWish,
    StatusWrite, SubscriptionReason, SubscriptionWrite, UserId, set_status, status::status_pushes,
};

/// What a commit or a pull request says of groups, and which of them know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mention {
    /// The address of its author.
    #[serde(default)]
    pub author: Option<String>,
    /// The groups that its text refers to.
    #[serde(default)]
    pub groups: Vec<GroupId>,
    /// Those that know of it.
    #[serde(default)]
    pub linked: Vec<GroupId>,
}

/// What is to be done next for the groups to know what the text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkStep {
    /// This group is referred to, and does not know.
    Link(GroupId),
    /// This group is not referred to any more.
    Unlink(GroupId),
}

impl Mention {
    /// The next step, if there is one. `gone` are groups that do not exist any more.
    pub fn next(&self, gone: &[GroupId]) -> Option<LinkStep> {
        let not_in = |these: &[GroupId], those: &[GroupId]| {
            let mut missing = these.iter().filter(|group| !gone.contains(group));
            missing.find(|group| !those.contains(group)).copied()
        };
        let unlink = not_in(&self.linked, &self.groups).map(LinkStep::Unlink);
        unlink.or_else(|| not_in(&self.groups, &self.linked).map(LinkStep::Link))
    }

    /// The groups that know after a step.
    pub fn linked_after(&self, step: LinkStep) -> Vec<GroupId> {
        let mut linked = self.linked.clone();
        match step {
            LinkStep::Link(group) => linked.push(group),
            LinkStep::Unlink(group) => linked.retain(|linked| *linked != group),
        }
        linked
    }
}

/// Lets a group know that a text refers to it. `people` are its author, if they are known here; whoever of
/// them comes first acts. Where commits resolve as soon as they are stored, this one does, unless the group is
/// resolved already: what a release has resolved is not taken from it.
pub fn refer(
    state: &GroupState,
    change: &CodeChange,
    on: ResolveCommitsOn,
    people: &[UserId],
    origin: &Origin,
) -> Decision {
    let actor = people.first().copied();
    let (kind, status) = match (change, on) {
        (CodeChange::Commit(commit), ResolveCommitsOn::Released) => {
            let commit = commit.clone();
            (ActivityKind::ReferencedInCommit { commit }, None)
        }
        (CodeChange::Commit(commit), ResolveCommitsOn::Stored) => {
            let kind = ActivityKind::SetResolvedInCommit {
                commit: commit.clone(),
            };
            let commit = commit.clone();
            let done = state.status == GroupStatus::Resolved;
            let write = resolved(Resolution::Commit { commit, actor });
            (kind, (!done).then_some(write))
        }
        (CodeChange::PullRequest(pull_request), _) => {
            let pull_request = pull_request.clone();
            let kind = ActivityKind::SetResolvedInPullRequest { pull_request };
            (kind, None)
        }
    };
    let hears = |user: &UserId| {
        SubscriptionWrite::Add(Actor::User(*user), SubscriptionReason::StatusChange)
    };
    Decision {
        outcome: Outcome::Applied,
        write: Some(GroupWrite {
            activity: Some((kind, actor, origin.clone())),
            subscriptions: people.iter().map(hears).collect(),
            messages: match &status {
                Some(write) => status_pushes(state, write.status, origin),
                None => Vec::new(),
            },
            status,
            ..GroupWrite::of(PositionGuard::None)
        }),
    }
}

/// Lets a group know that a text does not refer to it any more. Where commits resolve as soon as they are
/// stored it is opened again, whatever has resolved it meanwhile; elsewhere it stays as releases left it.
pub fn unrefer(
    state: &GroupState,
    change: &CodeChange,
    on: ResolveCommitsOn,
    origin: &Origin,
) -> Decision {
    let wish = StatusWish {
        status: GroupStatus::Unresolved,
        substatus: GroupStatus::Unresolved.substatus(),
        resolution: None,
        acting_user: None,
    };
    match (change, on, state.status) {
        (CodeChange::Commit(_), ResolveCommitsOn::Stored, GroupStatus::Resolved) => {
            set_status(state, &wish, origin)
        }
        (CodeChange::Commit(_) | CodeChange::PullRequest(_), _, _) => Decision {
            outcome: Outcome::Suppressed(Reason::AlreadySo),
            write: Some(GroupWrite::of(PositionGuard::None)),
        },
    }
}

/// Resolves a group in a release that has a commit which refers to it, whatever its status is: the release
/// takes the place of whatever it was resolved by. Where it is that release already, only who did it changes:
/// the last of several commits counts.
pub fn resolve_in_release(
    state: &GroupState,
    release: &Release,
    actor: Option<UserId>,
    origin: &Origin,
) -> Decision {
    let kind = ActivityKind::SetResolvedInRelease {
        version: Some(release.version.clone()),
    };
    let hears = |user| SubscriptionWrite::Add(Actor::User(user), SubscriptionReason::StatusChange);
    let again = state.status == GroupStatus::Resolved
        && matches!(&state.resolution, Some(Resolution::Release { release: by, .. }) if *by == release.id);
    Decision {
        outcome: match again {
            true => Outcome::Suppressed(Reason::AlreadySo),
            false => Outcome::Applied,
        },
        write: Some(GroupWrite {
            status: Some(resolved(Resolution::in_release(release, actor))),
            activity: (!again).then(|| (kind, actor, origin.clone())),
            subscriptions: actor.map(hears).into_iter().collect(),
            messages: match again {
                true => Vec::new(),
                false => status_pushes(state, GroupStatus::Resolved, origin),
            },
            ..GroupWrite::of(PositionGuard::None)
        }),
    }
}

/// Puts a release into the place of "the next one" that a group waits for. `None`: it does not wait, or for
/// one that became known later than this.
pub fn settle_resolution(state: &GroupState, release: &Release) -> Option<GroupWrite> {
    match &state.resolution {
        Some(Resolution::NextRelease {
            after,
            created,
            actor,
        }) if *after != release.id && *created < release.created => Some(GroupWrite {
            status: Some(resolved(Resolution::in_release(release, *actor))),
            ..GroupWrite::of(PositionGuard::None)
        }),
        Some(
            Resolution::NextRelease { .. } | Resolution::Release { .. } | Resolution::Commit { .. },
        )
        | None => None,
    }
}

fn resolved(resolution: Resolution) -> StatusWrite {
    StatusWrite {
        status: GroupStatus::Resolved,
        substatus: None,
        resolution: Some(resolution),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(n: u64) -> GroupId {
        GroupId::new(n).unwrap()
    }

    #[test]
    fn groups_are_unlinked_before_others_are_linked_until_they_know_what_the_text_says() {
        let mut mention = Mention {
            author: None,
            groups: vec![group(2), group(3)],
            linked: vec![group(1), group(2)],
        };
        let mut steps = Vec::new();
        while let Some(step) = mention.next(&[]) {
            mention.linked = mention.linked_after(step);
            steps.push(step);
        }
        assert_eq!(
            steps,
            [LinkStep::Unlink(group(1)), LinkStep::Link(group(3))]
        );
        mention.groups.push(group(4));
        assert_eq!(mention.next(&[group(4)]), None, "a group that is gone");
    }

    fn state(status: GroupStatus, resolution: Option<Resolution>) -> GroupState {
        GroupState {
            group: group(5),
            organization: crate::OrganizationId::new(1).unwrap(),
            project: crate::ProjectId::new(2).unwrap(),
            status,
            substatus: status.substatus(),
            assignee: None,
            keep: Default::default(),
            assigned_at: None,
            unassigned_at: None,
            resolved_at: None,
            resolution,
            inbox: None,
            version: 0,
            status_version: 3,
            positions: Default::default(),
            links: [(
                crate::Link::try_from("9/31".to_owned()).unwrap(),
                crate::LinkState::default(),
            )]
            .into(),
        }
    }

    fn release(id: u64, created: i64) -> Release {
        Release::new(
            crate::ReleaseId::new(id).unwrap(),
            crate::OrganizationId::new(1).unwrap(),
            format!("v{id}").parse().unwrap(),
            crate::Timestamp::from_millis(created),
        )
    }

    fn commit() -> (CodeChange, Origin) {
        let change = CodeChange::Commit(crate::CommitRef {
            repository: crate::RepositoryId::new(7).unwrap(),
            sha: "abc".into(),
        });
        let origin = Origin::Code(crate::CodeOrigin {
            change: change.clone(),
            release: None,
            cause: crate::MessageId::new(crate::Timestamp::from_millis(0), 0),
        });
        (change, origin)
    }

    #[test]
    fn a_commit_resolves_when_it_is_stored_only_where_that_is_wanted() {
        let (change, origin) = commit();
        let open = state(GroupStatus::Unresolved, None);
        let refer = |on| refer(&open, &change, on, &[], &origin).write.unwrap();
        let known = refer(ResolveCommitsOn::Released);
        assert_eq!((known.status, known.messages.len()), (None, 0));
        let resolved = refer(ResolveCommitsOn::Stored);
        assert_eq!(resolved.status.unwrap().status, GroupStatus::Resolved);
        assert_eq!(resolved.messages.len(), 1, "its tracker is told");
        let done = state(GroupStatus::Resolved, None);
        let unrefer = |on| unrefer(&done, &change, on, &origin).write.unwrap();
        assert_eq!(unrefer(ResolveCommitsOn::Released).status, None);
        let opened = unrefer(ResolveCommitsOn::Stored).status.unwrap();
        assert_eq!(opened.status, GroupStatus::Unresolved);
    }

    #[test]
    fn a_second_commit_of_a_release_changes_only_who_resolved_the_group() {
        let (_, origin) = commit();
        let release = release(1, 100);
        let user = UserId::new(8).ok();
        let first = state(GroupStatus::Unresolved, None);
        let first = resolve_in_release(&first, &release, None, &origin);
        assert_eq!(first.outcome, Outcome::Applied);
        let first = first.write.unwrap();
        assert_eq!((first.activity.is_some(), first.messages.len()), (true, 1));
        let resolved = state(
            GroupStatus::Resolved,
            first.status.and_then(|write| write.resolution),
        );
        let second = resolve_in_release(&resolved, &release, user, &origin);
        assert_eq!(second.outcome, Outcome::Suppressed(Reason::AlreadySo));
        let second = second.write.unwrap();
        assert_eq!((second.activity, second.messages.len()), (None, 0));
        let resolution = second.status.and_then(|write| write.resolution);
        assert_eq!(resolution, Some(Resolution::in_release(&release, user)));
        // Another release takes its place with all that follows.
        let other = resolve_in_release(&resolved, &self::release(2, 101), user, &origin);
        assert!(other.write.unwrap().activity.is_some());
    }

    #[test]
    fn only_a_release_that_became_known_later_is_the_next_one() {
        let waiting = Resolution::in_next_release(&release(1, 100), None);
        let waiting = state(GroupStatus::Resolved, Some(waiting));
        for (id, created, is_next) in [
            (2, 101, true),
            (2, 100, false),
            (2, 99, false),
            (1, 101, false),
        ] {
            let settled = settle_resolution(&waiting, &release(id, created));
            assert_eq!(settled.is_some(), is_next, "{id} {created}");
        }
        let settled = Resolution::in_release(&release(1, 100), None);
        let settled = state(GroupStatus::Resolved, Some(settled));
        assert_eq!(settle_resolution(&settled, &release(2, 101)), None);
    }
}
