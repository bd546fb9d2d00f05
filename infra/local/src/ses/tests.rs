use super::*;
use aws_sdk_ses::Client;
use aws_sdk_ses::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_ses::error::ProvideErrorMetadata;
use aws_sdk_ses::primitives::Blob;
use aws_sdk_ses::types::RawMessage;

const RAW: &str = "From: a@acme.example\r\nTo: \"B\" <b@acme.example>\r\n\
    Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <ours@acme.example>\r\n\
    X-Long: one\r\n two\r\nContent-Type: multipart/alternative; boundary=x\r\n\r\n\
    --x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ntext\r\n\
    --x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>HTML</p>\r\n--x--\r\n";

async fn start() -> (Ses, Client) {
    let ses = Ses::start(Arc::default()).await.unwrap();
    let config = aws_sdk_ses::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::from_keys("key", "secret", None))
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(ses.url())
        .build();
    (ses, Client::from_conf(config))
}

/// SES's id of the mail, or the code of its refusal.
async fn send(client: &Client, to: &str, raw: &str) -> Result<String, String> {
    let message = RawMessage::builder().data(Blob::new(raw)).build().unwrap();
    let call = client.send_raw_email().source("a@acme.example");
    let answer = call.destinations(to).raw_message(message).send().await;
    answer
        .map(|answer| answer.message_id)
        .map_err(|error| error.code().unwrap_or("no answer").to_owned())
}

#[tokio::test]
async fn a_mail_is_shown_as_it_is_delivered() {
    let (ses, client) = start().await;
    let id = send(&client, "b@acme.example", RAW).await.unwrap();
    let mails = ses.mails();
    let [mail] = &mails[..] else {
        panic!("{mails:?}");
    };
    assert_eq!(
        (mail.id.as_str(), mail.from.as_str()),
        (id.as_str(), "a@acme.example")
    );
    assert_eq!(mail.to, ["b@acme.example"]);
    assert_eq!(mail.subject, "Grüße");
    assert_eq!(mail.header("X-Long"), Some("one two"));
    let replaced = format!("<{id}@email.amazonses.com>");
    assert_eq!(mail.header("Message-ID"), Some(replaced.as_str()));
    assert_eq!(mail.text.as_deref().map(str::trim), Some("text"));
    assert_eq!(mail.html.as_deref().map(str::trim), Some("<p>HTML</p>"));
    ses.forget();
    assert!(ses.mails().is_empty());
}

#[tokio::test]
async fn the_sdk_reads_each_refusal() {
    let (ses, client) = start().await;
    let refused = async |to: &str, raw: &str| send(&client, to, raw).await.unwrap_err();
    assert_eq!(refused("b", RAW).await, "InvalidParameterValue");
    assert_eq!(
        refused("b@acme.example", "Subject: x\r\n\r\n").await,
        "InvalidParameterValue"
    );
    let address = Some("b@acme.example".to_owned());
    for (mode, code) in [
        (Mode::Throttled, "Throttling"),
        (Mode::Failing, "InternalFailure"),
        (Mode::Rejected { address }, "MessageRejected"),
    ] {
        ses.set_mode(mode, Some(1));
        assert_eq!(refused("b@acme.example", RAW).await, code);
    }
    assert!(ses.mails().is_empty());
    let address = Some("c@acme.example".to_owned());
    ses.set_mode(Mode::Rejected { address }, None);
    send(&client, "b@acme.example", RAW).await.unwrap();
    ses.set_mode(Mode::LostAnswer, Some(1));
    assert_eq!(refused("b@acme.example", RAW).await, "no answer");
    assert_eq!(ses.mails().len(), 2);
}

#[tokio::test]
async fn what_the_bundle_does_not_call_is_refused_loudly() {
    let (_ses, client) = start().await;
    let error = client.get_send_quota().send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidAction"));
    assert!(
        error.message().unwrap().contains("GetSendQuota"),
        "{error:?}"
    );
}
