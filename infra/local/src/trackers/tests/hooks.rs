//! Service hooks, against the bundle's own reader of them.

use std::collections::VecDeque;

use axum::{Router, extract::State, http::HeaderMap};
use domain::AssigneeChange;
use providers::vsts::webhook::{Claim, claim, work_item_update};
use serde_json::json;
use tokio::sync::Notify;

use super::*;

/// In the place of the front: takes what is posted, and answers 200 unless told otherwise.
#[derive(Clone, Default)]
struct Front(Arc<Posted>);

#[derive(Default)]
struct Posted {
    bodies: Mutex<Vec<(String, Value)>>,
    answers: Mutex<VecDeque<StatusCode>>,
    bell: Notify,
}

impl Front {
    async fn start(self) -> (Trackers, Clock) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let path = "/extensions/vsts/issue-updated/";
        let router = Router::new().route(path, axum::routing::post(take));
        tokio::spawn(axum::serve(listener, router.with_state(self)).into_future());
        let clock = Clock::default();
        let trackers = Trackers::start(clock.clone(), &url, Path::new(CLONE))
            .await
            .unwrap();
        (trackers, clock)
    }

    fn answers(&self, statuses: &[StatusCode]) {
        self.0.answers.lock().unwrap().extend(statuses);
    }

    /// What was posted since the last time: the secret and the body.
    fn posted(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.0.bodies.lock().unwrap())
    }

    fn revisions(&self) -> Vec<Value> {
        let posted = self.posted().into_iter();
        posted
            .map(|(_, body)| body["resource"]["rev"].clone())
            .collect()
    }
}

async fn take(State(front): State<Front>, headers: HeaderMap, body: String) -> StatusCode {
    let secret = headers["shared-secret"].to_str().unwrap().to_owned();
    let body = serde_json::from_str(&body).unwrap();
    front.0.bodies.lock().unwrap().push((secret, body));
    front.0.bell.notify_one();
    let answer = front.0.answers.lock().unwrap().pop_front();
    answer.unwrap_or(StatusCode::OK)
}

fn user_assigns(trackers: &Trackers, assignee: Option<&str>) {
    trackers.change_as_user(Provider::Vsts, "31", assignee);
}

#[tokio::test]
async fn a_change_is_posted_and_says_who_made_it() {
    let front = Front::default();
    let (trackers, _) = front.clone().start().await;
    trackers.subscribe("acc-1", "s3cret");
    let client = azure(&trackers);
    let bo = Some("Bo@Acme.example");
    client.set_assignee(&key("31"), bo).await.unwrap();
    client.set_assignee(&key("31"), bo).await.unwrap();
    user_assigns(&trackers, None);
    assert_eq!(trackers.hooks().len(), 2);
    assert_eq!(front.posted(), []);
    assert_eq!(trackers.deliver_hooks().await, 2);
    assert_eq!(trackers.deliver_hooks().await, 0);

    let posted = front.posted();
    let [(secret, ours), (_, theirs)] = &posted[..] else {
        panic!("{posted:?}")
    };
    assert_eq!(secret, "s3cret");
    let service = "Picket Sync <picket-sync@acme.example>";
    let ana = "Ana Ruiz <ana@acme.example>";
    let bo = "Bo Li <Bo@Acme.example>";
    let resource = &ours["resource"];
    assert_eq!(resource["revisedBy"]["name"], service);
    assert_eq!(
        resource["revisedBy"]["uniqueName"],
        "picket-sync@acme.example"
    );
    assert_eq!(
        resource["fields"],
        json!({
            "System.Rev": { "oldValue": 1, "newValue": 2 },
            "System.AssignedTo": { "newValue": bo },
            "System.ChangedBy": { "oldValue": ana, "newValue": service },
        })
    );
    assert_eq!(resource["revision"]["fields"]["System.AssignedTo"], bo);
    let resource = &theirs["resource"];
    assert_eq!(resource["revisedBy"]["name"], ana);
    let unassigned = json!({ "oldValue": bo });
    assert_eq!(resource["fields"]["System.AssignedTo"], unassigned);

    let assigned = AssigneeChange::Assigned("bo@acme.example".parse().unwrap());
    for (body, revision, change) in [(ours, 2, assigned), (theirs, 3, AssigneeChange::Unassigned)] {
        let bytes = body.to_string().into_bytes();
        let claimed = claim(&bytes).unwrap();
        let Claim::WorkItemUpdated { collection, .. } = claimed else {
            panic!("{claimed:?}")
        };
        assert_eq!(collection, "acc-1");
        let update = work_item_update(&bytes).unwrap();
        assert_eq!(update.work_item, Some(key("31")));
        assert_eq!(update.revision, Some(revision));
        assert_eq!(update.assignee, Some(change));
        assert_eq!(update.status, Ok(None));
    }
}

#[tokio::test]
async fn a_hook_that_is_refused_is_posted_again_but_not_for_ever() {
    let front = Front::default();
    let (trackers, _) = front.clone().start().await;
    trackers.subscribe("acc-1", "s3cret");
    user_assigns(&trackers, Some("ana"));
    user_assigns(&trackers, Some("bo"));
    front.answers(&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK]);
    assert_eq!(trackers.deliver_hooks().await, 1);
    assert_eq!(front.revisions(), [2, 3]);
    assert_eq!(trackers.hooks()[0]["resource"]["rev"], 2);
    front.answers(&[StatusCode::UNAUTHORIZED; 7]);
    for _ in 0..7 {
        assert_eq!(trackers.deliver_hooks().await, 0);
    }
    assert_eq!(front.revisions(), [2; 7]);
    assert!(trackers.hooks().is_empty());
}

#[tokio::test]
async fn nothing_is_posted_without_a_subscription_and_nothing_lost_without_a_front() {
    let (trackers, _) = start().await;
    user_assigns(&trackers, Some("ana"));
    assert!(trackers.hooks().is_empty());
    trackers.subscribe("acc-1", "s3cret");
    user_assigns(&trackers, Some("ana"));
    assert!(trackers.hooks().is_empty());
    user_assigns(&trackers, Some("bo"));
    assert_eq!(trackers.deliver_hooks().await, 0);
    assert_eq!(trackers.hooks().len(), 1);
}

#[tokio::test]
async fn in_a_running_stack_hooks_go_by_themselves() {
    let front = Front::default();
    let (trackers, _) = front.clone().start().await;
    trackers.subscribe("acc-1", "s3cret");
    let running = tokio::spawn(trackers.clone().deliver_hooks_always());
    front.answers(&[StatusCode::SERVICE_UNAVAILABLE]);
    user_assigns(&trackers, Some("ana"));
    front.0.bell.notified().await;
    front.0.bell.notified().await;
    assert_eq!(front.revisions(), [2, 2]);
    azure(&trackers)
        .set_assignee(&key("31"), None)
        .await
        .unwrap();
    front.0.bell.notified().await;
    assert_eq!(front.revisions(), [3]);
    running.abort();
}
