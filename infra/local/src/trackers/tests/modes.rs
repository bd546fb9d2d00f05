//! What each mode is to the bundle's own clients.

use providers::{
    CallError,
    vsts::tokens::{RefreshError, RefreshRequest, TokenEndpoint, refresh},
};

use super::*;

/// Assigns at both trackers, and gives what came of it.
async fn assign(trackers: &Trackers, clock: &Clock, limits: Limits) -> [Result<(), CallError>; 2] {
    let azure = azure_within(trackers, limits);
    let jira = jira_within(trackers, clock, limits);
    let ana = Some("ana@acme.example");
    let written = azure.set_assignee(&key("31"), ana).await;
    [
        written.map(|_| ()),
        jira.set_assignee(&key("WEB-7"), Some("ana")).await,
    ]
}

fn set_both(trackers: &Trackers, mode: Mode, calls: u32) {
    trackers.set_mode_for(Provider::Vsts, mode, calls);
    trackers.set_mode_for(Provider::JiraServer, mode, calls);
}

fn carried_out(trackers: &Trackers) -> [bool; 2] {
    [
        trackers.work_item(31).assignee.is_some(),
        trackers.jira_issue("WEB-7").is_some(),
    ]
}

#[tokio::test]
async fn a_mode_is_met_for_its_calls_and_then_all_is_well() {
    let api = |message: &str| CallError::Api {
        status: 500,
        message: message.into(),
        retry_after: None,
    };
    let limited = CallError::RateLimited {
        retry_after: Some(Duration::from_secs(7)),
    };
    let forbidden = CallError::Api {
        status: 403,
        message: "the token may not read this".into(),
        retry_after: None,
    };
    for (mode, error, done, status) in [
        (
            Mode::RateLimited { retry_after: 7 },
            limited,
            false,
            Some(429),
        ),
        (Mode::Failing, api("it is broken"), false, Some(500)),
        (
            Mode::RefusedToken,
            CallError::Unauthorized,
            false,
            Some(401),
        ),
        (Mode::Forbidden, forbidden, false, Some(403)),
        (Mode::HugeBody, CallError::Unsupported, true, Some(200)),
        (Mode::LostAnswer, CallError::Reset, true, None),
    ] {
        let (trackers, clock) = start().await;
        set_both(&trackers, mode, 1);
        let met = assign(&trackers, &clock, Limits::default()).await;
        assert_eq!(met, [Err(error.clone()), Err(error)], "{mode:?}");
        assert_eq!(carried_out(&trackers), [done; 2], "{mode:?}");
        let met = assign(&trackers, &clock, Limits::default()).await;
        assert_eq!(met, [Ok(()), Ok(())], "{mode:?}");
        assert_eq!(trackers.work_item(31).rev, 2, "{mode:?}");
        let writes = trackers.writes();
        let statuses: Vec<_> = writes.iter().map(|write| write.status).collect();
        let expected = [status, status, Some(200), Some(204)];
        assert_eq!(statuses, expected, "{mode:?}");
    }
}

#[tokio::test]
async fn a_tracker_that_hangs_carries_nothing_out() {
    let (trackers, clock) = start().await;
    set_both(&trackers, Mode::Hang, u32::MAX);
    for met in assign(&trackers, &clock, hasty()).await {
        assert!(matches!(met, Err(CallError::Timeout { .. })), "{met:?}");
    }
    assert_eq!(carried_out(&trackers), [false; 2]);
    assert!(
        trackers
            .requests()
            .iter()
            .all(|request| request.status.is_none())
    );
    set_both(&trackers, Mode::Ok, 0);
    let met = assign(&trackers, &clock, Limits::default()).await;
    assert_eq!(met, [Ok(()), Ok(())]);
}

#[tokio::test]
async fn a_slow_answer_is_a_right_one_for_those_who_wait() {
    let (trackers, clock) = start().await;
    set_both(&trackers, Mode::SlowDrip, u32::MAX);
    let [azure, jira] = assign(&trackers, &clock, hasty()).await;
    assert!(matches!(azure, Err(CallError::Timeout { .. })), "{azure:?}");
    // It has no body.
    assert_eq!(jira, Ok(()));
    assert_eq!(carried_out(&trackers), [true; 2]);
    let impatient = jira_within(&trackers, &clock, hasty());
    let issue = impatient.assignee(&key("WEB-7")).await;
    assert!(matches!(issue, Err(CallError::Timeout { .. })), "{issue:?}");
    // Two bytes.
    let patient = jira_within(&trackers, &clock, Limits::default());
    let nobody = addresses(&["nobody@acme.example"]);
    let found = patient.find_assignee(&key("WEB-7"), &nobody).await;
    assert_eq!(found, Ok(None));
}

#[tokio::test]
async fn a_slow_tracker_takes_its_time_by_the_stacks_clock() {
    let (trackers, clock) = start().await;
    let before = clock.now().seconds();
    trackers.set_mode_for(Provider::Vsts, Mode::Slow { seconds: 90 }, 2);
    let client = azure(&trackers);
    for _ in 0..3 {
        assert!(client.work_item(&key("31")).await.is_ok());
    }
    let taken = clock.now().seconds() - before;
    assert!((180..200).contains(&taken), "{taken} s");
}

#[tokio::test]
async fn a_mode_is_one_trackers_and_holds_until_it_is_changed() {
    let (trackers, clock) = start().await;
    trackers.set_mode(Provider::JiraServer, Mode::RefusedToken);
    for _ in 0..3 {
        let met = assign(&trackers, &clock, Limits::default()).await;
        assert_eq!(met, [Ok(()), Err(CallError::Unauthorized)]);
    }
    trackers.set_mode(Provider::JiraServer, Mode::Ok);
    let met = assign(&trackers, &clock, Limits::default()).await;
    assert_eq!(met, [Ok(()), Ok(())]);
}

#[tokio::test]
async fn tokens_are_exchanged_in_the_same_modes() {
    let (trackers, clock) = start().await;
    let request = RefreshRequest {
        endpoint: TokenEndpoint::AzureDevOps,
        client_secret: Secret::new("anything"),
        refresh_token: Secret::new(trackers.azure_identity().refresh_token),
        redirect_uri: "https://picket.test/extensions/vsts/setup/".into(),
    };
    let outside = outside(&trackers, Limits::default());
    let exchange = async |mode| {
        trackers.set_mode_for(Provider::Vsts, mode, 1);
        refresh(&outside, &request, clock.now()).await.unwrap_err()
    };
    let refused = exchange(Mode::RefusedToken).await;
    assert_eq!(refused, RefreshError::InvalidIdentity);
    let lost = exchange(Mode::LostAnswer).await;
    assert_eq!(lost, RefreshError::Call(CallError::Reset));
    // It was the only answer that this token brings.
    let spent = exchange(Mode::Ok).await;
    assert_eq!(spent, RefreshError::InvalidIdentity);
}

#[tokio::test]
async fn by_chance_calls_fail_in_the_same_way_each_time() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let (trackers, _) = start().await;
        let client = azure(&trackers);
        let faults = Mode::Faults {
            rate: 0.5,
            seed: 11,
        };
        trackers.set_mode(Provider::Vsts, faults);
        let mut run = Vec::new();
        for n in 0..24 {
            let to = (n % 2 == 0).then_some("ana@acme.example");
            let met = client.set_assignee(&key("31"), to).await;
            run.push(met.map(|_| ()));
        }
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    let failed = runs[0].iter().filter(|met| met.is_err()).count();
    assert!((4..20).contains(&failed), "{failed}");
}
