//! `api`: the Sentry-compatible HTTP API under `/api/0`.
//!
//! Every answer is JSON, errors included: sentry-cli takes anything else for the answer of a proxy.

mod auth;
mod cursor;
mod issue_update;
mod issues;
mod organizations;
mod sync_trail;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn},
    response::Response,
    routing::get,
};
use domain::Fault;
use runtime::{Answer, Clock, Env, Function, StartError, json};
use serde_json::json;
use store::Store;

/// What this function may touch.
#[derive(Debug)]
pub struct Context {
    store: Store,
    /// Where people and clients reach the bundle, without a trailing slash.
    public_url: String,
    clock: Clock,
}

/// Builds the function from its environment.
pub async fn function(env: Env) -> Result<Function, StartError> {
    let mut reader = env.reader();
    let aws = reader.aws();
    let context = Context {
        store: Store::new(&aws.service("DYNAMODB"), reader.text("TABLE_NAME")),
        public_url: reader.text("PUBLIC_URL").trim_end_matches('/').to_owned(),
        clock: reader.clock(),
    };
    reader.finish()?;
    env.connect(aws.open("DYNAMODB")).await;
    Ok(Function::http(router(Arc::new(context))))
}

fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/api/0/", get(index))
        .route("/api/0/organizations/", get(organizations::list))
        .route(
            "/api/0/organizations/{organization}/",
            get(organizations::show),
        )
        .route(
            "/api/0/organizations/{organization}/projects/",
            get(organizations::projects),
        )
        .route(
            "/api/0/organizations/{organization}/members/",
            get(organizations::members),
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

/// Gives the router's own refusals (no such route, wrong method, an undecodable path) the shape of ours.
async fn always_json(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let answer = next.run(request).await;
    let kind = answer.headers().get(header::CONTENT_TYPE);
    if kind == Some(&HeaderValue::from_static("application/json")) {
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
