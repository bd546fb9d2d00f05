mod azure_devops;
mod hooks;
mod jira_server;
mod modes;

use std::time::Duration;

use domain::{Email, ExternalKey, Secret};
use providers::{
    Limits, Outside, OutsideConfig,
    jira_server::{
        client::Client as JiraClient,
        oauth::{Credentials, SigningKey},
    },
    vsts::client::Client as AzureClient,
};

use super::*;
use crate::client::{Answer as Reply, request};

/// Nobody listens at port 0.
const NO_FRONT: &str = "http://127.0.0.1:0";

/// The project's own.
const CLONE: &str = env!("CARGO_MANIFEST_DIR");

async fn start() -> (Trackers, Clock) {
    let clock = Clock::default();
    let trackers = Trackers::start(clock.clone(), NO_FRONT, Path::new(CLONE))
        .await
        .unwrap();
    (trackers, clock)
}

/// A plain call, without any client of ours.
async fn call(
    trackers: &Trackers,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let url = format!("{}/{target}", trackers.url());
    let method = method.parse().unwrap();
    request(method, &url, headers, body.to_owned())
        .await
        .unwrap()
}

fn outside(trackers: &Trackers, limits: Limits) -> Outside {
    let config = OutsideConfig {
        via: Some(trackers.url().to_owned()),
        limits,
        ..OutsideConfig::default()
    };
    Outside::new(config).unwrap()
}

/// With little patience.
fn hasty() -> Limits {
    Limits {
        whole: Duration::from_millis(500),
        ..Limits::default()
    }
}

/// The bundle's own client, with the newest token.
fn azure(trackers: &Trackers) -> AzureClient {
    azure_within(trackers, Limits::default())
}

fn azure_within(trackers: &Trackers, limits: Limits) -> AzureClient {
    let token = Secret::new(trackers.azure_identity().access_token);
    let outside = outside(trackers, limits);
    let account = "acme".parse().unwrap();
    AzureClient::new(outside, "https://dev.azure.com/acme/", account, token)
}

/// The bundle's own client, at the present time.
fn jira(trackers: &Trackers, clock: &Clock) -> JiraClient {
    jira_within(trackers, clock, Limits::default())
}

fn jira_within(trackers: &Trackers, clock: &Clock, limits: Limits) -> JiraClient {
    jira_with(trackers, clock, limits, credentials(trackers))
}

fn jira_with(
    trackers: &Trackers,
    clock: &Clock,
    limits: Limits,
    credentials: Credentials,
) -> JiraClient {
    let outside = outside(trackers, limits);
    let base_url = "https://jira.acme.example";
    JiraClient::new(outside, base_url, credentials, clock.now())
}

fn credentials(trackers: &Trackers) -> Credentials {
    let identity = trackers.jira_identity();
    Credentials {
        consumer_key: identity.consumer_key,
        private_key: SigningKey::parse(&Secret::new(identity.private_key)).unwrap(),
        access_token: Secret::new(identity.access_token),
    }
}

fn key(text: &str) -> ExternalKey {
    text.parse().unwrap()
}

fn addresses(texts: &[&str]) -> Vec<Email> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn item(rev: u64, assignee: Option<&str>) -> WorkItem {
    let assignee = assignee.map(str::to_owned);
    WorkItem {
        rev,
        assignee,
        state: "Active",
    }
}
