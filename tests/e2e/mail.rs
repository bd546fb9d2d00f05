//! Mails: to whom they go, how they look, and that each comes once.

use std::collections::BTreeSet;

use domain::{Envelope, MessageId, TraceId};
use local::ses::{Mail, Mode};
use serde_json::{Value, json};
use tests::World;

use crate::failures;

/// Puts a message on its queue, as outbox-relay does.
pub(crate) async fn send_message(world: &World, message: Value) -> MessageId {
    let id = MessageId::new(world.stack.clock().now(), rand::random());
    let message = serde_json::from_value(message).expect("a message");
    let trace = TraceId::new("test");
    let envelope = Envelope { id, trace, message };
    let body = envelope.to_json().expect("a small message");
    let queue = envelope.message.queue().as_str();
    failures::send(world, queue, &body).await;
    id
}

pub(crate) async fn organization(world: &World) -> Value {
    world.get("/api/0/organizations/acme/").await.json()["id"].take()
}

/// Asks for a mail under a key.
async fn ask(world: &World, key: &str, to: Value, mail: Value) {
    let organization = organization(world).await;
    let message = json!({ "type": "SendEmail.v1", "organization": organization, "key": key,
        "to": to, "mail": mail });
    send_message(world, message).await;
}

/// A mail to the owners of the seeded organization.
pub(crate) async fn to_owners(world: &World, key: &str) {
    ask(world, key, json!("owners"), unable("Something.")).await;
}

fn unable(cause: &str) -> Value {
    json!({ "kind": "unable_to_fetch_commits", "version": "web@1.0 <b>", "repository": "7",
        "name": "acme/web", "cause": cause, "remedy": "Connect it again." })
}

fn healed() -> Value {
    json!({ "kind": "fetching_healed", "repository": "7", "name": "acme/web",
        "since": 1_795_247_323_000_i64, "failures": 20 })
}

fn identity(during: &str) -> Value {
    json!({ "kind": "identity_invalid", "provider": "GitHub", "url": "https://picket.example/link/",
        "during": during })
}

/// Ids of the seeded members.
fn ids(world: &World) -> Vec<String> {
    let members = world.ready.members.iter();
    members.map(|member| member.id.clone()).collect()
}

fn recipients(mails: &[Mail]) -> Vec<&str> {
    let all = mails.iter().flat_map(|mail| &mail.to);
    all.map(String::as_str).collect()
}

/// The mail to this address; people come in the order of ids, which are drawn.
fn mail_to<'a>(mails: &'a [Mail], address: &str) -> &'a Mail {
    let mut theirs = mails.iter().filter(|mail| mail.to == [address]);
    let mail = theirs.next().expect("a mail");
    assert!(theirs.next().is_none(), "one mail to {address}");
    mail
}

fn subjects(mails: &[Mail]) -> Vec<&str> {
    mails.iter().map(|mail| mail.subject.as_str()).collect()
}

/// How mails ended, by the metric: `(taken over, given up)`.
fn ended(world: &World) -> (usize, usize) {
    let logs = world.logs();
    let count = |success: &str| {
        let of = |line: &&Value| line["email.sent"] == 1 && line["success"] == success;
        logs.iter().filter(of).count()
    };
    (count("true"), count("false"))
}

fn queued(world: &World, kind: &str) -> usize {
    let of = |line: &&Value| line["email.queued"] == 1 && line["type"] == kind;
    world.logs().iter().filter(of).count()
}

#[tokio::test]
async fn each_recipient_gets_a_mail_of_their_own_once_that_says_first_what_happened() {
    let mut world = World::start().await;
    let to = json!({ "users": ids(&world) });
    let cause = "The token for <acme/web> is no longer valid.";
    ask(&world, "fetch/1", to.clone(), unable(cause)).await;
    world.settle().await;
    // Asked for again it is the same mail.
    ask(&world, "fetch/1", to, unable(cause)).await;
    world.settle().await;
    let mails = world.mails();
    assert_eq!(mails.len(), 2);
    mail_to(&mails, world.bo());
    let mail = mail_to(&mails, world.ana());
    assert_eq!(mail.from, "picket@acme.example");
    assert_eq!(mail.subject, "Unable to Fetch Commits");
    assert_eq!(mail.header("To"), Some("\"Ana Ruiz\" <ana@acme.example>"));
    let text = mail.text.as_deref().expect("a text");
    assert_eq!(text.lines().next(), Some(cause));
    for fact in [
        "Connect it again.",
        "Repository: acme/web",
        "Release: web@1.0 <b>",
        "Organization: Acme",
    ] {
        assert!(text.contains(fact), "{fact} in {text}");
    }
    let html = mail.html.as_deref().expect("HTML");
    assert!(html.starts_with("<!DOCTYPE html>"), "{html}");
    assert!(
        !html.contains("<style") && html.contains("style=\""),
        "{html}"
    );
    assert!(!html.contains("<b>") && html.contains("acme/web"), "{html}");
    let kind = mail.header("Content-Type").expect("a content type");
    assert!(kind.starts_with("multipart/alternative"), "{kind}");
    // It is of no project and of no kind, and answers go to whom it is from.
    for name in ["List-Id", "X-SMTPAPI", "Reply-To", "In-Reply-To"] {
        assert_eq!(mail.header(name), None, "{name}");
    }
    assert_eq!((queued(&world, "generic"), ended(&world)), (2, (2, 0)));
    let log = world.log_text();
    assert!(log.contains("mail.queued") && log.contains("mail.sent"));
    let addresses = [world.ana(), world.bo()];
    assert!(!addresses.iter().any(|address| log.contains(address)));
    world.finish().await;
}

#[tokio::test]
async fn an_answer_goes_to_the_others_where_the_installation_wants_that() {
    let mut world = World::deployed_with(&[
        ("MailEnableReplies", "true"),
        ("MailFrom", "Picket@Mail.Example"),
    ])
    .await;
    ask(&world, "a", json!({ "users": ids(&world) }), healed()).await;
    ask(&world, "b", json!({ "users": [ids(&world)[0]] }), healed()).await;
    world.settle().await;
    let mails = world.mails();
    let replies = |address: &str| mail_to(&mails[..2], address).header("Reply-To");
    assert_eq!(replies(world.ana()), Some("<bo@acme.example>"));
    assert_eq!(replies(world.bo()), Some("<ana@acme.example>"));
    assert_eq!(mails[2].header("Reply-To"), None);
    assert_eq!(mails[0].from, "picket@mail.example");
    world.finish().await;
}

#[tokio::test]
async fn mails_about_one_repository_are_one_thread_for_each_recipient() {
    let mut world = World::start().await;
    let to = json!({ "users": ids(&world) });
    for (key, mail) in [("1", unable("a")), ("2", healed()), ("3", unable("b"))] {
        ask(&world, key, to.clone(), mail).await;
        world.settle().await;
    }
    ask(&world, "4", to, identity("other")).await;
    world.settle().await;
    let mails = world.mails();
    assert_eq!(mails.len(), 8);
    let mut threads = BTreeSet::new();
    for person in [0, 1] {
        let own = [&mails[person], &mails[person + 2], &mails[person + 4]];
        let first = own[0].header("Message-ID").expect("a name by SES");
        let token = own[0].header("References").expect("a thread");
        assert_eq!(own[0].header("In-Reply-To"), None);
        for later in &own[1..] {
            assert_eq!(later.to, own[0].to);
            assert_eq!(later.header("In-Reply-To"), Some(first));
            let both = format!("{token} {first}");
            assert_eq!(later.header("References"), Some(both.as_str()));
        }
        threads.insert(token.to_owned());
        assert_eq!(mails[person + 6].header("References"), None);
    }
    assert_eq!(threads.len(), 2, "{threads:?}");
    world.finish().await;
}

#[tokio::test]
async fn who_is_gone_or_cannot_be_reached_gets_no_mail_and_owners_get_what_nobody_did_in_person() {
    let mut world = World::start().await;
    for (email, active) in [
        ("dee@acme.example", false),
        ("bot@localhost", true),
        ("eve@x.invalid", true),
    ] {
        let user =
            json!({ "command": "create-user", "email": email, "name": "D", "active": active });
        world.operator(user).await;
        world
            .operator(json!({ "command": "add-member", "organization": "acme", "email": email, "role": "owner" }))
            .await;
    }
    let stranger =
        json!({ "command": "create-user", "email": "stranger@acme.example", "name": "S" });
    let stranger = world.operator(stranger).await["user"]["id"].take();
    ask(&world, "owners", json!("owners"), unable("a")).await;
    ask(
        &world,
        "stranger",
        json!({ "users": [stranger, "1"] }),
        unable("a"),
    )
    .await;
    ask(&world, "nobody", json!({ "users": [] }), unable("a")).await;
    world.settle().await;
    assert_eq!(recipients(&world.mails()), [world.ana()]);
    world.finish().await;
}

#[tokio::test]
async fn an_invalid_identity_is_told_by_what_it_was_used_for() {
    let mut world = World::quiet().await;
    let to = json!({ "users": [ids(&world)[1]] });
    ask(&world, "1", to.clone(), identity("fetching_commits")).await;
    ask(&world, "2", to, identity("other")).await;
    world.settle().await;
    let mails = world.mails();
    assert_eq!(
        subjects(&mails),
        ["Unable to Fetch Commits", "Action Required"]
    );
    for mail in &mails {
        assert_eq!(recipients(std::slice::from_ref(mail)), [world.bo()]);
        for body in [&mail.text, &mail.html] {
            let body = body.as_deref().expect("a body");
            assert!(
                body.contains("GitHub") && body.contains("https://picket.example/link/"),
                "{body}"
            );
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn what_ses_cannot_take_now_is_sent_once_it_can_and_to_nobody_twice() {
    let mut world = World::start().await;
    let to = json!({ "users": ids(&world) });
    for (key, mode) in [("1", Mode::Throttled), ("2", Mode::Failing)] {
        let before = world.mails().len();
        world.stack.ses().set_mode(mode, Some(3));
        ask(&world, key, to.clone(), unable("a")).await;
        world.settle().await;
        let mails = world.mails();
        let mut got = recipients(&mails[before..]);
        got.sort_unstable();
        assert_eq!(got, [world.ana(), world.bo()]);
    }
    assert_eq!((queued(&world, "generic"), ended(&world)), (4, (4, 0)));
    world.finish().await;
}

#[tokio::test]
async fn what_ses_refuses_is_noted_and_not_tried_again_and_the_others_get_theirs() {
    let mut world = World::start().await;
    let address = Some(world.ana().to_owned());
    world.stack.ses().set_mode(Mode::Rejected { address }, None);
    ask(&world, "1", json!({ "users": ids(&world) }), unable("a")).await;
    world.settle().await;
    assert_eq!(recipients(&world.mails()), [world.bo()]);
    assert_eq!((world.stack.ses().calls(), ended(&world)), (2, (1, 1)));
    let logs = world.logs();
    let failure = logs
        .iter()
        .find(|line| line["message"] == "mail.sent.failure");
    let failure = failure.expect("a line about the failure");
    assert_eq!(
        (&failure["reason"], &failure["code"]),
        (&json!("rejected"), &json!("MessageRejected"))
    );
    assert!(
        !world.log_text().contains(world.ana()),
        "an address in the log"
    );
    world.finish().await;
}

#[tokio::test]
async fn what_ses_does_not_take_for_a_day_is_given_up() {
    let mut world = World::quiet().await;
    world.stack.ses().set_mode(Mode::Throttled, None);
    let began = world.stack.clock().now().seconds();
    // The last but one of its attempts.
    let message = json!({ "type": "SendEmail.v1", "organization": organization(&world).await, "key": "1",
        "to": { "users": ids(&world) }, "mail": unable("a"), "attempts": 29 });
    send_message(&world, message.clone()).await;
    world.settle().await;
    let hours = (world.stack.clock().now().seconds() - began) / 3600;
    assert_eq!((world.stack.ses().calls(), hours), (4, 23));
    assert_eq!((world.mails().len(), ended(&world)), (0, (0, 2)));
    // It stays given up.
    world.stack.ses().set_mode(Mode::Ok, None);
    send_message(&world, message).await;
    world.settle().await;
    assert_eq!(world.mails().len(), 0);
    world.finish().await;
}

/// The one window in which a mail doubles: SES took it over, and nobody here heard of that.
#[tokio::test]
async fn a_mail_whose_answer_was_lost_comes_once_more_and_no_oftener() {
    let mut world = World::start().await;
    world.stack.ses().set_mode(Mode::LostAnswer, Some(1));
    ask(
        &world,
        "1",
        json!({ "users": [ids(&world)[0]] }),
        unable("a"),
    )
    .await;
    world.settle().await;
    assert_eq!(recipients(&world.mails()), [world.ana(), world.ana()]);
    world.finish().await;
}

#[tokio::test]
async fn without_an_address_to_send_from_no_mail_is_sent() {
    let mut world = World::deployed_with(&[("MailFrom", "")]).await;
    ask(&world, "1", json!("owners"), unable("a")).await;
    world.settle().await;
    assert_eq!((world.stack.ses().calls(), ended(&world)), (0, (0, 0)));
    assert!(world.log_text().contains("MailFrom is not set"));
    world.finish().await;
}

#[tokio::test]
async fn the_page_of_mails_is_json_for_programs_and_html_for_people() {
    let mut world = World::quiet().await;
    let url = world.ready.mail_url.clone().expect("a URL of mails");
    ask(
        &world,
        "1",
        json!("owners"),
        unable("<script>alert(1)</script>"),
    )
    .await;
    world.settle().await;
    let get = async |accept: &str| {
        let headers = [("accept", accept)];
        let answer = local::client::request(hyper::Method::GET, &url, &headers, "").await;
        answer.expect("the front answers")
    };
    let list = get("*/*").await.json();
    assert_eq!(list[0]["to"], json!([world.ana()]));
    assert_eq!(list[0]["headers"]["Subject"], list[0]["subject"]);
    let page = get("text/html,*/*").await.text();
    assert!(
        page.starts_with("<!DOCTYPE html>") && !page.contains("<script"),
        "{page}"
    );
    let mode = json!({ "mode": "rejected", "calls": 1 }).to_string();
    let answer =
        local::client::request(hyper::Method::PUT, &format!("{url}/mode"), &[], mode).await;
    assert_eq!(answer.expect("an answer").status.as_u16(), 204);
    ask(&world, "2", json!("owners"), unable("a")).await;
    world.settle().await;
    let answer = local::client::request(hyper::Method::DELETE, &url, &[], "").await;
    assert_eq!(answer.expect("an answer").status.as_u16(), 204);
    assert_eq!(get("*/*").await.json(), json!([]));
    assert_eq!(ended(&world), (1, 1));
    world.finish().await;
}
