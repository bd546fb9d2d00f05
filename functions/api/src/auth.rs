//! Who is asking, what their token allows, and which organizations they can see.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use domain::{
    AuditActor, AuditEntry, AuditEvent, ClientFault, Fault, Member, Organization, OrganizationId,
    OrganizationStatus, Role, Scope, TeamId, Token, TokenOwner, User, UserId,
};
use runtime::client_address;
use store::TokenHash;

use crate::{Context, is_id, no_such};

pub(crate) const ORGANIZATION_READ: [Scope; 3] = [Scope::OrgRead, Scope::OrgWrite, Scope::OrgAdmin];
pub(crate) const PROJECT_READ: [Scope; 3] =
    [Scope::ProjectRead, Scope::ProjectWrite, Scope::ProjectAdmin];
pub(crate) const PROJECT_WRITE: [Scope; 2] = [Scope::ProjectWrite, Scope::ProjectAdmin];
pub(crate) const PROJECT_ADMIN: [Scope; 1] = [Scope::ProjectAdmin];
pub(crate) const TEAM_READ: [Scope; 3] = [Scope::TeamRead, Scope::TeamWrite, Scope::TeamAdmin];
pub(crate) const TEAM_WRITE: [Scope; 2] = [Scope::TeamWrite, Scope::TeamAdmin];
pub(crate) const MEMBER_READ: [Scope; 3] =
    [Scope::MemberRead, Scope::MemberWrite, Scope::MemberAdmin];
pub(crate) const MEMBER_WRITE: [Scope; 2] = [Scope::MemberWrite, Scope::MemberAdmin];
pub(crate) const ORGANIZATION_WRITE: [Scope; 2] = [Scope::OrgWrite, Scope::OrgAdmin];
pub(crate) const ORGANIZATION_ADMIN: [Scope; 1] = [Scope::OrgAdmin];
pub(crate) const ISSUE_WRITE: [Scope; 2] = [Scope::EventWrite, Scope::EventAdmin];
pub(crate) const ISSUE_READ: [Scope; 3] = [Scope::EventRead, Scope::EventWrite, Scope::EventAdmin];

/// A caller whose token is known.
#[derive(Debug)]
pub(crate) struct Caller {
    token: Token,
    /// The person it speaks for, if it does for one.
    user: Option<User>,
    /// From where they ask.
    pub(crate) address: Option<IpAddr>,
    /// Any of these is needed for what is asked.
    required: Vec<Scope>,
}

/// An organization that the caller can see, and the caller's membership if it is a person.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) organization: Organization,
    pub(crate) member: Option<Member>,
    /// What the caller may do in it: what the token allows, and the member's role as well.
    pub(crate) scopes: Vec<Scope>,
}

impl Seat {
    /// The person who asks; `None` for an organization's token.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.member.as_ref().map(|member| member.user)
    }

    /// Whether all of the organization is the caller's, and not only that of a member's own teams.
    fn is_global(&self) -> bool {
        let member = self.member.as_ref();
        member.is_none_or(|member| member.role.is_global())
    }

    /// Whether the caller is in the team, or need not be.
    pub(crate) fn reaches(&self, teams: &[TeamId]) -> bool {
        self.is_global() || self.is_in(teams)
    }

    /// Whether the caller is a member of one of the teams.
    pub(crate) fn is_in(&self, teams: &[TeamId]) -> bool {
        let own = |member: &Member| member.teams.iter().any(|team| teams.contains(team));
        self.member.as_ref().is_some_and(own)
    }

    /// Demands that the caller is in one of the teams, or need not be.
    pub(crate) fn demand_reach(&self, teams: &[TeamId]) -> Result<(), Fault> {
        let text = "You do not have permission to perform this action. \
                    Required: membership of the team, or the role manager or owner.";
        match self.reaches(teams) {
            true => Ok(()),
            false => Err(Fault::Client(ClientFault::Denied(text.into()))),
        }
    }
}

/// What belongs to an organization that goes does not exist any more.
fn there(seat: Seat) -> Result<Seat, Fault> {
    match seat.organization.status {
        OrganizationStatus::Active | OrganizationStatus::PendingDeletion => Ok(seat),
        OrganizationStatus::DeletionInProgress => Err(Fault::not_found()),
    }
}

/// Reads `Authorization: Bearer <token>`.
async fn token(context: &Context, headers: &HeaderMap) -> Result<Token, Fault> {
    let header = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let (scheme, token) = header
        .and_then(|value| value.split_once(' '))
        .ok_or(Fault::Client(ClientFault::Unauthenticated))?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(Fault::Client(ClientFault::Unauthenticated));
    }
    let found = context.store.token(&TokenHash::of(token.trim())).await?;
    found.ok_or(Fault::Client(ClientFault::InvalidToken))
}

/// The person who owns a token, if one does. A token of somebody who takes no part any more is none.
async fn owner(context: &Context, token: &Token) -> Result<Option<User>, Fault> {
    let TokenOwner::User(id) = token.owner else {
        return Ok(None);
    };
    let active = context.store.user(id).await?.filter(|user| user.active);
    let user = active.ok_or(Fault::Client(ClientFault::InvalidToken))?;
    Ok(Some(user))
}

/// Who has the token of a request.
pub(crate) async fn caller(context: &Context, headers: &HeaderMap) -> Result<Caller, Fault> {
    let token = token(context, headers).await?;
    let user = owner(context, &token).await?;
    Ok(Caller {
        token,
        user,
        address: client_address(headers),
        required: Vec::new(),
    })
}

/// Reads the token and demands one of `scopes`: before anything is looked up, so that a token learns
/// nothing about what it may not see.
pub(crate) async fn caller_with(
    context: &Context,
    headers: &HeaderMap,
    scopes: &[Scope],
) -> Result<Caller, Fault> {
    let (caller, ()) = caller_while(context, headers, scopes, async { Ok(()) }).await?;
    Ok(caller)
}

/// The same, with something that is read as soon as the token is known to do. It is not told before all is known of the
/// caller.
pub(crate) async fn caller_while<T>(
    context: &Context,
    headers: &HeaderMap,
    scopes: &[Scope],
    read: impl Future<Output = Result<T, Fault>>,
) -> Result<(Caller, T), Fault> {
    let token = token(context, headers).await?;
    let mut caller = Caller {
        token,
        user: None,
        address: client_address(headers),
        required: scopes.to_vec(),
    };
    let read = async {
        match caller.has_one_of(&caller.token.scopes) {
            true => read.await,
            false => Err(caller.forbidden(None)),
        }
    };
    let (user, read) = tokio::join!(owner(context, &caller.token), read);
    caller.user = user?;
    Ok((caller, read?))
}

impl Caller {
    pub(crate) fn scopes(&self) -> &[Scope] {
        &self.token.scopes
    }

    pub(crate) fn owner(&self) -> TokenOwner {
        self.token.owner
    }

    pub(crate) fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// The entry of an organization's audit log that the caller does this now.
    pub(crate) fn audit(
        &self,
        context: &Context,
        organization: OrganizationId,
        event: AuditEvent,
    ) -> AuditEntry {
        let actor = match self.token.owner {
            TokenOwner::User(user) => AuditActor::User(user),
            TokenOwner::Organization(_) => AuditActor::Token(self.token.name.clone()),
        };
        AuditEntry {
            address: self.address,
            ..event.by(actor, organization, context.clock.now(), rand::random())
        }
    }

    fn has_one_of(&self, scopes: &[Scope]) -> bool {
        self.required.iter().any(|scope| scopes.contains(scope))
    }

    fn forbidden(&self, role: Option<Role>) -> Fault {
        Fault::Client(ClientFault::Forbidden {
            required: self.required.clone(),
            has: self.token.scopes.clone(),
            role,
        })
    }

    /// Demands that the member's role leaves one of the scopes that are needed.
    pub(crate) fn demand(&self, seat: &Seat) -> Result<(), Fault> {
        match self.has_one_of(&seat.scopes) {
            true => Ok(()),
            false => Err(self.forbidden(seat.member.as_ref().map(|member| member.role))),
        }
    }

    /// The organization that a path names by slug or id, if the caller may do there what is asked. One
    /// that the caller cannot see does not exist.
    pub(crate) async fn seat_at(&self, context: &Context, segment: &str) -> Result<Seat, Fault> {
        let seat = self.look_at(context, segment).await?;
        self.demand(&seat)?;
        Ok(seat)
    }

    /// The organization that a path names, if the caller can see it: for those who look for something in
    /// it first, and then [`Caller::demand`].
    pub(crate) async fn look_at(&self, context: &Context, segment: &str) -> Result<Seat, Fault> {
        there(self.look_at_any(context, segment).await?)
    }

    /// The same for those who look after the organization itself, also while it goes. A former slug leads to
    /// it like the present one: tokens of CI carry the slug of their organization, and the clients that use
    /// them follow no redirects.
    pub(crate) async fn look_at_any(
        &self,
        context: &Context,
        segment: &str,
    ) -> Result<Seat, Fault> {
        let store = &context.store;
        let found = match is_id(segment) {
            true => {
                store
                    .organization(segment.parse().map_err(no_such)?)
                    .await?
            }
            false => {
                let slug = segment.to_ascii_lowercase().parse().map_err(no_such)?;
                match store.organization_by_slug(&slug).await? {
                    Some(found) => Some(found),
                    None => store.organization_by_former_slug(&slug).await?,
                }
            }
        };
        self.seat(context, found.ok_or_else(Fault::not_found)?)
            .await
    }

    /// The organization with this id, if the caller can see it and may do there what is asked.
    pub(crate) async fn seat_in(
        &self,
        context: &Context,
        id: OrganizationId,
    ) -> Result<Seat, Fault> {
        let organization = async { Ok(context.store.organization(id).await?) };
        let (found, member) = tokio::try_join!(organization, self.member_of(context, id))?;
        let seat = self.seated(found.ok_or_else(Fault::not_found)?, member);
        let seat = there(seat)?;
        self.demand(&seat)?;
        Ok(seat)
    }

    async fn seat(&self, context: &Context, organization: Organization) -> Result<Seat, Fault> {
        let member = self.member_of(context, organization.id).await?;
        Ok(self.seated(organization, member))
    }

    /// The caller's membership; none of an organization's own token.
    async fn member_of(
        &self,
        context: &Context,
        organization: OrganizationId,
    ) -> Result<Option<Member>, Fault> {
        match self.token.owner {
            TokenOwner::Organization(own) if own == organization => Ok(None),
            TokenOwner::Organization(_) => Err(Fault::not_found()),
            TokenOwner::User(user) => {
                let member = context.store.member(organization, user).await?;
                Ok(Some(member.ok_or_else(Fault::not_found)?))
            }
        }
    }

    fn seated(&self, organization: Organization, member: Option<Member>) -> Seat {
        let mut scopes = self.token.scopes.clone();
        if let Some(member) = &member {
            scopes.retain(|scope| member.role.scopes().contains(scope));
        }
        Seat {
            organization,
            member,
            scopes,
        }
    }
}
