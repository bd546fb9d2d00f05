//! What a person wants to hear of, as they say it themselves.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use domain::{
    ClientFault, Fault, MOST_NOTIFICATION_SETTINGS, NotificationId, NotificationScope,
    NotificationScopeType, NotificationSetting, NotificationType, OrganizationId, ProjectId,
    UserId,
};
use runtime::{Answer, json};
use serde_json::{Value, json};

use crate::{
    Context,
    auth::{Caller, Seat, caller},
    body::Fields,
    cursor::parameter,
    no_such,
};

/// More digits than an id has.
const MAX_IDENTIFIER: usize = 20;

/// The person whose settings a path names, who is the one that asks. Any token of theirs will do.
fn own(caller: &Caller, segment: &str) -> Result<UserId, Fault> {
    let user = caller.user().map(|user| user.id);
    user.filter(|user| names(segment, *user)).ok_or_else(|| {
        let text = "You do not have permission to perform this action. \
                    Required: a token of the person whose settings they are.";
        Fault::Client(ClientFault::Denied(text.into()))
    })
}

fn names(text: &str, user: UserId) -> bool {
    text == "me" || text.parse() == Ok(user)
}

/// `GET /users/{user}/notification-options/`: all of them, or those of a `type`.
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    Path(segment): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let user = own(&caller(&context, &headers).await?, &segment)?;
    let kind = parameter(&uri, "type").map(|word| {
        let kind = word.parse::<NotificationType>();
        kind.map_err(|()| Fault::field("type", format!("\"{word}\" is not a valid choice.")))
    });
    let kind = kind.transpose()?;
    let mut settings = context.store.notification_settings(user).await?;
    settings.retain(|setting| kind.is_none_or(|kind| setting.id.kind == kind));
    settings.sort_by_key(|setting| setting.id);
    let body: Vec<_> = settings.iter().map(option).collect();
    Ok(json(StatusCode::OK, &body))
}

/// `PUT /users/{user}/notification-options/`
pub(crate) async fn set(
    State(context): State<Arc<Context>>,
    Path(segment): Path<String>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let caller = caller(&context, &parts.headers).await?;
    let user = own(&caller, &segment)?;
    let setting = read(Fields::read(&parts.headers, body).await?, user)?;
    if !reaches(&context, &caller, setting.id.scope).await? {
        let scope = setting.id.scope.scope_type();
        return Err(Fault::field("scopeIdentifier", not_in(scope)).into());
    }
    let known = context.store.notification_settings(user).await?;
    let new = known.iter().all(|it| it.id != setting.id);
    if new && known.len() >= MOST_NOTIFICATION_SETTINGS {
        let text = format!(
            "You have {MOST_NOTIFICATION_SETTINGS} notification settings, which is the most. \
             Delete some that you no longer need."
        );
        return Err(Fault::detail(text).into());
    }
    context.store.put_notification_setting(&setting).await?;
    Ok(json(StatusCode::CREATED, &option(&setting)))
}

/// `DELETE /users/{user}/notification-options/{id}/`
pub(crate) async fn delete(
    State(context): State<Arc<Context>>,
    Path((segment, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let user = own(&caller(&context, &headers).await?, &segment)?;
    let id = id.parse().map_err(no_such)?;
    match context.store.delete_notification_setting(user, id).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Fault::not_found().into()),
    }
}

fn read(mut fields: Fields, user: UserId) -> Result<NotificationSetting, Fault> {
    let kind = fields.required_choice("type", |word| word.parse().ok());
    let scope = scope(&mut fields, user);
    let value = fields.required_choice("value", |word| word.parse().ok());
    let setting = kind.zip(scope).zip(value);
    fields.finish_with(setting.map(|((kind, scope), value)| NotificationSetting {
        user,
        id: NotificationId { kind, scope },
        value,
    }))
}

fn scope(fields: &mut Fields, user: UserId) -> Option<NotificationScope> {
    let scope = fields.required_choice("scopeType", |word| word.parse().ok());
    let identifier = fields.required("scopeIdentifier", MAX_IDENTIFIER)?;
    let scope: NotificationScopeType = scope?;
    let found = match scope {
        NotificationScopeType::User => names(&identifier, user).then_some(NotificationScope::User),
        NotificationScopeType::Organization => {
            let id = identifier.parse::<OrganizationId>().ok();
            id.map(NotificationScope::Organization)
        }
        NotificationScopeType::Project => {
            let id = identifier.parse::<ProjectId>().ok();
            id.map(NotificationScope::Project)
        }
    };
    if found.is_none() {
        fields.refuse("scopeIdentifier", not_in(scope));
    }
    found
}

/// The same whether there is such a thing or not: nothing is learned about what exists.
fn not_in(scope: NotificationScopeType) -> &'static str {
    match scope {
        NotificationScopeType::User => "Not your own id.",
        NotificationScopeType::Organization => "Not the id of an organization that you are in.",
        NotificationScopeType::Project => "Not the id of a project that you are in a team of.",
    }
}

/// Whether the caller is in what a setting is to be about.
async fn reaches(
    context: &Context,
    caller: &Caller,
    scope: NotificationScope,
) -> Result<bool, Fault> {
    match scope {
        NotificationScope::User => Ok(true),
        NotificationScope::Organization(id) => Ok(seat(context, caller, id).await?.is_some()),
        NotificationScope::Project(id) => {
            let Some(project) = context.store.project(id).await? else {
                return Ok(false);
            };
            let seat = seat(context, caller, project.organization).await?;
            let member = seat.and_then(|seat| seat.member);
            Ok(member.is_some_and(|member| project.admits(&member)))
        }
    }
}

/// The caller's place in an organization, if they have one.
async fn seat(
    context: &Context,
    caller: &Caller,
    id: OrganizationId,
) -> Result<Option<Seat>, Fault> {
    match caller.look_at(context, &id.to_string()).await {
        Ok(seat) => Ok(Some(seat)),
        Err(Fault::Client(ClientFault::NotFound)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn option(setting: &NotificationSetting) -> Value {
    let identifier = match setting.id.scope {
        NotificationScope::User => setting.user.to_string(),
        NotificationScope::Organization(id) => id.to_string(),
        NotificationScope::Project(id) => id.to_string(),
    };
    json!({
        "id": setting.id.to_string(),
        "scopeType": setting.id.scope.scope_type().as_str(),
        "scopeIdentifier": identifier,
        "type": setting.id.kind.as_str(),
        "value": setting.value.as_str(),
        "userId": setting.user,
        "teamId": null,
    })
}
