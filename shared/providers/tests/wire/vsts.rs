//! Azure DevOps, seen from its side.

use domain::{Email, ExternalKey, Secret};
use providers::{
    CallError, Limits, Remedy,
    vsts::client::{Client, WorkItem, Written},
};
use serde_json::{Value, json};

use crate::server::{Asked, Server, reply, reply_with};

fn client(server: &Server) -> Client {
    Client::new(
        server.outside(Limits::default()),
        "https://acme.visualstudio.com/",
        "acme-2".parse().unwrap(),
        Secret::new("tok-1"),
    )
}

fn key(text: &str) -> ExternalKey {
    text.parse().unwrap()
}

fn addresses(texts: &[&str]) -> Vec<Email> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn page(addresses: &[Value]) -> String {
    let users = addresses
        .iter()
        .map(|address| json!({ "mailAddress": address }));
    let users: Vec<_> = users.collect();
    json!({ "count": users.len(), "value": users }).to_string()
}

fn assert_headers(asked: &Asked, accept: &str, content_type: &str) {
    assert_eq!(asked.header("accept"), Some(accept));
    assert_eq!(asked.header("content-type"), Some(content_type));
    assert_eq!(
        asked.header("x-http-method-override"),
        Some(asked.method.as_str())
    );
    assert_eq!(asked.header("x-tfs-fedauthredirect"), Some("Suppress"));
    assert_eq!(asked.header("authorization"), Some("Bearer tok-1"));
    let mut names = asked.header_names();
    names.retain(|name| *name != "content-length");
    let expected = [
        "accept",
        "authorization",
        "content-type",
        "host",
        "user-agent",
        "x-http-method-override",
        "x-tfs-fedauthredirect",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn users_are_read_page_by_page_until_one_has_an_address() {
    let first = page(&[json!("ana@acme.test"), json!(null), json!("")]);
    let second = page(&[
        json!("cy@acme.test"),
        json!("Bo.Li@Acme.test"),
        json!("bo@acme.test"),
    ]);
    let server = Server::start([
        reply_with(200, "X-MS-ContinuationToken: a+b/c=&d\r\n", &first),
        reply_with(200, "X-MS-ContinuationToken: more\r\n", &second),
    ])
    .await;
    let wanted = addresses(&["bo@acme.test", "bo.li@acme.test"]);
    let found = client(&server).find_assignee(&wanted).await;
    assert_eq!(found, Ok(Some("Bo.Li@Acme.test".into())));
    let asked = server.finish();
    let users = "/acme-2.vssps.visualstudio.com/_apis/graph/users";
    assert_eq!(asked[0].target, users);
    let following = format!("{users}?continuationToken=a%2Bb%2Fc%3D%26d");
    assert_eq!(asked[1].target, following);
    for asked in &asked {
        assert_eq!(asked.method, "GET");
        let preview = "application/json; api-version=4.1-preview.1";
        assert_headers(asked, preview, "application/json");
        assert_eq!(asked.header("host"), Some("acme-2.vssps.visualstudio.com"));
    }
    // One connection for both.
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn nobody_is_found_where_no_page_has_the_address() {
    let server = Server::start([
        reply_with(
            200,
            "X-MS-ContinuationToken: x\r\n",
            &page(&[json!("a@acme.test")]),
        ),
        reply(200, &page(&[])),
    ])
    .await;
    let wanted = addresses(&["bo@acme.test"]);
    assert_eq!(client(&server).find_assignee(&wanted).await, Ok(None));
    assert_eq!(server.finish().len(), 2);
}

#[tokio::test]
async fn pages_without_end_are_left_after_fifty() {
    let endless = || reply_with(200, "X-MS-ContinuationToken: x\r\n", &page(&[]));
    let server = Server::start((0..50).map(|_| endless())).await;
    let wanted = addresses(&["bo@acme.test"]);
    assert_eq!(client(&server).find_assignee(&wanted).await, Ok(None));
    assert_eq!(server.finish().len(), 50);
}

#[tokio::test]
async fn a_search_that_fails_half_way_is_an_error() {
    let server = Server::start([
        reply_with(200, "X-MS-ContinuationToken: x\r\n", &page(&[])),
        reply(503, ""),
    ])
    .await;
    let error = client(&server).find_assignee(&[]).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Later(None));
}

#[tokio::test]
async fn a_work_item_is_read_with_its_revision_and_its_assignee() {
    let item = |assigned_to: Value| {
        let fields = json!({
            "System.AssignedTo": assigned_to, "System.State": "Active", "System.TeamProject": "Web",
        });
        reply(
            200,
            &json!({ "id": 412, "rev": 9, "fields": fields }).to_string(),
        )
    };
    let server = Server::start([
        item(json!("Bo Li <Bo@acme.test>")),
        item(json!({ "displayName": "Bo Li", "uniqueName": "Bo@acme.test" })),
        item(json!(null)),
        reply(200, r#"{"rev":1,"fields":{}}"#),
        reply(200, r#"{"id":412}"#),
    ])
    .await;
    let (client, key) = (client(&server), key("412"));
    let expected = |revision, assignee: Option<&str>| {
        let named = |name: &str| match revision {
            9 => name.to_owned(),
            _ => String::new(),
        };
        Ok(WorkItem {
            revision,
            assignee: assignee.map(str::to_owned),
            project: named("Web"),
            state: named("Active"),
        })
    };
    let bo = expected(9, Some("bo@acme.test"));
    assert_eq!(client.work_item(&key).await, bo);
    assert_eq!(client.work_item(&key).await, bo);
    assert_eq!(client.work_item(&key).await, expected(9, None));
    assert_eq!(client.work_item(&key).await, expected(1, None));
    assert_eq!(client.work_item(&key).await, Err(CallError::Unsupported));
    for asked in server.finish() {
        assert_eq!(asked.method, "GET");
        assert_eq!(
            asked.target,
            "/acme.visualstudio.com/_apis/wit/workitems/412"
        );
        assert_headers(
            &asked,
            "application/json; api-version=4.1",
            "application/json",
        );
    }
}

#[tokio::test]
async fn an_assignee_is_replaced_by_address() {
    let server = Server::start([reply(200, r#"{"id":412,"rev":10}"#)]).await;
    let written = client(&server)
        .set_assignee(&key("412"), Some("Bo.Li@Acme.test"))
        .await;
    let revision = Some(10);
    assert_eq!(written, Ok(Written { revision }));
    let [asked] = &server.finish()[..] else {
        panic!("one call")
    };
    assert_eq!(asked.method, "PATCH");
    assert_eq!(
        asked.target,
        "/acme.visualstudio.com/_apis/wit/workitems/412"
    );
    assert_headers(
        asked,
        "application/json; api-version=4.1",
        "application/json-patch+json",
    );
    assert_eq!(
        asked.body,
        r#"[{"op":"replace","path":"/fields/System.AssignedTo","value":"Bo.Li@Acme.test"}]"#
    );
}

#[tokio::test]
async fn a_state_is_replaced_by_name() {
    let server = Server::start([reply(200, r#"{"id":412,"rev":11}"#)]).await;
    let written = client(&server).set_state(&key("412"), "Closed").await;
    let revision = Some(11);
    assert_eq!(written, Ok(Written { revision }));
    let [asked] = &server.finish()[..] else {
        panic!("one call")
    };
    assert_eq!(asked.method, "PATCH");
    assert_eq!(
        asked.body,
        r#"[{"op":"replace","path":"/fields/System.State","value":"Closed"}]"#
    );
}

#[tokio::test]
async fn a_project_is_found_by_its_name_on_pages_of_a_hundred() {
    let page = |from: usize, count: usize| {
        let named = |n| json!({ "id": format!("id-{n}"), "name": format!("Project {n}") });
        let value: Vec<_> = (from..from + count).map(named).collect();
        reply(200, &json!({ "count": count, "value": value }).to_string())
    };
    let server = Server::start([page(0, 100), page(100, 20), page(0, 100), page(100, 20)]).await;
    let client = client(&server);
    let found = client.project_id("Project 107").await;
    assert_eq!(found, Ok(Some("id-107".into())));
    assert_eq!(client.project_id("project 107").await, Ok(None));
    let asked = server.finish();
    let targets: Vec<_> = asked.iter().map(|asked| asked.target.as_str()).collect();
    let target = |skip| {
        format!(
            "/acme.visualstudio.com/_apis/projects?stateFilter=WellFormed&$skip={skip}&$top=100"
        )
    };
    assert_eq!(targets, [target(0), target(100), target(0), target(100)]);
}

#[tokio::test]
async fn an_assignee_is_removed_without_a_value() {
    let server = Server::start([reply(204, ""), reply(200, "[]"), reply(200, "<html>")]).await;
    let client = client(&server);
    for _ in 0..3 {
        let written = client.set_assignee(&key("412"), None).await;
        assert_eq!(written, Ok(Written { revision: None }));
    }
    for asked in server.finish() {
        assert_eq!(
            asked.body,
            r#"[{"op":"remove","path":"/fields/System.AssignedTo"}]"#
        );
    }
}

#[tokio::test]
async fn a_page_to_sign_in_is_no_success() {
    let page = || reply(203, "<html>Sign in</html>");
    let server = Server::start([page(), page(), page()]).await;
    let (client, key) = (client(&server), key("412"));
    let refused = CallError::Unauthorized;
    assert_eq!(client.work_item(&key).await, Err(refused.clone()));
    assert_eq!(client.find_assignee(&[]).await, Err(refused.clone()));
    assert_eq!(client.set_assignee(&key, None).await, Err(refused));
    assert_eq!(server.finish().len(), 3);
}

#[tokio::test]
async fn a_key_cannot_lead_to_another_resource() {
    let server = Server::start([reply(404, "")]).await;
    let client = client(&server);
    let _ = client.set_assignee(&key("../a/412?x=y#z"), None).await;
    let asked = server.finish();
    let target = "/acme.visualstudio.com/_apis/wit/workitems/..%2Fa%2F412%3Fx%3Dy%23z";
    assert_eq!(asked[0].target, target);
    let error = client.work_item(&key("..")).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Never);
    assert_eq!(server.finish().len(), 1);
}

#[tokio::test]
async fn what_azure_says_is_kept_without_the_address_and_the_token() {
    let body = r#"{"message":"The identity value 'bo@acme.test' is unknown to tok-1."}"#;
    let server = Server::start([reply(400, body)]).await;
    let written = client(&server)
        .set_assignee(&key("412"), Some("bo@acme.test"))
        .await;
    let error = written.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Never);
    assert_eq!(
        error.to_string(),
        "the tracker answered 400: The identity value '[redacted]' is unknown to [redacted]."
    );
}

#[tokio::test]
async fn a_client_shows_no_token() {
    let server = Server::start([]).await;
    let shown = format!("{:?}", client(&server));
    assert!(
        shown.contains("acme-2") && !shown.contains("tok-1"),
        "{shown}"
    );
}
