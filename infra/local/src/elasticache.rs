//! ElastiCache on the wire: the one call that finds the cache's endpoint, with its errors.
//!
//! It exists so that the unmodified SDK client can ask. It must not know who asks, nor what is at the
//! endpoint.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::access::Access;

/// The id of the one replication group, as a function's environment has it.
pub(crate) const REPLICATION_GROUP: &str = "cache";

/// What ElastiCache says of the replication group.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name in DNS.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `available` and the like.
    pub status: String,
}

/// The server, which ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct ElastiCache(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    url: String,
    world: Arc<World>,
    /// Dropped with the handle, which ends the server.
    _stop: oneshot::Sender<()>,
}

/// Kept apart from the handle so that an open connection does not keep the server alive.
#[derive(Debug)]
struct World {
    endpoint: Mutex<Endpoint>,
    access: Arc<Access>,
}

impl ElastiCache {
    pub(crate) async fn start(endpoint: Endpoint, access: Arc<Access>) -> anyhow::Result<Self> {
        let world = Arc::new(World {
            endpoint: Mutex::new(endpoint),
            access,
        });
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port for ElastiCache")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().fallback(answer).with_state(world.clone());
        let serving = axum::serve(listener, router).with_graceful_shutdown(async {
            // An error is the drop of the sender, which is the signal.
            let _ = stopped.await;
        });
        tokio::spawn(serving.into_future());
        Ok(Self(Arc::new(Handle {
            url,
            world,
            _stop: stop,
        })))
    }

    /// What a client takes as `endpoint_url`.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// What it says from now on.
    pub fn set(&self, endpoint: Endpoint) {
        *self.0.world.endpoint() = endpoint;
    }
}

impl World {
    fn endpoint(&self) -> MutexGuard<'_, Endpoint> {
        self.endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(world): State<Arc<World>>, headers: HeaderMap, body: String) -> Response {
    let parameter = |name: &str| {
        let mut all = form_urlencoded::parse(body.as_bytes());
        all.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    };
    let action = parameter("Action").unwrap_or_default();
    if action != "DescribeReplicationGroups" {
        let text = format!(
            "the bundle does not call {action:?} on ElastiCache, so cargo local does not emulate it"
        );
        return refusal(StatusCode::BAD_REQUEST, "InvalidAction", &text);
    }
    let action = format!("elasticache:{action}");
    if let Err(text) = world.access.check(&headers, &action, REPLICATION_GROUP) {
        return refusal(StatusCode::FORBIDDEN, "AccessDenied", &text);
    }
    if parameter("ReplicationGroupId").as_deref() != Some(REPLICATION_GROUP) {
        let code = "ReplicationGroupNotFoundFault";
        return refusal(StatusCode::NOT_FOUND, code, "no such replication group");
    }
    let Endpoint { host, port, status } = world.endpoint().clone();
    xml(
        StatusCode::OK,
        format!(
            "<DescribeReplicationGroupsResponse xmlns=\"http://elasticache.amazonaws.com/doc/2015-02-02/\">\
             <DescribeReplicationGroupsResult><ReplicationGroups><ReplicationGroup>\
             <ReplicationGroupId>{REPLICATION_GROUP}</ReplicationGroupId><Status>{status}</Status>\
             <NodeGroups><NodeGroup><NodeGroupId>0001</NodeGroupId><Status>{status}</Status>\
             <PrimaryEndpoint><Address>{host}</Address><Port>{port}</Port></PrimaryEndpoint>\
             </NodeGroup></NodeGroups></ReplicationGroup></ReplicationGroups>\
             </DescribeReplicationGroupsResult></DescribeReplicationGroupsResponse>"
        ),
    )
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let kind = match status.is_server_error() {
        true => "Receiver",
        false => "Sender",
    };
    let message = message.replace('&', "&amp;").replace('<', "&lt;");
    xml(
        status,
        format!(
            "<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        ),
    )
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [("content-type", "text/xml")], body).into_response()
}
