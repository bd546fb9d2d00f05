//! SES on the wire: the one call that sends a mail, with its errors, and the mails that were sent.
//!
//! It exists so that the unmodified SDK client can send, and people and tests can read. It must not know who
//! sends, nor why. A mail is read by another library than the one that it was written with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use mail_parser::MessageParser;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::access::Access;

/// The identity of the template that mails are sent from, as its role names it.
const IDENTITY: &str = "mail-identity";

/// SES's own limit for a message, in bytes.
const MAX_BYTES: usize = 10 * 1024 * 1024;

/// How many mails are kept; the oldest are forgotten.
const KEPT: usize = 1000;

/// A mail as its recipient gets it.
#[derive(Clone, Debug, Serialize)]
pub struct Mail {
    /// SES's name of it.
    pub id: String,
    /// The address on the envelope.
    pub from: String,
    /// The addresses on the envelope.
    pub to: Vec<String>,
    /// The subject.
    pub subject: String,
    /// Every header as it was sent, but the Message-ID, which SES replaces: names and unfolded values.
    pub headers: BTreeMap<String, String>,
    /// The body as plain text.
    pub text: Option<String>,
    /// The body as HTML.
    pub html: Option<String>,
}

impl Mail {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// How SES behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Mode {
    /// As it should.
    #[default]
    Ok,
    /// More than its rate.
    Throttled,
    /// 500.
    Failing,
    /// An address is refused for good.
    Rejected {
        /// Which; every one if it is left out.
        address: Option<String>,
    },
    /// The mail is taken over, and the connection broken instead of an answer.
    LostAnswer,
}

/// A mode, and for how many calls, as it is ordered over HTTP.
#[derive(Debug, Deserialize)]
pub(crate) struct Order {
    #[serde(flatten)]
    pub(crate) mode: Mode,
    pub(crate) calls: Option<u32>,
}

/// The server, which ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Ses(Arc<Handle>);

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
    outgoing: Mutex<Outgoing>,
    access: Arc<Access>,
}

#[derive(Debug, Default)]
struct Outgoing {
    mails: Vec<Mail>,
    calls: u64,
    mode: Mode,
    /// For how many more calls; `None`: until it is changed.
    left: Option<u32>,
}

impl Ses {
    pub(crate) async fn start(access: Arc<Access>) -> anyhow::Result<Self> {
        let world = Arc::new(World {
            outgoing: Mutex::default(),
            access,
        });
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no port for SES")?;
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

    /// The mails that were taken over, the oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.0.world.outgoing().mails.clone()
    }

    /// Forgets them.
    pub fn forget(&self) {
        self.0.world.outgoing().mails.clear();
    }

    /// How many mails it was asked to send.
    pub fn calls(&self) -> u64 {
        self.0.world.outgoing().calls
    }

    /// How it behaves from now on, or for so many calls.
    pub fn set_mode(&self, mode: Mode, calls: Option<u32>) {
        let mut outgoing = self.0.world.outgoing();
        outgoing.mode = mode;
        outgoing.left = calls;
    }
}

impl World {
    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outgoing {
    fn next_mode(&mut self) -> Mode {
        match &mut self.left {
            Some(0) => return Mode::Ok,
            Some(left) => *left -= 1,
            None => {}
        }
        self.mode.clone()
    }
}

/// What is sent, from the form of a request.
struct Request {
    source: Option<String>,
    destinations: Vec<String>,
    data: Option<String>,
}

impl Request {
    fn parse(body: &str) -> (String, Self) {
        let mut action = String::new();
        let mut request = Self {
            source: None,
            destinations: Vec::new(),
            data: None,
        };
        for (key, value) in form_urlencoded::parse(body.as_bytes()) {
            match key.as_ref() {
                "Action" => action = value.into_owned(),
                "Source" => request.source = Some(value.into_owned()),
                "RawMessage.Data" => request.data = Some(value.into_owned()),
                key if key.starts_with("Destinations.member.") => {
                    request.destinations.push(value.into_owned());
                }
                _ => {}
            }
        }
        (action, request)
    }

    /// The mail under this id; the error is SES's code and text.
    fn mail(self, id: String) -> Result<Mail, (&'static str, String)> {
        let invalid = |text: &str| ("InvalidParameterValue", text.to_owned());
        let from = self
            .source
            .ok_or_else(|| invalid("the bundle names the source, and this request does not"))?;
        if self.destinations.is_empty() {
            return Err(invalid(
                "the bundle names the destinations, and this request does not",
            ));
        }
        let valid = |address: &String| is_address(address);
        if !self.destinations.iter().all(valid) || !is_address(&from) {
            return Err(invalid("Missing final '@domain'"));
        }
        let data = self.data.unwrap_or_default();
        let raw = BASE64_STANDARD.decode(&data);
        let raw = raw.map_err(|_| invalid("the message is not base64"))?;
        if raw.len() > MAX_BYTES {
            return Err(invalid("Message length is more than 10485760 bytes long"));
        }
        let parsed = MessageParser::default().parse(&raw);
        let parsed = parsed.ok_or_else(|| invalid("the message cannot be read"))?;
        if parsed.from().is_none() || parsed.to().is_none() {
            return Err(invalid("a header From or To is missing"));
        }
        let part = |from: u32, to: u32| {
            let bytes = raw.get(from as usize..to as usize).unwrap_or_default();
            String::from_utf8_lossy(bytes).replace("\r\n", "")
        };
        // As they are spelled: the parser has spellings of its own.
        let headers = parsed.headers().iter().map(|header| {
            let name = part(header.offset_field, header.offset_start);
            let value = part(header.offset_start, header.offset_end);
            (
                name.trim_end_matches(':').to_owned(),
                value.trim().to_owned(),
            )
        });
        let own = |name: &str| name.eq_ignore_ascii_case("message-id");
        let mut headers: BTreeMap<_, _> = headers.filter(|(name, _)| !own(name)).collect();
        let message_id = format!("<{id}@email.amazonses.com>");
        headers.insert("Message-ID".to_owned(), message_id);
        Ok(Mail {
            from,
            to: self.destinations,
            subject: parsed.subject().unwrap_or_default().to_owned(),
            headers,
            text: parsed.body_text(0).map(|text| text.into_owned()),
            html: parsed.body_html(0).map(|html| html.into_owned()),
            id,
        })
    }
}

fn is_address(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
}

async fn answer(State(world): State<Arc<World>>, headers: HeaderMap, body: String) -> Response {
    let (action, request) = Request::parse(&body);
    if action != "SendRawEmail" {
        let text = format!(
            "the bundle does not call {action:?} on SES, so cargo local does not emulate it"
        );
        return refusal(StatusCode::BAD_REQUEST, "InvalidAction", &text);
    }
    let action = format!("ses:{action}");
    if let Err(text) = world.access.check(&headers, &action, IDENTITY) {
        return refusal(StatusCode::FORBIDDEN, "AccessDenied", &text);
    }
    let (mode, number) = {
        let mut outgoing = world.outgoing();
        outgoing.calls += 1;
        (outgoing.next_mode(), outgoing.calls)
    };
    let id = format!(
        "0100019000000000-{:08x}-{number:012x}-000000",
        std::process::id()
    );
    let mail = match request.mail(id.clone()) {
        Ok(mail) => mail,
        Err((code, text)) => return refusal(StatusCode::BAD_REQUEST, code, &text),
    };
    let (rate, unverified) = (
        "Maximum sending rate exceeded.",
        "Email address is not verified. The following identities failed the check in region US-EAST-1",
    );
    match mode {
        Mode::Throttled => return refusal(StatusCode::BAD_REQUEST, "Throttling", rate),
        Mode::Failing => {
            return refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalFailure",
                "as ordered",
            );
        }
        Mode::Rejected { address } if address.as_ref().is_none_or(|it| mail.to.contains(it)) => {
            let text = format!("{unverified}: {}", mail.to.join(", "));
            return refusal(StatusCode::BAD_REQUEST, "MessageRejected", &text);
        }
        Mode::Rejected { .. } | Mode::LostAnswer | Mode::Ok => {}
    }
    {
        let mut outgoing = world.outgoing();
        if outgoing.mails.len() == KEPT {
            outgoing.mails.remove(0);
        }
        outgoing.mails.push(mail);
    }
    if mode == Mode::LostAnswer {
        // A body that ends in an error breaks the connection.
        let broken = futures_util::stream::once(async {
            Err::<String, _>(std::io::Error::other("as ordered"))
        });
        return axum::body::Body::from_stream(broken).into_response();
    }
    xml(
        StatusCode::OK,
        format!(
            "<SendRawEmailResponse xmlns=\"http://ses.amazonaws.com/doc/2010-12-01/\">\
             <SendRawEmailResult><MessageId>{id}</MessageId></SendRawEmailResult>\
             <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></SendRawEmailResponse>"
        ),
    )
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let kind = match status.is_server_error() {
        true => "Receiver",
        false => "Sender",
    };
    let message = escape(message);
    xml(
        status,
        format!(
            "<ErrorResponse xmlns=\"http://ses.amazonaws.com/doc/2010-12-01/\"><Error><Type>{kind}</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>0</RequestId></ErrorResponse>"
        ),
    )
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [("content-type", "text/xml")], body).into_response()
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('"', "&quot;")
}

/// The mails as a page for people, the newest first.
pub(crate) fn page(mails: &[Mail]) -> String {
    let mut rows = String::new();
    for mail in mails.iter().rev() {
        let headers = mail.headers.iter();
        let headers: String = headers
            .map(|(name, value)| format!("{name}: {value}\n"))
            .collect();
        let html = mail.html.as_deref().unwrap_or_default();
        let text = mail.text.as_deref().unwrap_or_default();
        rows.push_str(&format!(
            "<details><summary><b>{}</b> to {}</summary>\
             <iframe sandbox title=\"HTML\" srcdoc=\"{}\"></iframe>\
             <details><summary>text</summary><pre>{}</pre></details>\
             <details><summary>headers</summary><pre>{}</pre></details></details>\n",
            escape(&mail.subject),
            escape(&mail.to.join(", ")),
            escape(html),
            escape(text),
            escape(&headers),
        ));
    }
    if rows.is_empty() {
        rows = "<p>No mail was sent yet.</p>".to_owned();
    }
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Mails</title><style>\
         body{{font:16px/1.5 sans-serif;max-width:800px;margin:24px auto}}\
         details{{margin:8px 0;padding:8px;border:1px solid #ccc}}\
         iframe{{width:100%;height:480px;border:0}}pre{{white-space:pre-wrap}}</style></head>\
         <body><h1>Mails, the newest first</h1>\n{rows}</body></html>\n"
    )
}

#[cfg(test)]
mod tests;
