//! Jira Server, seen from its side. That the signatures are right is a test of `oauth` itself.

use std::collections::BTreeSet;

use domain::{Email, ExternalKey, Secret, Timestamp};
use providers::{
    CallError, Limits, Remedy,
    jira_server::{
        client::{AssigneeRef, Client, StatusRef},
        oauth::{Credentials, SigningKey},
    },
};
use serde_json::{Value, json};

use crate::server::{Asked, Reply, Server, reply, reply_with};

const KEY: &str = include_str!("../keys/rsa-pkcs8.pem");

fn client(server: &Server) -> Client {
    let credentials = Credentials {
        consumer_key: "picket".into(),
        private_key: SigningKey::parse(&Secret::new(KEY)).unwrap(),
        access_token: Secret::new("tok-1"),
    };
    let now = Timestamp::from_millis(1_795_247_323_000);
    let outside = server.outside(Limits::default());
    Client::new(
        outside,
        "https://jira.acme.test:8443/ctx/",
        credentials,
        now,
    )
}

fn issue() -> ExternalKey {
    "OPS-12".parse().unwrap()
}

fn addresses(texts: &[&str]) -> Vec<Email> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn users(users: &[(&str, Value)]) -> Reply {
    let users = users
        .iter()
        .map(|(name, address)| json!({ "name": name, "emailAddress": address }));
    reply(200, &Value::from_iter(users).to_string())
}

/// The nonce of a call that is signed.
fn nonce(asked: &Asked) -> String {
    let signed = asked.header("authorization").expect("a signature");
    let pairs = signed
        .strip_prefix("OAuth ")
        .expect("the method")
        .split(", ");
    let pairs: Vec<_> = pairs
        .map(|pair| pair.split_once('=').expect("a value"))
        .collect();
    let value = |name: &str| {
        let found = pairs.iter().find(|(found, _)| *found == name);
        found.expect(name).1.trim_matches('"')
    };
    assert_eq!(value("oauth_consumer_key"), "picket");
    assert_eq!(value("oauth_signature_method"), "RSA-SHA1");
    assert_eq!(value("oauth_timestamp"), "1795247323");
    assert_eq!(value("oauth_token"), "tok-1");
    assert_eq!(value("oauth_version"), "1.0");
    assert_eq!(value("oauth_nonce").len(), 32);
    assert!(value("oauth_signature").len() > 300);
    value("oauth_nonce").to_owned()
}

#[tokio::test]
async fn each_address_is_searched_for_and_the_last_match_decides() {
    let server = Server::start([
        users(&[
            ("bo-long", json!("bo@acme.test.example")),
            ("bo", json!("BO@Acme.test")),
            ("bo2", json!("bo@acme.test")),
        ]),
        users(&[("bli", json!("bo.li+x@acme.test"))]),
        users(&[
            ("other", json!(null)),
            ("third", json!("")),
            ("fourth", json!("other@acme.test")),
        ]),
    ])
    .await;
    let wanted = addresses(&["bo@acme.test", "bo.li+x@acme.test", "b@acme.test"]);
    let found = client(&server).find_assignee(&issue(), &wanted).await;
    assert_eq!(found, Ok(Some("bli".into())));
    let asked = server.finish();
    let search = "/jira.acme.test:8443/ctx/rest/api/2/user/assignable/search?issueKey=OPS-12";
    let targets: Vec<_> = asked.iter().map(|asked| asked.target.as_str()).collect();
    let expected = ["bo%40acme.test", "bo.li%2Bx%40acme.test", "b%40acme.test"];
    let expected = expected.map(|address| format!("{search}&username={address}"));
    assert_eq!(targets, expected);
    for asked in &asked {
        assert_eq!(asked.method, "GET");
        assert_eq!(asked.header("accept"), Some("application/json"));
        assert_eq!(asked.header("host"), Some("jira.acme.test:8443"));
        let names = ["accept", "authorization", "host", "user-agent"];
        assert_eq!(asked.header_names(), names);
    }
    let nonces: BTreeSet<_> = asked.iter().map(nonce).collect();
    assert_eq!(nonces.len(), 3);
}

#[tokio::test]
async fn an_address_that_cannot_be_searched_for_is_passed_over() {
    let server = Server::start([
        reply(500, ""),
        users(&[("bo", json!("bo@acme.test"))]),
        reply(400, r#"{"errorMessages":["no"]}"#),
    ])
    .await;
    let wanted = addresses(&["a@acme.test", "bo@acme.test", "c@acme.test"]);
    let found = client(&server).find_assignee(&issue(), &wanted).await;
    assert_eq!(found, Ok(Some("bo".into())));

    let server = Server::start([reply(500, ""), users(&[])]).await;
    let wanted = addresses(&["a@acme.test", "b@acme.test"]);
    let found = client(&server).find_assignee(&issue(), &wanted).await;
    assert_eq!(found, Ok(None));
    assert_eq!(client(&server).find_assignee(&issue(), &[]).await, Ok(None));
}

#[tokio::test]
async fn when_no_address_can_be_searched_for_the_error_is_the_one_that_may_pass() {
    let busy = || reply_with(429, "Retry-After: 9\r\n", "");
    let missing = || reply(404, r#"{"errorMessages":["Issue Does Not Exist"]}"#);
    let wait = Some(std::time::Duration::from_secs(9));
    for replies in [[busy(), missing()], [missing(), busy()]] {
        let server = Server::start(replies).await;
        let wanted = addresses(&["a@acme.test", "b@acme.test"]);
        let found = client(&server).find_assignee(&issue(), &wanted).await;
        let error = found.unwrap_err();
        assert_eq!(error, CallError::RateLimited { retry_after: wait });
        server.finish();
    }
    let server = Server::start([missing(), missing()]).await;
    let wanted = addresses(&["a@acme.test", "b@acme.test"]);
    let error = client(&server)
        .find_assignee(&issue(), &wanted)
        .await
        .unwrap_err();
    assert_eq!(error.remedy(), Remedy::Never);
    assert_eq!(
        error.to_string(),
        "the tracker answered 404: Issue Does Not Exist"
    );
}

#[tokio::test]
async fn refused_credentials_end_the_search() {
    let server = Server::start([reply(401, "")]).await;
    let wanted = addresses(&["a@acme.test", "b@acme.test"]);
    let found = client(&server).find_assignee(&issue(), &wanted).await;
    assert_eq!(found, Err(CallError::Unauthorized));
    assert_eq!(server.finish().len(), 1);
}

#[tokio::test]
async fn the_assignee_of_an_issue_is_read_by_name_and_address() {
    let fields = |assignee: Value| {
        reply(
            200,
            &json!({ "fields": { "assignee": assignee } }).to_string(),
        )
    };
    let server = Server::start([
        fields(json!({ "name": "bo", "emailAddress": "Bo@acme.test", "active": true })),
        fields(json!({ "name": "bo" })),
        fields(json!(null)),
        reply(200, r#"{"key":"OPS-12"}"#),
        reply(200, "<html>"),
    ])
    .await;
    let client = client(&server);
    let bo = |email: Option<&str>| {
        let (name, email) = (String::from("bo"), email.map(str::to_owned));
        Ok(Some(AssigneeRef { name, email }))
    };
    let first = client.assignee(&issue()).await;
    assert_eq!(first, bo(Some("Bo@acme.test")));
    assert!(!format!("{first:?}").contains("acme"), "{first:?}");
    assert_eq!(client.assignee(&issue()).await, bo(None));
    assert_eq!(client.assignee(&issue()).await, Ok(None));
    assert_eq!(client.assignee(&issue()).await, Ok(None));
    assert_eq!(client.assignee(&issue()).await, Err(CallError::Unsupported));
    let target = "/jira.acme.test:8443/ctx/rest/api/2/issue/OPS-12?fields=assignee";
    for asked in server.finish() {
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            ("GET", target)
        );
    }
}

#[tokio::test]
async fn an_assignee_is_set_by_name_and_cleared_with_null() {
    let server = Server::start([reply(204, ""), reply(204, "")]).await;
    let client = client(&server);
    assert_eq!(
        client.set_assignee(&issue(), Some("bo \"x\"")).await,
        Ok(())
    );
    assert_eq!(client.set_assignee(&issue(), None).await, Ok(()));
    let asked = server.finish();
    assert_eq!(asked[0].body, r#"{"name":"bo \"x\""}"#);
    assert_eq!(asked[1].body, r#"{"name":null}"#);
    for asked in &asked {
        assert_eq!(asked.method, "PUT");
        let target = "/jira.acme.test:8443/ctx/rest/api/2/issue/OPS-12/assignee";
        assert_eq!(asked.target, target);
        assert_eq!(asked.header("content-type"), Some("application/json"));
    }
    assert_ne!(nonce(&asked[0]), nonce(&asked[1]));
}

#[tokio::test]
async fn a_call_that_fails_is_not_sent_again() {
    for reset in [
        Reply::Reset,
        Reply::Cut(Vec::new()),
        Reply::Cut(b"HTTP/1.1 200 OK\r\n".into()),
    ] {
        let server = Server::start([reset]).await;
        let written = client(&server).set_assignee(&issue(), None).await;
        assert_eq!(written, Err(CallError::Reset));
        assert_eq!(server.finish().len(), 1);
    }
}

#[tokio::test]
async fn what_jira_says_is_joined_without_the_token() {
    let body = r#"{"errorMessages":["No tok-1.","Sorry."],"errors":{"assignee":"cannot be bo"}}"#;
    let server = Server::start([reply(400, body)]).await;
    let client = client(&server);
    let error = client.set_assignee(&issue(), Some("bo")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the tracker answered 400: No [redacted]. Sorry. assignee: cannot be bo"
    );
    let shown = format!("{client:?} {error:?}");
    assert!(
        !shown.contains("tok-1") && !shown.contains("MII"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_status_is_reached_by_the_first_transition_that_leads_there() {
    let transitions = json!({ "transitions": [
        { "id": "11", "name": "Start", "to": { "id": "3" } },
        { "id": "21", "name": "Done", "to": { "id": "5" } },
        { "id": "31", "name": "Also done", "to": { "id": "5" } },
    ] })
    .to_string();
    let placed = r#"{"fields":{"status":{"id":"1","name":"Open"},"project":{"id":"10000"}}}"#;
    let server = Server::start([
        reply(200, placed),
        reply(200, &transitions),
        reply(200, &transitions),
        reply(204, ""),
    ])
    .await;
    let client = client(&server);
    let at = StatusRef {
        project: "10000".into(),
        status: "1".into(),
    };
    assert_eq!(client.status(&issue()).await, Ok(at));
    let found = client.transition_to(&issue(), "5").await;
    assert_eq!(found, Ok(Some("21".into())));
    assert_eq!(client.transition_to(&issue(), "6").await, Ok(None));
    assert_eq!(client.make_transition(&issue(), "21").await, Ok(()));
    let asked = server.finish();
    let calls: Vec<_> = asked
        .iter()
        .map(|asked| format!("{} {}", asked.method, asked.target))
        .collect();
    let path = "/jira.acme.test:8443/ctx/rest/api/2/issue/OPS-12";
    assert_eq!(
        calls,
        [
            format!("GET {path}?fields=status,project"),
            format!("GET {path}/transitions"),
            format!("GET {path}/transitions"),
            format!("POST {path}/transitions"),
        ]
    );
    assert_eq!(asked[3].body, r#"{"transition":{"id":"21"}}"#);
}
