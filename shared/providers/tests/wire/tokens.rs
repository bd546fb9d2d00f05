//! The exchange of refresh tokens, seen from the side that gives them out.

use domain::{Secret, Timestamp};
use providers::{
    CallError, Limits,
    vsts::tokens::{RefreshError, RefreshRequest, TokenEndpoint, Tokens, refresh},
};

use crate::server::{Reply, Server, reply};

async fn exchange(server: &Server, endpoint: TokenEndpoint) -> Result<Tokens, RefreshError> {
    let request = RefreshRequest {
        endpoint,
        client_secret: Secret::new("s&1"),
        refresh_token: Secret::new("old refresh"),
        redirect_uri: "https://picket.test/extensions/vsts/setup/".into(),
    };
    let shown = format!("{request:?}");
    assert!(
        !shown.contains("s&1") && !shown.contains("old refresh"),
        "{shown}"
    );
    let now = Timestamp::from_millis(1_000_999);
    refresh(&server.outside(Limits::default()), &request, now).await
}

fn tokens(access: &str, refresh: &str, expires: i64) -> Tokens {
    Tokens {
        access_token: Secret::new(access),
        refresh_token: Secret::new(refresh),
        expires,
    }
}

#[tokio::test]
async fn azure_devops_is_asked_in_its_own_form() {
    let answer = r#"{"access_token":"a2","refresh_token":"r2","expires_in":"3599"}"#;
    let server = Server::start([reply(200, answer)]).await;
    let got = exchange(&server, TokenEndpoint::AzureDevOps).await;
    assert_eq!(got, Ok(tokens("a2", "r2", 4599)));
    let [asked] = &server.finish()[..] else {
        panic!("one call")
    };
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.target, "/app.vssps.visualstudio.com/oauth2/token");
    let content_type = Some("application/x-www-form-urlencoded");
    assert_eq!(asked.header("content-type"), content_type);
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(
        asked.body,
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
         &client_assertion=s%261&grant_type=refresh_token&assertion=old+refresh\
         &redirect_uri=https%3A%2F%2Fpicket.test%2Fextensions%2Fvsts%2Fsetup%2F"
    );
}

#[tokio::test]
async fn entra_is_asked_in_the_ordinary_form_and_may_keep_the_old_token() {
    let server = Server::start([reply(200, r#"{"access_token":"a2","expires_in":60}"#)]).await;
    let client_id = String::from("app-1");
    let got = exchange(&server, TokenEndpoint::Entra { client_id }).await;
    assert_eq!(got, Ok(tokens("a2", "old refresh", 1060)));
    let asked = server.finish();
    let target = "/login.microsoftonline.com/common/oauth2/v2.0/token";
    assert_eq!(asked[0].target, target);
    assert_eq!(
        asked[0].body,
        "client_id=app-1&client_secret=s%261&grant_type=refresh_token&refresh_token=old+refresh\
         &redirect_uri=https%3A%2F%2Fpicket.test%2Fextensions%2Fvsts%2Fsetup%2F"
    );
}

#[tokio::test]
async fn a_spent_token_makes_the_identity_invalid() {
    for answer in [
        reply(401, ""),
        reply(
            400,
            r#"{"error":"invalid_grant","error_description":"AADSTS70008"}"#,
        ),
        reply(
            400,
            r#"{"Error":"invalid_grant","ErrorDescription":"expired"}"#,
        ),
    ] {
        let server = Server::start([answer]).await;
        let got = exchange(&server, TokenEndpoint::AzureDevOps).await;
        assert_eq!(got, Err(RefreshError::InvalidIdentity));
    }
}

#[tokio::test]
async fn anything_else_is_an_error_of_the_call_without_what_was_sent() {
    let api = |status, message: &str| CallError::Api {
        status,
        message: message.into(),
        retry_after: None,
    };
    let cases: [(Reply, CallError); 6] = [
        (
            reply(
                400,
                r#"{"error":"invalid_client","error_description":"not s&1"}"#,
            ),
            api(400, "not [redacted]"),
        ),
        (reply(500, "old refresh?"), api(500, "[redacted]?")),
        (reply(200, "<html>"), CallError::Unsupported),
        (
            reply(200, r#"{"access_token":"a2"}"#),
            CallError::Unsupported,
        ),
        (
            reply(200, r#"{"access_token":"a2","expires_in":"soon"}"#),
            CallError::Unsupported,
        ),
        (Reply::Reset, CallError::Reset),
    ];
    for (answer, expected) in cases {
        let server = Server::start([answer]).await;
        let got = exchange(&server, TokenEndpoint::AzureDevOps).await;
        assert_eq!(got, Err(RefreshError::Call(expected)));
    }
}
