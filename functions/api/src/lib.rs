//! `api`: the Sentry-compatible HTTP API under `/api/0`.
//!
//! Every answer is JSON, errors included: sentry-cli takes anything else for the answer of a proxy. Pictures are not,
//! which have a route of their own beside it.

mod alert_rules;
mod assignee;
mod audit_log;
mod auth;
mod body;
mod client_keys;
mod cursor;
mod issue_update;
mod issues;
mod members;
mod notification_options;
mod organization_settings;
mod organizations;
mod pictures;
mod project_deletion;
mod project_issues;
mod projects;
mod releases;
mod sync_trail;
mod teams;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn},
    response::Response,
    routing::{delete, get, post},
};
use domain::{Fault, Region};
use runtime::{Answer, Clock, Env, Function, Metric, StartError, json};
use serde_json::json;
use store::{Redis, Sequences, Store};

/// What this function may touch.
#[derive(Debug)]
pub struct Context {
    store: Store,
    sequences: Sequences,
    /// Where the HTTP API is reached, without a trailing slash: what a DSN and the address of a picture name.
    ingest_url: String,
    /// Where people and clients reach the bundle, without a trailing slash.
    public_url: String,
    /// The id or slug of a project that nobody may delete; empty for none.
    internal_project: String,
    /// How long a deleted project can be given back, in milliseconds.
    deletion_delay: i64,
    clock: Clock,
}

/// Builds the function from its environment.
pub async fn function(env: Env) -> Result<Function, StartError> {
    let mut reader = env.reader();
    let aws = reader.aws();
    let store = Store::new(&aws.service("DYNAMODB"), reader.text("TABLE_NAME"));
    let public_url = reader.text("PUBLIC_URL").trim_end_matches('/').to_owned();
    let ingest_url = reader.text("INGEST_URL").trim_end_matches('/').to_owned();
    let region = reader.parsed_or("SNOWFLAKE_REGION_ID", Region::default());
    let redis = Redis::new(&reader.secret("REDIS_URL"), store.clone(), || {
        Metric::CacheUnreachable.emit();
    });
    let redis = reader.check("REDIS_URL", redis);
    let internal_project = reader.parsed_or("INTERNAL_PROJECT", String::new());
    let deletion_delay = i64::from(reader.parsed_or("DELETION_DELAY_HOURS", 0_u16)) * 3_600_000;
    let clock = reader.clock();
    reader.finish()?;
    let redis = redis.expect("the reader would have said that the URL is not valid");
    let context = Context {
        store,
        sequences: Sequences::new(redis, region),
        ingest_url,
        public_url,
        internal_project,
        deletion_delay,
        clock,
    };
    // Not to Redis: only who makes a project or a team waits for that.
    env.connect(aws.open("DYNAMODB")).await;
    Ok(Function::http(router(Arc::new(context))))
}

fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/api/0/", get(index))
        .route("/api/0/auth/", get(auth))
        .route("/api/0/organizations/", get(organizations::list))
        .route(
            "/api/0/organizations/{organization}/",
            get(organizations::show)
                .put(organizations::update)
                .delete(organizations::delete),
        )
        .route(
            "/api/0/organizations/{organization}/projects/",
            get(projects::list),
        )
        .route(
            "/api/0/organizations/{organization}/teams/",
            get(teams::list).post(teams::create),
        )
        .route(
            "/api/0/organizations/{organization}/audit-logs/",
            get(audit_log::list),
        )
        .route(
            "/api/0/organizations/{organization}/members/",
            get(members::list),
        )
        .route(
            "/api/0/organizations/{organization}/members/{member}/",
            get(members::show).put(members::update),
        )
        .route(
            "/api/0/organizations/{organization}/members/{member}/teams/{team}/",
            post(members::join).delete(members::leave),
        )
        .route(
            "/api/0/teams/{organization}/{team}/",
            get(teams::show).put(teams::update),
        )
        .route(
            "/api/0/teams/{organization}/{team}/members/",
            get(members::list_of_team),
        )
        .route(
            "/api/0/teams/{organization}/{team}/projects/",
            get(projects::list_of_team).post(projects::create),
        )
        .route(
            "/api/0/projects/{organization}/{project}/",
            get(projects::show)
                .put(projects::update)
                .delete(project_deletion::delete),
        )
        .route(
            "/api/0/projects/{organization}/{project}/filters/",
            get(projects::filters),
        )
        .route(
            "/api/0/projects/{organization}/{project}/issues/",
            get(project_issues::list).put(project_issues::update),
        )
        .route(
            "/api/0/projects/{organization}/{project}/rules/",
            get(alert_rules::list),
        )
        .route(
            "/api/0/projects/{organization}/{project}/keys/",
            get(client_keys::list).post(client_keys::create),
        )
        .route(
            "/api/0/projects/{organization}/{project}/keys/{key}/",
            get(client_keys::show)
                .put(client_keys::update)
                .delete(client_keys::delete),
        )
        .route(
            "/api/0/organizations/{organization}/issues/",
            get(project_issues::list_of_organization),
        )
        .route(
            "/api/0/organizations/{organization}/shortids/{issue}/",
            get(issues::show_by_short_id),
        )
        .route(
            "/api/0/organizations/{organization}/issues/{issue}/",
            get(issues::show_in).put(issue_update::update_in),
        )
        .route(
            "/api/0/organizations/{organization}/issues/{issue}/activities/",
            get(issues::activities_in),
        )
        .route(
            "/api/0/issues/{issue}/",
            get(issues::show).put(issue_update::update),
        )
        .route("/api/0/issues/{issue}/activities/", get(issues::activities))
        .route(
            "/api/0/organizations/{organization}/issues/{issue}/sync/",
            get(sync_trail::list_in),
        )
        .route("/api/0/issues/{issue}/sync/", get(sync_trail::list))
        .route(
            "/api/0/organizations/{organization}/deletions/",
            get(project_deletion::list),
        )
        .route(
            "/api/0/organizations/{organization}/deletions/{project}/",
            get(project_deletion::show),
        )
        .route(
            "/api/0/users/{user}/notification-options/",
            get(notification_options::list).put(notification_options::set),
        )
        .route(
            "/api/0/users/{user}/notification-options/{id}/",
            delete(notification_options::delete),
        )
        .route("/organization-avatar/{picture}/", get(pictures::show))
        .merge(releases::routes())
        .with_state(context)
        .layer(from_fn(always_json))
}

/// `GET /api/0/`: who is asking, and with which scopes.
async fn index(State(context): State<Arc<Context>>, headers: HeaderMap) -> Answer {
    let caller = auth::caller(&context, &headers).await?;
    let body = json!({
        "version": "0",
        "auth": { "scopes": caller.scopes() },
        "user": caller.user().map(issues::person),
    });
    Ok(json(StatusCode::OK, &body))
}

/// `GET /api/0/auth/`: the person who asks.
async fn auth(State(context): State<Arc<Context>>, headers: HeaderMap) -> Answer {
    let caller = auth::caller(&context, &headers).await?;
    let text = "The token is one of an organization: nobody asks.";
    let user = caller.user().ok_or_else(|| Fault::detail(text))?;
    Ok(json(StatusCode::OK, &members::person(user)))
}

/// Gives the router's own refusals (no such route, wrong method, an undecodable path) the shape of ours.
async fn always_json(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let answer = next.run(request).await;
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let json_already = kind == Some(&HeaderValue::from_static("application/json"));
    let refused = answer.status().is_client_error() || answer.status().is_server_error();
    if json_already || !refused {
        return answer;
    }
    let (parts, _) = answer.into_parts();
    let detail = match parts.status {
        StatusCode::METHOD_NOT_ALLOWED => format!("Method \"{method}\" not allowed."),
        StatusCode::NOT_FOUND => "The requested resource does not exist".to_owned(),
        other => other
            .canonical_reason()
            .unwrap_or("The request cannot be read")
            .to_owned(),
    };
    let mut answer = json(parts.status, &json!({ "detail": detail }));
    if let Some(allow) = parts.headers.get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    answer
}

/// A path segment that is all digits is an id; anything else is a slug.
fn is_id(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit())
}

/// The parameter names something that cannot exist.
fn no_such<E>(_: E) -> Fault {
    Fault::not_found()
}
