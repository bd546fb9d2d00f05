//! Fetching commits, when the function ends in the middle of it.

use local::trackers::Mode;
use serde_json::json;
use tests::World;

use crate::{
    deploy_notices::deploy,
    fetch::{GITHUB, files, identify, minutes, name, pass, stored, told, web},
    git::Repository,
    releases::{items, shas},
};

/// More commits than there are calls of the function to end after.
const COMMITS: usize = 60;

/// A repository with many commits, and their hashes, the newest first.
async fn many(name: &str) -> (Repository, Vec<String>) {
    let git = Repository::new(name).await;
    let mut script = String::new();
    for n in 0..COMMITS {
        script.push_str(&format!(
            "commit refs/heads/many\ncommitter Ann <ann@example.com> {} +0000\ndata 1\nm\n{}M 100644 inline m{n}.txt\ndata 1\nx\n",
            1_800_000_000 + n,
            if n == 0 { format!("from {}\n", git.shas[0]) } else { String::new() },
        ));
    }
    git.import(&script).await;
    let log = git.git(&["log", "--format=%H", "many"], 4).await;
    let shas = log.lines().map(str::to_owned).collect();
    (git, shas)
}

#[tokio::test]
async fn wherever_the_function_ends_the_commits_come_and_so_does_what_follows() {
    let (git, commits) = many("ends").await;
    let mut world = World::quiet_over(git.path()).await;
    for nth in 1_usize.. {
        let version = nth.to_string();
        let [new, old] = [&commits[nth - 1], &commits[nth]];
        name(&world, &version, web(&format!("{old}..{new}"))).await;
        let deploy = deploy(&world, &version, json!({})).await;
        let call = u64::try_from(nth).expect("a small number");
        world.stack.dynamodb().end_after("fetch-commits", call);
        world.settle_now().await;
        assert_eq!(
            shas(&world, &version).await,
            [new.as_str()],
            "after call {nth}"
        );
        assert_eq!(files(&world, new).len(), 1, "after call {nth}");
        let release = stored(&world, &version);
        assert_eq!(release["fetches"]["M"], json!({}), "after call {nth}");
        let noted = items(&world, "REPOSITORY#", "DEPLOYED#production");
        assert_eq!(noted[0]["release"], release["id"], "after call {nth}");
        let deploys = items(&world, "RELEASE_ID#", &format!("DEPLOY#{deploy}"));
        assert_eq!(deploys[0]["notified"]["BOOL"], true, "after call {nth}");
        if world.stack.dynamodb().will_end() {
            assert!(nth > 12, "only {nth} calls");
            break;
        }
    }
    assert_eq!(told(&world), [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn wherever_the_function_ends_people_hear_once_of_trouble_and_once_of_its_end() {
    let (git, commits) = many("ends-in-trouble").await;
    let mut world = World::quiet_over(git.path()).await;
    let bo = format!("{}: Unable to Fetch Commits", world.bo());
    let healed = format!("{}: Commits Can Be Fetched Again", world.bo());
    let mut expected = Vec::new();
    for nth in 1_usize.. {
        let version = nth.to_string();
        let [new, old] = [&commits[nth - 1], &commits[nth]];
        identify(&world).await;
        world.stack.trackers().set_mode(GITHUB, Mode::RefusedToken);
        name(&world, &version, web(&format!("{old}..{new}"))).await;
        let call = u64::try_from(nth).expect("a small number");
        world.stack.dynamodb().end_after("fetch-commits", call);
        world.settle_now().await;
        expected.push(bo.clone());
        assert_eq!(told(&world), expected, "after call {nth}");
        let kept = items(&world, "INTEGRATION#", "IDENTITY#").into_iter();
        assert_eq!(kept.count(), 2, "GitHub's is forgotten, after call {nth}");
        let done = world.stack.dynamodb().will_end();
        world.stack.trackers().set_mode(GITHUB, Mode::Ok);
        identify(&world).await;
        pass(&mut world, minutes(1)).await;
        expected.push(healed.clone());
        assert_eq!(told(&world), expected, "after call {nth}");
        assert_eq!(
            shas(&world, &version).await,
            [new.as_str()],
            "after call {nth}"
        );
        if done {
            assert!(nth > 6, "only {nth} calls");
            break;
        }
    }
    world.finish().await;
}
