//! People, their addresses and their memberships.

use std::collections::HashMap;

use domain::{
    AuditActor, AuditEntry, AuditEvent, Email, Member, MemberFacts, MemberId, Organization,
    OrganizationId, Role, TeamId, Timestamp, User, UserId, names,
};
use serde::{Deserialize, Serialize};

use crate::{
    change::{Changed, Swap},
    error::StoreError,
    keys,
    table::{ATTEMPTS, Created, Filter, Page, Query, Store, step_aside, take, value},
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
    /// Whether issues that nobody has become theirs when they resolve them; a new user's do not.
    pub self_assign_issue: Option<bool>,
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

/// What became of a membership that was to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// It has ended; this is what it was.
    Done(Member),
    /// There was none.
    Absent,
    /// It stays: nobody else who takes part is an owner.
    LastOwner,
}

#[derive(Serialize, Deserialize)]
struct Owner {
    user: UserId,
}

/// More than an organization has; beyond them nobody is counted.
const MOST_MEMBERS: usize = 100_000;

#[derive(Serialize, Deserialize)]
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

    /// The members of an organization with this username, in the order of their ids.
    pub async fn members_with_username(
        &self,
        organization: OrganizationId,
        username: &str,
    ) -> Result<Vec<(Member, User)>, StoreError> {
        if username.chars().count() > names::MAX_USERNAME {
            return Ok(Vec::new());
        }
        let pk = keys::users_named(username);
        let query = Query::prefix(&pk, keys::USERNAME_USERS);
        let found: Vec<Owner> = self.query_all(query).await?;
        let ids: Vec<_> = found.iter().map(|owner| owner.user).collect();
        self.members_with_ids(organization, &ids).await
    }

    /// Those of these people who are members of an organization, in the order of their ids.
    pub async fn members_with_ids(
        &self,
        organization: OrganizationId,
        ids: &[UserId],
    ) -> Result<Vec<(Member, User)>, StoreError> {
        let both = |id: &UserId| [keys::user(*id), keys::member(organization, *id)];
        let mut found = self.get_all(ids.iter().flat_map(both).collect()).await?;
        let mut people: Vec<(Member, User)> = Vec::new();
        for id in ids {
            let user = take(&mut found, &keys::user(*id))?;
            let member = take(&mut found, &keys::member(organization, *id))?;
            people.extend(member.zip(user));
        }
        people.sort_by_key(|(member, _)| member.user);
        Ok(people)
    }

    /// The member of an organization whose primary address this is.
    pub async fn member_by_email(
        &self,
        organization: OrganizationId,
        email: &Email,
    ) -> Result<Option<(Member, User)>, StoreError> {
        let Some(owner) = self.get::<Owner>(&keys::email_owner(email)).await? else {
            return Ok(None);
        };
        let found = self.members_with_ids(organization, &[owner.user]).await?;
        Ok(found.into_iter().next())
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
            let known = found.clone().unwrap_or_else(|| User {
                id: UserId::timed(now, rand::random()),
                email: fields.email.clone(),
                verified: true,
                name: String::new(),
                username: fields.email.as_str().to_owned(),
                active: true,
                self_assign_issue: false,
                created: now,
            });
            let user = User {
                name: fields.name.clone(),
                username: fields.username.clone().unwrap_or(known.username),
                verified: fields.verified.unwrap_or(known.verified),
                active: fields.active.unwrap_or(known.active),
                self_assign_issue: fields.self_assign_issue.unwrap_or(known.self_assign_issue),
                ..known
            };
            if self.write_user(found.as_ref(), &user).await? == Commit::Done {
                return Ok(Created {
                    entity: user,
                    created: found.is_none(),
                });
            }
        }
        Err(StoreError::Contended("the user".into()))
    }

    /// Sets whether the user with this primary address proved it. `Ok(None)`: there is no such user.
    pub async fn verify_email(
        &self,
        email: &Email,
        verified: bool,
    ) -> Result<Option<User>, StoreError> {
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let Some(seen) = self.user_by_email(email).await? else {
                return Ok(None);
            };
            let user = User {
                verified,
                ..seen.clone()
            };
            if self.write_user(Some(&seen), &user).await? == Commit::Done {
                return Ok(Some(user));
            }
        }
        Err(StoreError::Contended("the user".into()))
    }

    /// Writes a new user, or one over what was seen.
    async fn write_user(&self, seen: Option<&User>, user: &User) -> Result<Commit, StoreError> {
        let address = KnownAddress {
            user: user.id,
            verified: user.verified,
            active: user.active,
        };
        let key = keys::user(user.id);
        let owner = Owner { user: user.id };
        let name = keys::username(&user.username, user.id);
        let transaction = self
            .transaction()
            .put(&keys::email_user(&user.email, user.id), &address)?
            .put(&name, &owner)?;
        let transaction = match seen {
            None => transaction
                .put_new(&key, user)?
                .put_new(&keys::email_owner(&user.email), &owner)?,
            Some(seen) => {
                let former = keys::username(&seen.username, seen.id);
                let transaction = match former == name {
                    true => transaction,
                    false => transaction.delete(&former)?,
                };
                let (before, after) = (seen.self_assign_issue, user.self_assign_issue);
                let swaps = [
                    Swap::of("name", &seen.name, &user.name)?,
                    Swap::of("username", &seen.username, &user.username)?,
                    Swap::of("verified", &seen.verified, &user.verified)?,
                    Swap::of("active", &seen.active, &user.active)?,
                    Swap::later("self_assign_issue", &before, &after)?,
                ];
                transaction.swap(&key, swaps.into())?
            }
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

    /// The membership with this id.
    pub async fn member_by_id(
        &self,
        organization: OrganizationId,
        id: MemberId,
    ) -> Result<Option<Member>, StoreError> {
        match self.get::<MemberOf>(&keys::member_id(id)).await? {
            Some(of) if of.organization == organization => self.member(organization, of.user).await,
            Some(_) | None => Ok(None),
        }
    }

    /// Adds the membership, or sets the role and teams of the one there is.
    pub async fn put_member(
        &self,
        organization: OrganizationId,
        new: &NewMember,
        actor: &AuditActor,
        now: Timestamp,
    ) -> Result<Created<Member>, StoreError> {
        let by = |event: AuditEvent| event.by(actor.clone(), organization, now, rand::random());
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            if self.member(organization, new.user).await?.is_some() {
                let decide = |seen: &Member| {
                    let member = Member {
                        role: new.role.unwrap_or(seen.role),
                        teams: new.teams.clone().unwrap_or_else(|| seen.teams.clone()),
                        ..seen.clone()
                    };
                    let edit = || by(AuditEvent::MemberEdit(MemberFacts::of(&member)));
                    (member != *seen).then(|| (member.clone(), edit()))
                };
                match self.change_member(organization, new.user, decide).await? {
                    Changed::Done(member) => return Ok(Created::found(member)),
                    Changed::NameTaken | Changed::Gone => continue,
                }
            }
            let member = Member {
                id: MemberId::timed(now, rand::random()),
                user: new.user,
                role: new.role.unwrap_or(Role::Member),
                teams: new.teams.clone().unwrap_or_default(),
                created: now,
            };
            let id = MemberOf {
                organization,
                user: new.user,
            };
            let commit = self
                .transaction()
                .put_new(&keys::member(organization, new.user), &member)?
                .put_new(&keys::member_id(member.id), &id)?
                .put(
                    &keys::user_organization(new.user, organization),
                    &OrganizationOf { organization },
                )?
                .audit(&by(AuditEvent::MemberAdd(MemberFacts::of(&member))))?
                .commit()
                .await?;
            if commit == Commit::Done {
                return Ok(Created::new(member));
            }
        }
        Err(StoreError::Contended(format!("member {}", new.user)))
    }

    /// Commits what `decide` makes of a membership: another role, or other teams. Decided again when it was
    /// changed meanwhile; `None` leaves it as it is.
    pub async fn change_member(
        &self,
        organization: OrganizationId,
        user: UserId,
        decide: impl Fn(&Member) -> Option<(Member, AuditEntry)>,
    ) -> Result<Changed<Member>, StoreError> {
        let item = keys::member(organization, user);
        self.change(&item, decide, |transaction, seen: &Member, new| {
            let swaps = [
                Swap::of("role", &seen.role, &new.role)?,
                Swap::of("teams", &seen.teams, &new.teams)?,
            ];
            transaction.swap(&item, swaps.into())
        })
        .await
    }

    /// Ends a membership, and with it the member's place in teams.
    pub async fn remove_member(
        &self,
        organization: OrganizationId,
        user: UserId,
        actor: &AuditActor,
        now: Timestamp,
    ) -> Result<Removed, StoreError> {
        let key = keys::member(organization, user);
        for attempt in 0..ATTEMPTS {
            step_aside(attempt).await;
            let Some(seen) = self.member(organization, user).await? else {
                return Ok(Removed::Absent);
            };
            let event = AuditEvent::MemberRemove(MemberFacts::of(&seen));
            let audit = event.by(actor.clone(), organization, now, rand::random());
            let mut transaction = self
                .transaction()
                .delete_over(&key, "id", &seen.id)?
                .delete(&keys::member_id(seen.id))?
                .delete(&keys::user_organization(user, organization))?
                .audit(&audit)?;
            if seen.role == Role::Owner {
                let Some(other) = self.other_owner(organization, user).await? else {
                    return Ok(Removed::LastOwner);
                };
                // As long as that one stays: two who remove one another would leave nobody.
                let stays = Swap::of("role", &Role::Owner, &Role::Owner)?;
                let active = Swap::of("active", &true, &true)?;
                transaction = transaction
                    .swap(&keys::member(organization, other), vec![stays])?
                    .swap(&keys::user(other), vec![active])?;
            }
            if transaction.commit().await? == Commit::Done {
                return Ok(Removed::Done(seen));
            }
        }
        Err(StoreError::Contended(format!("member {user}")))
    }

    /// An owner of the organization who takes part, and is somebody else.
    async fn other_owner(
        &self,
        organization: OrganizationId,
        user: UserId,
    ) -> Result<Option<UserId>, StoreError> {
        let members = self.all_members(organization).await?.into_iter();
        let others = members.filter(|it| it.role == Role::Owner && it.user != user);
        let others: Vec<_> = others.map(|member| member.user).collect();
        let found = self.users(&others).await?;
        Ok(found.iter().find(|user| user.active).map(|user| user.id))
    }

    /// How many members each team of an organization has. Lags like a list.
    pub async fn team_sizes(
        &self,
        organization: OrganizationId,
    ) -> Result<HashMap<TeamId, usize>, StoreError> {
        let pk = keys::organization(organization).pk;
        let all = self.list::<Member>(Query::prefix(&pk, keys::MEMBERS), 0, MOST_MEMBERS);
        let mut sizes = HashMap::new();
        for team in all.await?.rows.into_iter().flat_map(|member| member.teams) {
            *sizes.entry(team).or_default() += 1;
        }
        Ok(sizes)
    }

    /// The members of a team with their users, in the order of user ids.
    pub async fn members_of_team(
        &self,
        organization: OrganizationId,
        team: TeamId,
        skip: usize,
        limit: usize,
    ) -> Result<Page<(Member, User)>, StoreError> {
        let pk = keys::organization(organization).pk;
        let query = Query {
            filters: vec![Filter::contains("teams", value(&team)?)],
            ..Query::prefix(&pk, keys::MEMBERS)
        };
        self.members_in(query, skip, limit).await
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
        self.members_in(query, skip, limit).await
    }

    /// All members of an organization, in the order of user ids.
    pub async fn all_members(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<Member>, StoreError> {
        let pk = keys::organization(organization).pk;
        self.query_all(Query::prefix(&pk, keys::MEMBERS)).await
    }

    async fn members_in(
        &self,
        query: Query<'_>,
        skip: usize,
        limit: usize,
    ) -> Result<Page<(Member, User)>, StoreError> {
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
