//! People, their addresses and their memberships.

use domain::{
    Email, Member, MemberId, Organization, OrganizationId, Role, TeamId, Timestamp, User, UserId,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys,
    table::{Created, Page, Query, Store, read},
    transaction::Commit,
};

/// What identifies a user is the address; the rest can be set again.
#[derive(Debug, Clone)]
pub struct UserFields {
    /// The primary address.
    pub email: Email,
    /// Shown to people.
    pub name: String,
    /// For signing in.
    pub username: String,
    /// Whether the address is proven.
    pub verified: bool,
    /// Whether the user takes part.
    pub active: bool,
}

/// Who has an address, with what makes it count: kept beside the address, written with the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAddress {
    /// Who has it.
    pub user: UserId,
    /// Whether it is proven.
    pub verified: bool,
    /// Whether the user takes part.
    pub active: bool,
}

/// A membership as it is to be.
#[derive(Debug, Clone)]
pub struct NewMember {
    /// Who.
    pub user: UserId,
    /// With which role.
    pub role: Role,
    /// In which teams.
    pub teams: Vec<TeamId>,
}

#[derive(Serialize, Deserialize)]
struct Owner {
    user: UserId,
}

#[derive(Serialize, Deserialize)]
struct OrganizationOf {
    organization: OrganizationId,
}

impl Store {
    /// The user with this id.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.get(&keys::user(id)).await
    }

    /// The user whose primary address this is.
    pub async fn user_by_email(&self, email: &Email) -> Result<Option<User>, StoreError> {
        match self.get::<Owner>(&keys::email_owner(email)).await? {
            Some(owner) => self.user(owner.user).await,
            None => Ok(None),
        }
    }

    /// Everybody who has this address, proven or not.
    pub async fn users_with_address(&self, email: &Email) -> Result<Vec<KnownAddress>, StoreError> {
        let pk = keys::email_owner(email).pk;
        self.query_all(Query::prefix(&pk, keys::EMAIL_USERS)).await
    }

    /// Adds the user, or sets the fields of the one who has the address.
    pub async fn put_user(
        &self,
        fields: &UserFields,
        now: Timestamp,
    ) -> Result<Created<User>, StoreError> {
        for _ in 0..ATTEMPTS {
            let found = self.user_by_email(&fields.email).await?;
            let created = found.is_none();
            let (id, since) = match found {
                Some(user) => (user.id, user.created),
                None => (UserId::timed(now, rand::random()), now),
            };
            let user = User {
                id,
                email: fields.email.clone(),
                verified: fields.verified,
                name: fields.name.clone(),
                username: fields.username.clone(),
                active: fields.active,
                created: since,
            };
            if self.write_user(&user, created).await? == Commit::Done {
                return Ok(Created {
                    entity: user,
                    created,
                });
            }
        }
        Err(StoreError::Contended(format!("user {}", fields.username)))
    }

    async fn write_user(&self, user: &User, new: bool) -> Result<Commit, StoreError> {
        let address = KnownAddress {
            user: user.id,
            verified: user.verified,
            active: user.active,
        };
        let transaction = self
            .transaction()
            .put(&keys::email_user(&user.email, user.id), &address)?;
        let transaction = if new {
            transaction
                .put_new(&keys::user(user.id), user)?
                .put_new(&keys::email_owner(&user.email), &Owner { user: user.id })?
        } else {
            transaction.put(&keys::user(user.id), user)?
        };
        transaction.commit().await
    }

    /// The membership of a user.
    pub async fn member(
        &self,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Option<Member>, StoreError> {
        self.get(&keys::member(organization, user)).await
    }

    /// Adds the membership, or sets the role and teams of the one there is.
    pub async fn put_member(
        &self,
        organization: OrganizationId,
        new: &NewMember,
        now: Timestamp,
    ) -> Result<Created<Member>, StoreError> {
        for _ in 0..ATTEMPTS {
            let found = self.member(organization, new.user).await?;
            let created = found.is_none();
            let (id, since) = match found {
                Some(member) => (member.id, member.created),
                None => (MemberId::timed(now, rand::random()), now),
            };
            let member = Member {
                id,
                user: new.user,
                role: new.role,
                teams: new.teams.clone(),
                created: since,
            };
            let key = keys::member(organization, new.user);
            let transaction = self.transaction().put(
                &keys::user_organization(new.user, organization),
                &OrganizationOf { organization },
            )?;
            let transaction = match created {
                true => transaction.put_new(&key, &member)?,
                false => transaction.put(&key, &member)?,
            };
            if transaction.commit().await? == Commit::Done {
                return Ok(Created {
                    entity: member,
                    created,
                });
            }
        }
        Err(StoreError::Contended(format!("member {}", new.user)))
    }

    /// The members of an organization with their users, in the order of user ids.
    pub async fn members(
        &self,
        organization: OrganizationId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<(Member, User)>, StoreError> {
        let pk = keys::organization(organization).pk;
        let query = Query::prefix(&pk, keys::MEMBERS);
        let page: Page<Member> = self.list(query, skip, limit).await?;
        let users = page
            .rows
            .iter()
            .map(|member| keys::user(member.user))
            .collect();
        let mut users = self.get_all(users).await?;
        let mut rows = Vec::with_capacity(page.rows.len());
        for member in page.rows {
            let key = keys::user(member.user);
            if let Some(item) = users.remove(&key) {
                rows.push((member, read(&key, item)?));
            }
        }
        Ok(Page {
            rows,
            more: page.more,
        })
    }

    /// The organizations that a user is a member of, in the order of their ids.
    pub async fn organizations_of(
        &self,
        user: UserId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<Organization>, StoreError> {
        let pk = keys::user(user).pk;
        let query = Query::prefix(&pk, keys::USER_ORGANIZATIONS);
        let page: Page<OrganizationOf> = self.list(query, skip, limit).await?;
        let ids: Vec<_> = page.rows.iter().map(|row| row.organization).collect();
        Ok(Page {
            rows: self.organizations(&ids).await?,
            more: page.more,
        })
    }
}

/// How often a write that met another one is decided again.
pub(crate) const ATTEMPTS: usize = 5;
