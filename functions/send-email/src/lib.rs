//! `send-email`: renders mails and hands them to SES, each to each of its recipients once.
//!
//! A claim in the table says who sends what to whom, so a message that comes twice sends nothing twice. What
//! SES cannot take for the time being is put off through the outbox; what it refuses is noted and not tried again.

mod letter;
mod mime;
mod send;

use std::sync::Arc;

use aws_sdk_ses::config::retry::RetryConfig;
use domain::{Email, Fault, Message, Queue};
use runtime::{Clock, Delivery, Env, Function, StartError};
use store::Store;
use tracing::Span;

/// What this function may touch.
#[derive(Debug)]
pub struct Context {
    store: Store,
    ses: aws_sdk_ses::Client,
    /// Whom mails are from; without one none is sent.
    sender: Option<Sender>,
    clock: Clock,
}

/// Whom mails are from.
#[derive(Debug)]
struct Sender {
    from: Email,
    /// The last part of the name of each mailing list.
    list_namespace: String,
    /// What subjects begin with that need to be told apart from other installations'.
    subject_prefix: String,
    /// Whether an answer goes to the others who got the mail.
    enable_replies: bool,
    /// What SES writes behind its ids of mails.
    ses_domain: String,
}

/// Builds the function from its environment.
pub async fn function(env: Env) -> Result<Function, StartError> {
    let mut reader = env.reader();
    let aws = reader.aws();
    let ses = aws_sdk_ses::config::Builder::from(&aws.service("SES"))
        // A mail whose answer was lost may have been taken over. It is tried again later, not at once.
        .retry_config(RetryConfig::disabled())
        .build();
    let from = env.optional("MAIL_FROM").map(str::parse::<Email>);
    let from = from.and_then(|from| reader.check("MAIL_FROM", from));
    let enable_replies = reader.parsed_or("MAIL_ENABLE_REPLIES", false);
    let subject_prefix = env.optional("MAIL_SUBJECT_PREFIX").unwrap_or_default();
    let region = reader.text("AWS_REGION");
    let sender = from.map(|from| Sender {
        list_namespace: env
            .optional("MAIL_LIST_NAMESPACE")
            .unwrap_or_else(|| mime::domain_of(&from))
            .to_owned(),
        // Where variables are listed, a space at the end gets lost.
        subject_prefix: match subject_prefix.trim() {
            "" => String::new(),
            prefix => format!("{prefix} "),
        },
        enable_replies,
        ses_domain: match region.as_str() {
            "us-east-1" => "email.amazonses.com".to_owned(),
            region => format!("{region}.amazonses.com"),
        },
        from,
    });
    let context = Arc::new(Context {
        store: Store::new(&aws.service("DYNAMODB"), reader.text("TABLE_NAME")),
        ses: aws_sdk_ses::Client::from_conf(ses),
        sender,
        clock: reader.clock(),
    });
    reader.finish()?;
    let connections = async { tokio::join!(aws.open("DYNAMODB"), aws.open("SES")) };
    env.connect(connections).await;
    Ok(Function::queue(Queue::SendEmail, move |delivery| {
        let context = context.clone();
        async move { handle(&context, delivery).await }
    }))
}

/// Handles one message.
pub async fn handle(context: &Context, delivery: Delivery) -> Result<(), Fault> {
    let envelope = delivery.envelope;
    let Message::SendEmail(message) = &envelope.message else {
        let name = envelope.message.name();
        return Err(Fault::Poison(format!("{name} is not for send-email")));
    };
    Span::current().record("org.id", message.organization.number());
    send::send(context, message, &envelope).await
}
