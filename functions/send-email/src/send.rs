//! One message: whom it still has to reach, and what became of it at each of them.

use std::time::Duration;

use aws_sdk_ses::{error::ProvideErrorMetadata, primitives::Blob, types::RawMessage};
use domain::{
    Email, Envelope, Fault, MailFailure, Message, MessageId, SendEmail, Sending, Timestamp, User,
};
use runtime::Metric;
use store::{MailProgress, MailTo};
use tokio::time::Instant;

use crate::{
    Context, Sender,
    letter::{self, Letter},
    mime::{self, Addressed},
};

/// How long a claim holds, in milliseconds: longer than the function runs.
const LEASE: i64 = 120_000;
/// How long a message sends before it lets others have their turn.
const WORK: Duration = Duration::from_secs(40);
/// After how many failures in one go SES is left alone for a while.
const MOST_FAILURES: usize = 3;

/// A message under work.
struct Job<'a> {
    context: &'a Context,
    sender: &'a Sender,
    message: &'a SendEmail,
    letter: &'a Letter,
    /// Everybody who gets it.
    people: &'a [User],
}

/// What became of one mail.
enum Taken {
    Over,
    /// It never will be.
    Refused,
    /// It may be later.
    NotNow,
    /// Somebody else is at it.
    Held,
}

pub(crate) async fn send(
    context: &Context,
    message: &SendEmail,
    envelope: &Envelope,
) -> Result<(), Fault> {
    let (store, kind) = (&context.store, message.mail.kind());
    let Some(sender) = &context.sender else {
        tracing::info!(message_type = kind, "no mail is sent, MailFrom is not set");
        return Ok(());
    };
    let Some(letter) = letter::write(store, sender, message).await? else {
        tracing::info!(message_type = kind, "what the mail is about is gone");
        return Ok(());
    };
    let people = store
        .mail_recipients(message.organization, &message.to)
        .await?;
    if people.is_empty() {
        tracing::debug!(message_type = kind, "nobody gets the mail");
        return Ok(());
    }
    let job = Job {
        context,
        sender,
        message,
        letter: &letter,
        people: &people,
    };
    job.run(envelope).await
}

impl Job<'_> {
    async fn run(&self, envelope: &Envelope) -> Result<(), Fault> {
        let (store, message) = (&self.context.store, self.message);
        let ids: Vec<_> = self.people.iter().map(|user| user.id).collect();
        let (organization, thread) = (message.organization, message.mail.thread());
        let progress = store
            .mail_progress(organization, &message.key, thread, &ids)
            .await?;
        let (started, again) = (Instant::now(), message.again(envelope.id.minted()));
        let (mut failed, mut held, mut left) = (0, None, false);
        for user in self.people {
            let known = &progress[&user.id];
            let now = self.context.clock.now();
            match domain::sending(known.state.as_ref(), now) {
                Sending::Done => continue,
                Sending::Held(until) => {
                    held = held.max(Some(until));
                    continue;
                }
                Sending::Claim => {}
            }
            if failed == MOST_FAILURES || started.elapsed() > WORK {
                left = true;
                break;
            }
            match self.mail(user, known, again.is_none(), now).await? {
                Taken::Over | Taken::Refused => {}
                Taken::NotNow => failed += 1,
                Taken::Held => held = held.max(Some(now.plus(LEASE))),
            }
        }
        let put_off = |message: SendEmail| Envelope {
            message: Message::SendEmail(message),
            ..envelope.clone()
        };
        match again {
            Some((again, due)) if failed > 0 => {
                Ok(store.outbox_put_off(&put_off(again), due).await?)
            }
            // Without another try every failure is final; the next go gives up those behind.
            Some(_) | None if left => {
                let now = self.context.clock.now();
                Ok(store.outbox_put_off(envelope, now).await?)
            }
            Some(_) | None => match held {
                Some(until) => Ok(store.outbox_put_off(envelope, until).await?),
                None => Ok(()),
            },
        }
    }

    /// Sends the mail to one of the people. `last`: it is not tried again.
    async fn mail(
        &self,
        user: &User,
        known: &MailProgress,
        last: bool,
        now: Timestamp,
    ) -> Result<Taken, Fault> {
        let (store, message) = (&self.context.store, self.message);
        let (kind, to) = (message.mail.kind(), user.id.number());
        let mail = MailTo {
            organization: message.organization,
            key: &message.key,
            user: user.id,
        };
        let owner = MessageId::new(now, rand::random());
        if !store.claim_mail(mail, owner, now.plus(LEASE), now).await? {
            return Ok(Taken::Held);
        }
        let message_id = mime::message_id(self.sender, now, rand::random());
        if known.state.is_none() {
            Metric::EmailQueued { kind }.emit();
            tracing::info!(
                message_type = kind,
                message_id,
                message_to = to,
                key = message.key.to_string(),
                "mail.queued"
            );
        }
        let bytes = self.write(user, known, &message_id, now);
        let size = bytes.len();
        let failure = match self.hand_over(user, bytes).await {
            Ok(id) => {
                let now = self.context.clock.now();
                let thread = message.mail.thread().filter(|_| known.thread.is_none());
                store.mail_sent(mail, owner, thread, &id, now).await?;
                Metric::EmailSent { success: true }.emit();
                tracing::info!(
                    message_type = kind,
                    message_id,
                    message_to = to,
                    key = message.key.to_string(),
                    size,
                    ses.id = id,
                    "mail.sent"
                );
                return Ok(Taken::Over);
            }
            Err(failure) => failure,
        };
        let given_up = match failure.lasting {
            true => Some(MailFailure::Rejected),
            false if last => Some(MailFailure::TooLate),
            false => None,
        };
        let Some(reason) = given_up else {
            store.release_mail(mail, owner, now).await?;
            tracing::warn!(
                message_type = kind,
                message_id,
                message_to = to,
                code = failure.code,
                "the mail could not be sent, it is tried again later"
            );
            return Ok(Taken::NotNow);
        };
        store.give_up_mail(mail, owner, reason, now).await?;
        Metric::EmailSent { success: false }.emit();
        tracing::error!(
            message_type = kind,
            message_id,
            message_to = to,
            key = message.key.to_string(),
            reason = reason.as_str(),
            code = failure.code,
            "mail.sent.failure"
        );
        Ok(match reason {
            MailFailure::Rejected => Taken::Refused,
            MailFailure::TooLate => Taken::NotNow,
        })
    }

    fn write(
        &self,
        user: &User,
        known: &MailProgress,
        message_id: &str,
        now: Timestamp,
    ) -> Vec<u8> {
        let mail = &self.message.mail;
        let others = self.people.iter().filter(|other| other.id != user.id);
        let addressed = Addressed {
            to: user,
            others: others.map(|other| &other.email).collect::<Vec<&Email>>(),
            category: mail.category(),
            thread: mail
                .thread()
                .map(|thread| (thread, known.thread.as_deref())),
            message_id,
            now,
        };
        mime::write(self.letter, self.sender, &addressed)
    }

    /// Gives SES's id of the mail.
    async fn hand_over(&self, user: &User, bytes: Vec<u8>) -> Result<String, Failure> {
        let raw = RawMessage::builder().data(Blob::new(bytes)).build();
        let request = self.context.ses.send_raw_email();
        let request = request
            .source(self.sender.from.as_str())
            .destinations(user.email.as_str())
            .raw_message(raw.expect("its data is set"));
        match request.send().await {
            Ok(answer) => Ok(answer.message_id),
            // What SES says of it names addresses, so only the code goes into the log.
            Err(error) => Err(Failure::of(
                error.as_service_error().and_then(|error| error.code()),
            )),
        }
    }
}

/// Why SES did not take a mail.
struct Failure {
    code: String,
    /// Whether it would not take it later either.
    lasting: bool,
}

impl Failure {
    /// Of SES's code; `None`: it did not answer.
    fn of(code: Option<&str>) -> Self {
        let code = code.unwrap_or("no answer");
        Self {
            code: code.to_owned(),
            lasting: matches!(
                code,
                "MessageRejected"
                    | "MailFromDomainNotVerified"
                    | "MailFromDomainNotVerifiedException"
                    | "InvalidParameterValue"
                    | "ValidationError"
            ),
        }
    }
}
