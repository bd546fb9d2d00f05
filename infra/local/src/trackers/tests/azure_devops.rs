//! Azure DevOps: against the bundle's own client, and by plain calls where the client is too well-behaved.

use providers::{
    CallError,
    vsts::{
        client,
        tokens::{RefreshError, RefreshRequest, TokenEndpoint, Tokens, refresh},
    },
};
use serde_json::json;

use super::*;

const ITEM: &str = "dev.azure.com/acme/_apis/wit/workitems/31";
const USERS: &str = "acme.vssps.visualstudio.com/_apis/graph/users";
const ACCEPT: &str = "application/json; api-version=4.1";
const PREVIEW: &str = "application/json; api-version=4.1-preview.1";
const PATCH: &str = "application/json-patch+json";

async fn exchange(
    trackers: &Trackers,
    clock: &Clock,
    refresh_token: &str,
) -> Result<Tokens, RefreshError> {
    let request = RefreshRequest {
        endpoint: TokenEndpoint::AzureDevOps,
        client_secret: Secret::new("anything"),
        refresh_token: Secret::new(refresh_token),
        redirect_uri: "https://picket.test/extensions/vsts/setup/".into(),
    };
    refresh(&outside(trackers, Limits::default()), &request, clock.now()).await
}

#[tokio::test]
async fn a_work_item_goes_to_whom_the_account_knows_and_only_changes_make_revisions() {
    let (trackers, _) = start().await;
    let (client, key) = (azure(&trackers), key("31"));
    let held = |revision, assignee: Option<&str>| {
        let assignee = assignee.map(str::to_owned);
        Ok(client::WorkItem {
            revision,
            assignee,
            project: "web".into(),
            state: "Active".into(),
        })
    };
    assert_eq!(client.work_item(&key).await, held(1, None));

    let wanted = addresses(&["bo@acme.example"]);
    let found = client.find_assignee(&wanted).await.unwrap().unwrap();
    assert_eq!(found, "Bo@Acme.example");
    for (assignee, revision) in [(Some(&*found), 2), (Some(&*found), 2), (None, 3), (None, 3)] {
        let written = client.set_assignee(&key, assignee).await.unwrap();
        assert_eq!(written.revision, Some(revision));
        assert_eq!(trackers.work_item(31), item(revision, assignee));
        let shown = assignee.map(|_| "bo@acme.example");
        assert_eq!(client.work_item(&key).await, held(revision, shown));
    }
    assert_eq!(trackers.work_item(32), item(1, None));
    assert_eq!(trackers.writes().len(), 4);
}

#[tokio::test]
async fn users_come_two_at_a_time_until_there_are_no_more() {
    let (trackers, _) = start().await;
    let client = azure(&trackers);
    for (address, found, pages) in [
        ("uma@elsewhere.example", Some("uma@elsewhere.example"), 1),
        ("cy@acme.example", Some("cy@acme.example"), 4),
        ("nobody@acme.example", None, 4),
    ] {
        trackers.forget_requests();
        let answer = client.find_assignee(&addresses(&[address])).await;
        assert_eq!(answer, Ok(found.map(str::to_owned)), "{address}");
        assert_eq!(trackers.requests().len(), pages, "{address}");
    }
}

#[tokio::test]
async fn what_azure_devops_refuses_is_refused_in_its_shape_and_changes_nothing() {
    let (trackers, _) = start().await;
    let token = format!("Bearer {}", trackers.azure_identity().access_token);
    let good =
        r#"[{"op":"replace","path":"/fields/System.AssignedTo","value":"ana@acme.example"}]"#;
    let unknown = good.replace("ana@", "nobody@");
    let spelled = good.replace("ana@acme.example", "bo@acme.example");
    let other_field = good.replace("AssignedTo", "State");
    let other_operation = good.replace("replace", "move");
    let half = format!("{},{}", good.trim_end_matches(']'), &unknown[1..]);
    let missing = "dev.azure.com/acme/_apis/wit/workitems/10000";
    let page = format!("{USERS}?continuationToken=2");
    for (method, target, accept, content_type, body, status) in [
        ("GET", ITEM, "application/json", "", "", 400),
        ("GET", ITEM, PREVIEW, "", "", 400),
        ("GET", USERS, ACCEPT, "", "", 400),
        ("GET", &*page, PREVIEW, "", "", 400),
        ("GET", missing, ACCEPT, "", "", 404),
        ("PATCH", missing, ACCEPT, PATCH, good, 404),
        ("PATCH", ITEM, "*/*", PATCH, good, 400),
        ("PATCH", ITEM, ACCEPT, "application/json", good, 400),
        ("PATCH", ITEM, ACCEPT, PATCH, "", 400),
        ("PATCH", ITEM, ACCEPT, PATCH, &good[1..], 400),
        ("PATCH", ITEM, ACCEPT, PATCH, &*unknown, 400),
        ("PATCH", ITEM, ACCEPT, PATCH, &*spelled, 400),
        ("PATCH", ITEM, ACCEPT, PATCH, &*half, 400),
        ("PATCH", ITEM, ACCEPT, PATCH, &*other_field, 400),
        ("PATCH", ITEM, ACCEPT, PATCH, &*other_operation, 400),
        ("DELETE", ITEM, ACCEPT, "", "", 404),
    ] {
        let headers = [
            ("authorization", &*token),
            ("accept", accept),
            ("content-type", content_type),
        ];
        let answer = call(&trackers, method, target, &headers, body).await;
        let shown = format!("{method} {target} {accept} {content_type} {body}");
        assert_eq!(answer.status, status, "{shown}");
        assert!(answer.json()["message"].is_string(), "{shown}");
        assert_eq!(trackers.work_item(31), item(1, None), "{shown}");
    }
    for wrong in ["", "Bearer ", "Bearer wrong", &token["Bearer ".len()..]] {
        let headers = [("authorization", wrong), ("accept", ACCEPT)];
        let answer = call(&trackers, "GET", ITEM, &headers, "").await;
        assert_eq!(answer.status, 401, "{wrong}");
    }
    assert!(trackers.hooks().is_empty());
}

#[tokio::test]
async fn the_client_reads_a_refusal() {
    let (trackers, _) = start().await;
    let client = azure(&trackers);
    let missing = client.work_item(&key("10000")).await.unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("404: TF401232: Work item 10000"),
        "{missing}"
    );
    let stranger = client.set_assignee(&key("31"), Some("x@y.example")).await;
    let CallError::Api {
        status: 400,
        message,
        ..
    } = stranger.unwrap_err()
    else {
        panic!("a refusal")
    };
    assert!(message.contains("unknown identity"), "{message}");
}

#[tokio::test]
async fn a_token_is_good_until_it_expires_and_a_refresh_token_once() {
    let (trackers, clock) = start().await;
    let first = trackers.azure_identity();
    let old_client = azure(&trackers);
    assert!(old_client.work_item(&key("31")).await.is_ok());

    trackers.set_token_lifetime(7200);
    let tokens = exchange(&trackers, &clock, &first.refresh_token)
        .await
        .unwrap();
    let second = trackers.azure_identity();
    assert_eq!(tokens.access_token.reveal(), second.access_token);
    assert_eq!(tokens.refresh_token.reveal(), second.refresh_token);
    assert!((tokens.expires - second.expires).abs() < 60, "{tokens:?}");
    assert!(second.expires - first.expires >= 3600);
    for spent in [&*first.refresh_token, "never given out"] {
        let answer = exchange(&trackers, &clock, spent).await;
        assert_eq!(answer, Err(RefreshError::InvalidIdentity));
    }
    assert_eq!(trackers.azure_identity(), second);

    clock.advance(3601 * 1000);
    let expired = old_client.work_item(&key("31")).await;
    assert_eq!(expired, Err(CallError::Unauthorized));
    assert!(azure(&trackers).work_item(&key("31")).await.is_ok());
    clock.advance(3600 * 1000);
    let expired = azure(&trackers).work_item(&key("31")).await;
    assert_eq!(expired, Err(CallError::Unauthorized));
    assert!(
        exchange(&trackers, &clock, &second.refresh_token)
            .await
            .is_ok()
    );
    assert!(azure(&trackers).work_item(&key("31")).await.is_ok());
}

#[tokio::test]
async fn an_exchange_that_is_not_in_azures_form_spends_nothing() {
    let (trackers, _) = start().await;
    let identity = trackers.azure_identity();
    let right = format!(
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
         &client_assertion=s&grant_type=refresh_token&assertion={}&redirect_uri=https%3A%2F%2Fp",
        identity.refresh_token
    );
    let form = "application/x-www-form-urlencoded";
    for (content_type, body, error) in [
        ("application/json", right.clone(), "invalid_request"),
        (form, right.replace("redirect_uri", "x"), "invalid_request"),
        (
            form,
            right.replace("refresh_token", "password"),
            "unsupported_grant_type",
        ),
        (
            form,
            right.replace("assertion=s", "assertion="),
            "invalid_client",
        ),
        (form, right.replace("jwt-bearer", "jwt"), "invalid_client"),
    ] {
        let target = "app.vssps.visualstudio.com/oauth2/token";
        let headers = [("content-type", content_type)];
        let answer = call(&trackers, "POST", target, &headers, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.json()["Error"], error, "{body}");
    }
    assert_eq!(trackers.azure_identity(), identity);
}

#[tokio::test]
async fn every_request_is_recorded_without_its_credentials() {
    let (trackers, _) = start().await;
    let token = trackers.azure_identity().access_token;
    let client = azure(&trackers);
    let ana = Some("ana@acme.example");
    client.set_assignee(&key("31"), ana).await.unwrap();
    call(&trackers, "POST", "api.other.example/x?y=1", &[], "text").await;
    let requests = trackers.requests();
    let [patch, other] = &requests[..] else {
        panic!("{requests:?}")
    };
    assert_eq!(patch.provider, Some(Provider::Vsts));
    let said = (&*patch.method, &*patch.path, patch.status);
    assert_eq!(said, ("PATCH", ITEM, Some(200)));
    assert_eq!(patch.headers["authorization"], "Bearer");
    assert_eq!(patch.headers["content-type"], PATCH);
    let operation = json!({
        "op": "replace", "path": "/fields/System.AssignedTo", "value": "ana@acme.example",
    });
    assert_eq!(patch.body, json!([operation]));
    assert!(!format!("{requests:?}").contains(&token));

    let said = (other.provider, &*other.path, other.status);
    assert_eq!(said, (None, "api.other.example/x?y=1", Some(404)));
    assert_eq!(other.body, "text");
    assert_eq!(trackers.writes(), requests[..1]);
    trackers.forget_requests();
    assert_eq!(trackers.requests(), []);
}
