//! Jira Server: against the bundle's own client, and with signatures that the client would not make.

use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use providers::{CallError, jira_server::client::AssigneeRef};
use rsa::{
    RsaPrivateKey, pkcs1v15,
    pkcs8::DecodePrivateKey,
    signature::{SignatureEncoding, Signer},
};
use sha1::Sha1;

use super::*;

const ISSUE: &str = "jira.acme.example/rest/api/2/issue/WEB-7";
const SOMEBODY_ELSES_KEY: &str =
    include_str!("../../../../../shared/providers/tests/keys/rsa-pkcs8.pem");

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Signs a GET of the issue's assignee, with some of the parameters as they should not be.
fn signed(trackers: &Trackers, clock: &Clock, changed: &[(&str, &str)]) -> String {
    let identity = trackers.jira_identity();
    let now = clock.now().seconds().to_string();
    let mut parameters = BTreeMap::from([
        ("fields", "assignee"),
        ("oauth_consumer_key", &*identity.consumer_key),
        ("oauth_nonce", "nonce 1"),
        ("oauth_signature_method", "RSA-SHA1"),
        ("oauth_timestamp", &*now),
        ("oauth_token", &*identity.access_token),
        ("oauth_version", "1.0"),
    ]);
    parameters.extend(changed.iter().copied());
    let pair = |(name, value): (&&str, &&str)| format!("{name}={}", encoded(value));
    let pairs: Vec<_> = parameters.iter().map(pair).collect();
    let url = encoded(&format!("https://{ISSUE}"));
    let base = format!("GET&{url}&{}", encoded(&pairs.join("&")));
    let key = RsaPrivateKey::from_pkcs8_pem(&identity.private_key).unwrap();
    let signature = pkcs1v15::SigningKey::<Sha1>::new(key).sign(base.as_bytes());
    let signature = BASE64_STANDARD.encode(signature.to_bytes());
    parameters.remove("fields");
    parameters.insert("oauth_signature", &signature);
    let pair = |(name, value): (&&str, &&str)| format!("{name}=\"{}\"", encoded(value));
    let pairs: Vec<_> = parameters.iter().map(pair).collect();
    format!("OAuth realm=\"x\",{}", pairs.join(","))
}

/// The status, and the problem that it names.
async fn asked(trackers: &Trackers, target: &str, authorization: &str) -> (u16, Option<String>) {
    let headers = [("authorization", authorization)];
    let answer = call(trackers, "GET", target, &headers, "").await;
    let problem = answer.headers.get("www-authenticate").map(|value| {
        let text = value.to_str().unwrap();
        let (_, problem) = text.split_once("oauth_problem=").unwrap();
        problem.trim_matches('"').to_owned()
    });
    (answer.status.as_u16(), problem)
}

#[tokio::test]
async fn an_issue_goes_to_whom_it_can_be_assigned_to() {
    let (trackers, clock) = start().await;
    let (client, issue) = (jira(&trackers, &clock), key("WEB-7"));
    assert_eq!(client.assignee(&issue).await, Ok(None));
    for (address, name) in [
        ("bo@acme.example", Some("bo")),
        ("bo@acme.example.org", Some("bob")),
        ("bo@acme", None),
    ] {
        let found = client.find_assignee(&issue, &addresses(&[address])).await;
        assert_eq!(found, Ok(name.map(str::to_owned)), "{address}");
    }
    for _ in 0..2 {
        assert_eq!(client.set_assignee(&issue, Some("bo")).await, Ok(()));
        assert_eq!(trackers.jira_issue("WEB-7"), Some("bo".into()));
    }
    let bo = AssigneeRef {
        name: "bo".into(),
        email: Some("bo@acme.example".into()),
    };
    assert_eq!(client.assignee(&issue).await, Ok(Some(bo)));
    assert_eq!(trackers.jira_issue("WEB-8"), None);
    assert_eq!(client.set_assignee(&issue, None).await, Ok(()));
    assert_eq!(trackers.jira_issue("WEB-7"), None);

    trackers.change_as_user(Provider::JiraServer, "WEB-7", Some("Cy@Acme.example"));
    assert_eq!(trackers.jira_issue("WEB-7"), Some("cy".into()));
    let writes = trackers.writes();
    let statuses: Vec<_> = writes.iter().map(|write| write.status).collect();
    assert_eq!(statuses, [Some(204); 3]);
    assert_eq!(writes[0].path, format!("{ISSUE}/assignee"));
    assert_eq!(writes[0].headers["authorization"], "OAuth");
}

#[tokio::test]
async fn what_jira_refuses_the_client_reads() {
    let (trackers, clock) = start().await;
    let client = jira(&trackers, &clock);
    let words = |error: CallError| error.to_string();
    for missing in ["OPS-7", "WEB-07", "WEB-", "WEB-x", "WEB-0", "web-7"] {
        let missing = key(missing);
        let wanted = addresses(&["bo@acme.example"]);
        let found = client.find_assignee(&missing, &wanted).await;
        for error in [
            client.assignee(&missing).await.unwrap_err(),
            client.set_assignee(&missing, None).await.unwrap_err(),
            found.unwrap_err(),
        ] {
            let expected = "the tracker answered 404: Issue Does Not Exist";
            assert_eq!(words(error), expected, "{missing}");
        }
    }
    let nobody = client.set_assignee(&key("WEB-7"), Some("nobody")).await;
    assert_eq!(
        words(nobody.unwrap_err()),
        "the tracker answered 400: assignee: User 'nobody' cannot be assigned issues."
    );
    assert_eq!(trackers.jira_issue("WEB-7"), None);
}

#[tokio::test]
async fn a_signature_counts_once_for_its_own_call_and_for_a_short_time() {
    let (trackers, clock) = start().await;
    let target = format!("{ISSUE}?fields=assignee");
    let refused = |problem: &str| (401, Some(problem.to_owned()));
    let good = signed(&trackers, &clock, &[]);
    let forged = refused("signature_invalid");
    assert_eq!(
        asked(&trackers, &format!("{target}&x=1"), &good).await,
        forged
    );
    let other = target.replace("WEB-7", "WEB-8");
    assert_eq!(asked(&trackers, &other, &good).await, forged);
    assert_eq!(asked(&trackers, &target, &good).await, (200, None));
    assert_eq!(
        asked(&trackers, &target, &good).await,
        refused("nonce_used")
    );

    clock.advance(400_000);
    let answer = asked(&trackers, &target, &good).await;
    assert_eq!(answer, refused("timestamp_refused"));
    let again = signed(&trackers, &clock, &[]);
    assert_eq!(asked(&trackers, &target, &again).await, (200, None));
    clock.advance(-400_000);
    let answer = asked(&trackers, &target, &again).await;
    assert_eq!(answer, refused("timestamp_refused"));
}

#[tokio::test]
async fn every_parameter_of_a_signature_is_looked_at() {
    let (trackers, clock) = start().await;
    let target = format!("{ISSUE}?fields=assignee");
    for (name, value, problem) in [
        ("oauth_version", "2.0", "version_rejected"),
        (
            "oauth_signature_method",
            "PLAINTEXT",
            "signature_method_rejected",
        ),
        ("oauth_consumer_key", "other", "consumer_key_unknown"),
        ("oauth_token", "other", "token_rejected"),
        ("oauth_token", "", "parameter_absent"),
        ("oauth_nonce", "", "parameter_absent"),
        ("oauth_timestamp", "now", "timestamp_refused"),
    ] {
        let signed = signed(&trackers, &clock, &[(name, value)]);
        let expected = (401, Some(problem.to_owned()));
        assert_eq!(asked(&trackers, &target, &signed).await, expected, "{name}");
    }
    for none in ["", "OAuth ", "OAuth a", "OAuth a=b", "Bearer x"] {
        let expected = (401, Some("parameter_absent".to_owned()));
        assert_eq!(asked(&trackers, &target, none).await, expected, "{none}");
    }
}

#[tokio::test]
async fn the_client_is_turned_away_with_credentials_that_are_not_jiras() {
    let (trackers, clock) = start().await;
    let good = credentials(&trackers);
    let other_key = Credentials {
        private_key: SigningKey::parse(&Secret::new(SOMEBODY_ELSES_KEY)).unwrap(),
        ..good.clone()
    };
    let other_consumer = Credentials {
        consumer_key: "other".into(),
        ..good.clone()
    };
    let other_token = Credentials {
        access_token: Secret::new("other"),
        ..good
    };
    for wrong in [other_key, other_consumer, other_token] {
        let client = jira_with(&trackers, &clock, Limits::default(), wrong);
        let answer = client.assignee(&key("WEB-7")).await;
        assert_eq!(answer, Err(CallError::Unauthorized));
    }
    let late = jira(&trackers, &clock);
    clock.advance(400_000);
    let answer = late.set_assignee(&key("WEB-7"), Some("bo")).await;
    assert_eq!(answer, Err(CallError::Unauthorized));
    assert_eq!(trackers.jira_issue("WEB-7"), None);
}
