//! `webhook-ingest`: the front door of the trackers. Verifies a delivery, reads what it says, puts it on
//! a queue and answers once the queue has it. It changes no state.

mod known;
mod vsts;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    routing::post,
};
use domain::{Envelope, Fault, Message, MessageId, MessageTooLarge, Queue, TraceId};
use runtime::{Clock, Env, Function, QueueUrls, StartError};
use store::{KeyRing, Store};

use crate::known::KnownIntegrations;

/// The largest delivery, in bytes.
const MAX_DELIVERY: usize = 1024 * 1024;

/// What this function may touch.
#[derive(Debug)]
pub struct Context {
    store: Store,
    ring: KeyRing,
    known: KnownIntegrations,
    sqs: aws_sdk_sqs::Client,
    queues: QueueUrls,
    clock: Clock,
}

/// Builds the function from its environment.
pub async fn function(env: Env) -> Result<Function, StartError> {
    let mut reader = env.reader();
    let aws = reader.aws();
    let table = reader.text("TABLE_NAME");
    let ring = KeyRing::parse(&reader.secret("KEY_RING"));
    let ring = reader.check("KEY_RING", ring);
    let queues = reader.queue_urls(&[Queue::IssueSync]);
    let clock = reader.clock();
    reader.finish()?;
    let context = Context {
        store: Store::new(&aws.service("DYNAMODB"), table),
        ring: ring.expect("the reader would have said that the ring is not valid"),
        known: KnownIntegrations::default(),
        sqs: aws_sdk_sqs::Client::new(&aws.service("SQS")),
        queues,
        clock,
    };
    let connections = async { tokio::join!(aws.open("DYNAMODB"), aws.open("SQS")) };
    env.connect(connections).await;
    Ok(Function::http(router(Arc::new(context))))
}

fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/extensions/vsts/issue-updated/", post(vsts::issue_updated))
        .with_state(context)
}

/// The raw body: what is compared or signed is what was sent. `None`: it is too large.
async fn raw_body(body: Body) -> Option<Bytes> {
    axum::body::to_bytes(body, MAX_DELIVERY).await.ok()
}

/// Puts a message on its queue. Only after that may the sender hear a 2xx.
async fn enqueue(
    context: &Context,
    id: MessageId,
    trace: TraceId,
    message: Message,
) -> Result<(), Fault> {
    let url = context
        .queues
        .get(&message.queue())
        .cloned()
        .unwrap_or_default();
    let body = Envelope { id, trace, message }.to_json();
    let body = body
        .map_err(|MessageTooLarge(bytes)| Fault::Poison(format!("a message of {bytes} bytes")))?;
    let request = context.sqs.send_message().queue_url(url).message_body(body);
    let sent = request.send().await;
    sent.map_err(|e| Fault::Retry(aws_sdk_sqs::error::DisplayErrorContext(e).to_string()))?;
    Ok(())
}
