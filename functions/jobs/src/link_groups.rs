//! Lets groups know which commits and pull requests refer to them, and which do not any more.
//!
//! A message is only a reason to look: the rows say what the texts refer to, and which groups know.

use domain::{
    Assignment, CodeChange, CodeOrigin, Existing, Facet, Fault, GroupId, LinkGroups, LinkStep,
    Member, Mention, Message, MessageId, Organization, Origin, ResolveCommitsOn, TraceId, User,
};
use store::{Cause, Step};
use tracing::Span;

use crate::{
    Context,
    people::{People, ids},
};

/// How many groups one message comes to.
const STEPS: usize = 50;

pub(crate) async fn link(
    context: &Context,
    message: LinkGroups,
    trace: &TraceId,
) -> Result<(), Fault> {
    Span::current().record("org.id", message.organization.number());
    let store = &context.store;
    let Some(organization) = store.organization(message.organization).await? else {
        return Ok(());
    };
    let mut work = Links::new(context, &organization, trace, STEPS);
    for (done, change) in message.changes.iter().enumerate() {
        if !work.bring_in_step(change).await? {
            let rest = Message::LinkGroups(LinkGroups {
                organization: organization.id,
                changes: message.changes[done..].to_vec(),
            });
            let now = context.clock.now();
            return Ok(store.outbox_send(rest, trace, now, now).await?);
        }
    }
    Ok(())
}

/// Brings groups and what refers to them in step.
pub(crate) struct Links<'a> {
    context: &'a Context,
    trace: &'a TraceId,
    on: ResolveCommitsOn,
    pub(crate) people: People<'a>,
    /// How many steps may still be made.
    left: usize,
}

impl<'a> Links<'a> {
    pub(crate) fn new(
        context: &'a Context,
        organization: &Organization,
        trace: &'a TraceId,
        left: usize,
    ) -> Self {
        Self {
            context,
            trace,
            on: organization.resolve_commits_on,
            people: People::of(context, organization.id),
            left,
        }
    }

    /// `false`: there is more to do than is left.
    pub(crate) async fn bring_in_step(&mut self, change: &CodeChange) -> Result<bool, Fault> {
        let store = &self.context.store;
        let mut gone = Vec::new();
        while let Some(mention) = store.mention(change).await? {
            let Some(step) = mention.next(&gone) else {
                break;
            };
            if self.left == 0 {
                return Ok(false);
            }
            self.left -= 1;
            let made = match step {
                LinkStep::Link(group) => self.link(change, &mention, group).await?,
                LinkStep::Unlink(_) => self.unlink(change, &mention, step).await?,
            };
            match (made, step) {
                (Step::Made | Step::Stale, _) => {}
                (Step::Gone, LinkStep::Link(group)) => gone.push(group),
                (Step::Gone, LinkStep::Unlink(group)) => {
                    store.forget_group(change, &mention, group).await?;
                }
            }
        }
        Ok(true)
    }

    /// The assignment comes first: once the group knows, none of this is done again.
    async fn link(
        &mut self,
        change: &CodeChange,
        mention: &Mention,
        group: GroupId,
    ) -> Result<Step, Fault> {
        let (context, trace) = (self.context, self.trace);
        let people = self.people.with_address(mention.author.as_deref()).await?;
        let (origin, on) = (origin(context, change), self.on);
        if let Some(assignment) = assignment(change, people) {
            assign(context, trace, group, assignment, people, &origin).await?;
        }
        let people = ids(people);
        let step = LinkStep::Link(group);
        let decide = |state: &_| domain::refer(state, change, on, &people, &origin);
        let cause = cause(context, trace, &origin, Facet::Status);
        let made = context
            .store
            .link_group(change, mention, step, decide, &cause);
        Ok(made.await?)
    }

    async fn unlink(
        &self,
        change: &CodeChange,
        mention: &Mention,
        step: LinkStep,
    ) -> Result<Step, Fault> {
        let origin = origin(self.context, change);
        let decide = |state: &_| domain::unrefer(state, change, self.on, &origin);
        let cause = cause(self.context, self.trace, &origin, Facet::Status);
        let store = &self.context.store;
        let made = store.link_group(change, mention, step, decide, &cause);
        Ok(made.await?)
    }
}

/// To whom a group goes that a text refers to: to the author of a pull request whoever has it, to that of a
/// commit if nobody has it and the author wants that.
fn assignment(change: &CodeChange, people: &[(Member, User)]) -> Option<Assignment> {
    let (member, user) = people.first()?;
    let existing = match change {
        CodeChange::PullRequest(_) => Existing::Replace,
        CodeChange::Commit(_) if user.self_assign_issue => Existing::Keep,
        CodeChange::Commit(_) => return None,
    };
    Some(Assignment {
        actor: domain::Actor::User(member.user),
        email: Some(user.email.clone()),
        acting_user: Some(member.user),
        existing,
        leaves: None,
    })
}

/// Nobody gets what they have no access to.
async fn assign(
    context: &Context,
    trace: &TraceId,
    group: GroupId,
    assignment: Assignment,
    people: &[(Member, User)],
    origin: &Origin,
) -> Result<(), Fault> {
    let store = &context.store;
    let Some(state) = store.group_state(group).await? else {
        return Ok(());
    };
    let project = store.project(state.project).await?;
    let admitted = project
        .zip(people.first())
        .is_some_and(|(project, (member, _))| project.admits(member));
    if admitted {
        let cause = cause(context, trace, origin, Facet::Assignee);
        let decide = |state: &_| domain::assign(state, &assignment, origin);
        store.change_group(Some(state), decide, &cause).await?;
    }
    Ok(())
}

fn origin(context: &Context, change: &CodeChange) -> Origin {
    Origin::Code(CodeOrigin {
        change: change.clone(),
        release: None,
        cause: MessageId::new(context.clock.now(), rand::random()),
    })
}

fn cause<'a>(context: &Context, trace: &'a TraceId, origin: &'a Origin, facet: Facet) -> Cause<'a> {
    Cause {
        origin,
        facet,
        rule: None,
        handed_over: false,
        trace,
        now: context.clock.now(),
    }
}
