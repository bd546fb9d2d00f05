//! The simulated trackers as a part of the bundle on one machine.

use hyper::Method;
use local::{
    client::request,
    trackers::{Mode, Provider},
};
use serde_json::{Value, json};
use tests::World;

#[tokio::test]
async fn what_a_user_of_azure_devops_changes_reaches_the_issue() {
    let mut world = World::start().await;
    let trackers = world.stack.trackers().clone();
    for assignee in [Some("Bo@Acme.example"), None] {
        trackers.change_as_user(Provider::Vsts, "31", assignee);
        // A fault may refuse it; then it is posted again.
        while !trackers.hooks().is_empty() {
            trackers.deliver_hooks().await;
        }
        world.settle().await;
        let email = assignee.map(|_| "bo@acme.example".to_owned());
        assert_eq!(world.assignee().await, email);
    }
    world.finish().await;
}

#[tokio::test]
async fn the_pages_show_what_was_sent_and_take_orders() {
    let world = World::quiet().await;
    let trackers = world.stack.trackers();
    let requests = world.ready.requests_url.clone().expect("a URL");
    let mode = format!("{}/_local/trackers/vsts/mode", world.stack.base_url());
    let page = async |method, url: &str, body: &str| {
        let answer = request(method, url, &[], body.to_owned()).await;
        answer.expect("an answer")
    };
    let work_item = format!(
        "{}/dev.azure.com/acme/_apis/wit/workitems/31",
        trackers.url()
    );
    let limited = r#"{"mode":"rate_limited","retry_after":9,"calls":1}"#;
    let ordered = page(Method::PUT, &mode, limited).await;
    assert_eq!(ordered.status, 204);
    let asked = page(Method::GET, &work_item, "").await;
    assert_eq!(asked.headers["retry-after"], "9");
    assert_eq!(page(Method::GET, &work_item, "").await.status, 401);
    let shown = page(Method::GET, &requests, "").await.json();
    let statuses: Vec<_> = shown.as_array().into_iter().flatten().collect();
    let status = |request: &&Value| request["status"].clone();
    let statuses: Vec<_> = statuses.iter().map(status).collect();
    assert_eq!(statuses, [429, 401]);
    assert_eq!(shown[0]["provider"], "vsts");
    assert_eq!(
        shown[0]["path"],
        "dev.azure.com/acme/_apis/wit/workitems/31"
    );

    assert_eq!(page(Method::DELETE, &requests, "").await.status, 204);
    assert_eq!(page(Method::GET, &requests, "").await.json(), json!([]));
    assert_eq!(page(Method::PUT, &mode, "{}").await.status, 400);
    let other = mode.replace("vsts", "gitlab");
    assert_eq!(page(Method::PUT, &other, limited).await.status, 404);
    trackers.set_mode(Provider::Vsts, Mode::Ok);
    world.finish().await;
}

#[tokio::test]
async fn functions_outside_of_the_vpc_call_the_simulated_trackers() {
    let world = World::quiet().await;
    let url = world.stack.trackers().url();
    for function in &world.stack.template().functions {
        let variables = &world.stack.environments()[&function.name];
        let via = variables.get("OUTSIDE_VIA").map(String::as_str);
        let expected = (!function.in_vpc).then_some(url);
        assert_eq!(via, expected, "{}", function.name);
    }
    world.finish().await;
}
