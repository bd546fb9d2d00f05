//! The sample events: one for each trigger, each taken by its function; and each message has one
//! consumer.

use std::{collections::BTreeSet, path::Path};

use domain::{Envelope, Queue};
use serde_json::Value;
use tests::World;

/// The samples as (file name, function, event).
fn samples() -> Vec<(String, String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    let files = std::fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().path());
    let sample = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let function = name.split('.').next().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        (name, function, serde_json::from_str(&text).unwrap())
    };
    let mut samples: Vec<_> = files.map(sample).collect();
    samples.sort_by(|a, b| a.0.cmp(&b.0));
    samples
}

const SAMPLE_INTEGRATION: &str = "3764929533239302";

#[tokio::test]
async fn every_sample_runs_through_its_function() {
    let world = World::quiet().await;
    let mut functions = BTreeSet::new();
    let integration = world.integration();
    for (name, function, event) in samples() {
        // Ids of integrations are drawn, so the sample's stands for the one of this world.
        let event = event.to_string().replace(SAMPLE_INTEGRATION, &integration);
        let answer = world.stack.invoke(&function, event).await;
        let answer: Value = serde_json::from_str(&answer.expect(&name)).unwrap();
        if let Some(failures) = answer.get("batchItemFailures") {
            assert_eq!(
                failures.as_array().map(Vec::len),
                Some(0),
                "{name}: {answer}"
            );
        }
        if let Some(status) = answer.get("statusCode") {
            // Taken for what they are: an unknown account, no credentials, and no such picture.
            let expected = match name.as_str() {
                "webhook-ingest.vsts" => 400,
                "api" => 401,
                "api.picture" => 404,
                other => panic!("{other} has a status: {answer}"),
            };
            assert_eq!(status.as_u64(), Some(expected), "{name}: {answer}");
        }
        assert!(answer.get("error").is_none(), "{name}: {answer}");
        functions.insert(function);
    }
    let crates = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions"));
    let crates = crates
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(
        functions,
        crates.collect::<BTreeSet<_>>(),
        "a function without a sample"
    );
    world.finish().await;
}

#[tokio::test]
async fn every_operator_command_has_a_sample() {
    let with_sample: BTreeSet<_> = samples()
        .into_iter()
        .filter(|(_, function, _)| function == "operator")
        .map(|(_, _, event)| event["command"].as_str().unwrap().to_owned())
        .collect();
    let world = World::quiet().await;
    let help = world
        .operator(serde_json::json!({ "command": "help" }))
        .await;
    let commands = help["commands"].as_array().unwrap().iter();
    let commands: BTreeSet<_> = commands
        .map(|c| c["command"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(with_sample, commands);
    world.finish().await;
}

#[tokio::test]
async fn every_message_has_one_consumer_and_a_sample() {
    let world = World::quiet().await;
    let consumed: Vec<_> = world.stack.consumed_queues().collect();
    let mut sampled = BTreeSet::new();
    for (_, function, event) in samples() {
        for record in event["Records"].as_array().into_iter().flatten() {
            let Some(body) = record["body"].as_str() else {
                continue;
            };
            let envelope: Envelope = serde_json::from_str(body).unwrap();
            let queue = envelope.message.queue();
            assert_eq!(queue.as_str(), function, "a queue's consumer has its name");
            sampled.insert(queue);
        }
    }
    for queue in Queue::ALL {
        let consumers = consumed
            .iter()
            .filter(|name| **name == queue.as_str())
            .count();
        assert_eq!(consumers, 1, "consumers of {}", queue.as_str());
        assert!(sampled.contains(&queue), "no sample for {}", queue.as_str());
    }
    world.finish().await;
}
