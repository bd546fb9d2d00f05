//! Who is asking, what their token allows, and which organizations they can see.

use axum::http::{HeaderMap, header};
use domain::{
    AuditActor, ClientFault, Fault, Member, Organization, OrganizationId, Scope, Token, TokenOwner,
    User, UserId,
};
use store::TokenHash;

use crate::{Context, is_id, no_such};

pub(crate) const ORGANIZATION_READ: [Scope; 3] = [Scope::OrgRead, Scope::OrgWrite, Scope::OrgAdmin];
pub(crate) const PROJECT_READ: [Scope; 3] =
    [Scope::ProjectRead, Scope::ProjectWrite, Scope::ProjectAdmin];
pub(crate) const PROJECT_ADMIN: [Scope; 1] = [Scope::ProjectAdmin];
pub(crate) const MEMBER_READ: [Scope; 3] =
    [Scope::MemberRead, Scope::MemberWrite, Scope::MemberAdmin];
pub(crate) const ISSUE_WRITE: [Scope; 2] = [Scope::EventWrite, Scope::EventAdmin];
pub(crate) const ISSUE_READ: [Scope; 3] = [Scope::EventRead, Scope::EventWrite, Scope::EventAdmin];

/// A caller whose token is known.
#[derive(Debug)]
pub(crate) struct Caller {
    token: Token,
    /// The person it speaks for, if it does for one.
    user: Option<User>,
}

/// An organization that the caller can see, and the caller's membership if it is a person.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) organization: Organization,
    pub(crate) member: Option<Member>,
}

impl Seat {
    /// The person who asks; `None` for an organization's token.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.member.as_ref().map(|member| member.user)
    }
}

/// Reads `Authorization: Bearer <token>`.
pub(crate) async fn caller(context: &Context, headers: &HeaderMap) -> Result<Caller, Fault> {
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
    let token = found.ok_or(Fault::Client(ClientFault::InvalidToken))?;
    let user = match token.owner {
        TokenOwner::Organization(_) => None,
        TokenOwner::User(id) => {
            let active = context.store.user(id).await?.filter(|user| user.active);
            Some(active.ok_or(Fault::Client(ClientFault::InvalidToken))?)
        }
    };
    Ok(Caller { token, user })
}

/// Reads the token and demands one of `scopes`: before anything is looked up, so that a token learns
/// nothing about what it may not see.
pub(crate) async fn caller_with(
    context: &Context,
    headers: &HeaderMap,
    scopes: &[Scope],
) -> Result<Caller, Fault> {
    let caller = caller(context, headers).await?;
    if scopes
        .iter()
        .any(|scope| caller.token.scopes.contains(scope))
    {
        return Ok(caller);
    }
    let (required, has) = (scopes.to_vec(), caller.token.scopes);
    Err(Fault::Client(ClientFault::Forbidden { required, has }))
}

impl Caller {
    pub(crate) fn scopes(&self) -> &[Scope] {
        &self.token.scopes
    }

    /// Who the audit log says it was.
    pub(crate) fn actor(&self) -> AuditActor {
        match self.token.owner {
            TokenOwner::User(user) => AuditActor::User(user),
            TokenOwner::Organization(_) => AuditActor::Token(self.token.name.clone()),
        }
    }

    pub(crate) fn owner(&self) -> TokenOwner {
        self.token.owner
    }

    pub(crate) fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// The organization that a path names by slug or id. One that the caller cannot see does not exist.
    pub(crate) async fn seat_at(&self, context: &Context, segment: &str) -> Result<Seat, Fault> {
        let found = match is_id(segment) {
            true => {
                context
                    .store
                    .organization(segment.parse().map_err(no_such)?)
                    .await?
            }
            false => {
                let slug = segment.parse().map_err(no_such)?;
                context.store.organization_by_slug(&slug).await?
            }
        };
        self.seat(context, found.ok_or_else(Fault::not_found)?)
            .await
    }

    /// The organization with this id, if the caller can see it.
    pub(crate) async fn seat_in(
        &self,
        context: &Context,
        id: OrganizationId,
    ) -> Result<Seat, Fault> {
        let found = context.store.organization(id).await?;
        self.seat(context, found.ok_or_else(Fault::not_found)?)
            .await
    }

    async fn seat(&self, context: &Context, organization: Organization) -> Result<Seat, Fault> {
        match self.token.owner {
            TokenOwner::Organization(own) if own == organization.id => Ok(Seat {
                organization,
                member: None,
            }),
            TokenOwner::Organization(_) => Err(Fault::not_found()),
            TokenOwner::User(user) => {
                let member = context.store.member(organization.id, user).await?;
                let member = Some(member.ok_or_else(Fault::not_found)?);
                Ok(Seat {
                    organization,
                    member,
                })
            }
        }
    }
}
