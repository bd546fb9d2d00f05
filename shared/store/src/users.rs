//! People, their addresses and their memberships.

use std::collections::HashMap;

use domain::{
    Email, Member, MemberId, Organization, OrganizationId, Role, TeamId, Timestamp, User, UserId,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::StoreError,
    keys,
    table::{ATTEMPTS, Created, Page, Query, Store, step_aside},
    transaction::Commit,
};

/// What identifies a user is the address; the rest can be set again. What is left out stays as it is.
#[derive(Debug, Clone)]
pub struct UserFields {
    /// The primary address.
    pub email: Email,
    /// Shown to people.
    pub name: String,
    /// For signing in; a new user's is the address.
    pub username: Option<String>,
    /// Whether the address is proven; a new user's is, the operator vouches for it.
    pub verified: Option<bool>,
    /// Whether the user takes part; a new user does.
    pub active: Option<bool>,
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
    /// With which role; `None` leaves it as it is, and a new one is a plain member.
    pub role: Option<Role>,
    /// In which teams; `None` leaves them as they are, and a new one is in none.
    pub teams: Option<Vec<TeamId>>,
}

#[derive(Serialize, Deserialize)]
struct Owner {
    user: UserId,
}

#[derive(Serialize)]
struct MemberOf {
    organization: OrganizationId,
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

    /// The users with these ids, each once, without those that are gone.
    pub async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        self.get_list(ids.iter().map(|id| keys::user(*id)).collect())
            .await
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
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let found = self.user_by_email(&fields.email).await?;
            let created = found.is_none();
            let known = found.unwrap_or_else(|| User {
                id: UserId::timed(now, rand::random()),
                email: fields.email.clone(),
                verified: true,
                name: String::new(),
                username: fields.email.as_str().to_owned(),
                active: true,
                created: now,
            });
            let user = User {
                name: fields.name.clone(),
                username: fields.username.clone().unwrap_or(known.username),
                verified: fields.verified.unwrap_or(known.verified),
                active: fields.active.unwrap_or(known.active),
                ..known
            };
            if self.write_user(&user, created).await? == Commit::Done {
                return Ok(Created {
                    entity: user,
                    created,
                });
            }
        }
        Err(StoreError::Contended("the user".into()))
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
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let found = self.member(organization, new.user).await?;
            let created = found.is_none();
            let known = found.unwrap_or_else(|| Member {
                id: MemberId::timed(now, rand::random()),
                user: new.user,
                role: Role::Member,
                teams: Vec::new(),
                created: now,
            });
            let member = Member {
                role: new.role.unwrap_or(known.role),
                teams: new.teams.clone().unwrap_or_else(|| known.teams.clone()),
                ..known
            };
            let id = member.id;
            let key = keys::member(organization, new.user);
            let transaction = self.transaction().put(
                &keys::user_organization(new.user, organization),
                &OrganizationOf { organization },
            )?;
            let transaction = match created {
                true => transaction.put_new(&key, &member)?.put_new(
                    &keys::member_id(id),
                    &MemberOf {
                        organization,
                        user: new.user,
                    },
                )?,
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
        let ids: Vec<_> = page.rows.iter().map(|member| member.user).collect();
        let users = self.users(&ids).await?;
        let users: HashMap<_, _> = users.into_iter().map(|user| (user.id, user)).collect();
        let with_user = |member: Member| Some((users.get(&member.user)?.clone(), member));
        let rows = page.rows.into_iter().filter_map(with_user);
        let rows = rows.map(|(user, member)| (member, user)).collect();
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
