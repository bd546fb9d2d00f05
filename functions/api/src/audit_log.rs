//! Who did what to an organization.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri},
};
use domain::{AuditActor, AuditEntry, AuditEvent, Fault, User, UserId};
use runtime::{Answer, json};
use serde_json::{Value, json};
use store::AuditFilter;

use crate::{
    Context,
    auth::{ORGANIZATION_WRITE, caller_with},
    cursor::{Paging, parameter},
    issues::person,
};

/// `GET /organizations/{organization}/audit-logs/`, newest first; `event` and `actor` (a user's id) say
/// which.
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    Path(organization): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let caller = caller_with(&context, &headers, &ORGANIZATION_WRITE).await?;
    let seat = caller.seat_at(&context, &organization).await?;
    let paging = Paging::of(&uri)?;
    let filter = filter(&uri)?;
    let organization = seat.organization.id;
    let page = context
        .store
        .audit_log(organization, &filter, paging.skip, paging.limit)
        .await?;
    let users = |entry: &AuditEntry| [actor(entry), entry.event.target_user()];
    let users: Vec<_> = page.rows.iter().flat_map(users).flatten().collect();
    let users = context.store.users(&users).await?;
    let users: BTreeMap<_, _> = users.into_iter().map(|user| (user.id, user)).collect();
    let rows: Result<Vec<_>, _> = page.rows.iter().map(|entry| row(entry, &users)).collect();
    let body = json!({ "rows": rows?, "options": AuditEvent::NAMES });
    Ok(paging.link(&context, page.more, json(StatusCode::OK, &body)))
}

fn filter(uri: &Uri) -> Result<AuditFilter, Fault> {
    let given = |name: &str| parameter(uri, name).filter(|text| !text.is_empty());
    let invalid =
        |name: &str, text: &str| Fault::field(name, format!("\"{text}\" is not a valid choice."));
    let event = match given("event") {
        None => None,
        Some(text) => {
            let known = AuditEvent::NAMES.into_iter().find(|name| *name == text);
            Some(known.ok_or_else(|| invalid("event", &text))?)
        }
    };
    let actor = match given("actor") {
        None => None,
        Some(text) => {
            let user = text.parse().map_err(|_| invalid("actor", &text))?;
            Some(AuditActor::User(user))
        }
    };
    Ok(AuditFilter { event, actor })
}

/// The person who did it.
fn actor(entry: &AuditEntry) -> Option<UserId> {
    match &entry.actor {
        AuditActor::User(user) => Some(*user),
        AuditActor::Token(_) | AuditActor::Operator => None,
    }
}

fn row(entry: &AuditEntry, users: &BTreeMap<UserId, User>) -> Result<Value, Fault> {
    let known = |id: &UserId| users.get(id).map(person);
    let actor = match &entry.actor {
        AuditActor::User(user) => known(user).unwrap_or_else(|| json!({ "id": user })),
        AuditActor::Token(name) => json!({ "name": name }),
        AuditActor::Operator => json!({ "name": "operator" }),
    };
    // The event's name and its facts, as they are kept.
    let event = serde_json::to_value(&entry.event).map_err(|e| Fault::Poison(e.to_string()))?;
    Ok(json!({
        "id": entry.id,
        "actor": actor,
        "event": event["event"],
        "ipAddress": entry.address,
        "note": note(&entry.event),
        "targetObject": entry.target(),
        "targetUser": entry.event.target_user().and_then(|id| known(&id)),
        "dateCreated": entry.at.to_string(),
        "data": event["data"],
    }))
}

/// What happened, for people.
fn note(event: &AuditEvent) -> String {
    match event {
        AuditEvent::OrganizationEdit(changes) => {
            let changes: Vec<_> = changes
                .iter()
                .map(|(name, text)| format!("{name} {text}"))
                .collect();
            format!("changed the organization: {}", changes.join(", "))
        }
        AuditEvent::OrganizationRemove(facts) => format!("removed organization {}", facts.slug),
        AuditEvent::OrganizationRestore(facts) => format!("restored organization {}", facts.slug),
        AuditEvent::ProjectCreate(facts) => format!("created project {}", facts.slug),
        AuditEvent::ProjectEdit(edit) => match &edit.old_slug {
            Some(old) => format!("renamed project {old} to {}", edit.project.slug),
            None => format!("changed project {}", edit.project.slug),
        },
        AuditEvent::ProjectRemove(removal) | AuditEvent::ProjectRemoveWithOrigin(removal) => {
            format!("removed project {}", removal.project.slug)
        }
        AuditEvent::ProjectKeyCreate(facts) => format!("added client key {}", facts.public_key),
        AuditEvent::ProjectKeyEdit(facts) => format!("changed client key {}", facts.public_key),
        AuditEvent::ProjectKeyEnable(facts) => format!("enabled client key {}", facts.public_key),
        AuditEvent::ProjectKeyDisable(facts) => {
            format!("disabled client key {}", facts.public_key)
        }
        AuditEvent::ProjectKeyRemove(facts) => format!("removed client key {}", facts.public_key),
        AuditEvent::TeamCreate(facts) => format!("created team {}", facts.slug),
        AuditEvent::TeamEdit(facts) => format!("changed team {}", facts.slug),
        AuditEvent::MemberAdd(facts) => format!("added a member as {}", facts.role.as_str()),
        AuditEvent::MemberEdit(facts) => {
            format!("changed a member, now {}", facts.role.as_str())
        }
        AuditEvent::MemberRemove(facts) => {
            format!("removed a member, who was {}", facts.role.as_str())
        }
        AuditEvent::MemberJoinTeam(facts) => format!("put a member into team {}", facts.team_slug),
        AuditEvent::MemberLeaveTeam(facts) => {
            format!("took a member out of team {}", facts.team_slug)
        }
    }
}
