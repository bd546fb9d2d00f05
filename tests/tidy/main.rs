//! The rules of the repository's structure, as tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the repository")
}

/// What each package of the workspace depends on, tests aside, by package name.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--locked",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata");
    let direct = |package: &Value| {
        let all = package["dependencies"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let normal = all
            .into_iter()
            .filter(|dependency| dependency["kind"].is_null());
        normal
            .map(|d| d["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let name = |package: &Value| package["name"].as_str().unwrap_or_default().to_owned();
    packages
        .map(|package| (name(package), direct(package)))
        .collect()
}

fn folders(of: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(of)).expect(of);
    entries
        .map(|entry| entry.expect(of).file_name().into_string().expect("a name"))
        .collect()
}

#[test]
fn domain_imports_nothing_of_ours_and_the_shared_crates_not_one_another() {
    let all = dependencies();
    let (functions, shared) = (folders("functions"), folders("shared"));
    let ours = |package: &str| -> BTreeSet<String> {
        let ours = |name: &&String| all.contains_key(*name);
        all[package].iter().filter(ours).cloned().collect()
    };
    assert_eq!(ours("domain"), BTreeSet::new());
    for package in shared.iter().filter(|name| *name != "domain") {
        assert_eq!(
            ours(package),
            BTreeSet::from(["domain".to_owned()]),
            "{package}"
        );
    }
    for package in &functions {
        assert!(
            ours(package).is_subset(&shared),
            "{package} imports {:?}",
            ours(package)
        );
    }
}

#[test]
fn each_service_is_called_from_where_it_belongs_and_nowhere_else() {
    let all = dependencies();
    let users = |dependency: &str| -> BTreeSet<&str> {
        let uses = |(_, found): &(&String, &BTreeSet<String>)| found.contains(dependency);
        all.iter()
            .filter(uses)
            .map(|(name, _)| name.as_str())
            .collect()
    };
    assert_eq!(users("aws-sdk-dynamodb"), BTreeSet::from(["store"]));
    assert_eq!(users("redis"), BTreeSet::from(["store"]));
    assert_eq!(
        users("aws-sdk-sqs"),
        BTreeSet::from(["outbox-relay", "webhook-ingest"])
    );
    assert_eq!(
        users("aws-sdk-elasticache"),
        BTreeSet::from(["outbox-relay"])
    );
    assert_eq!(users("aws-sdk-ses"), BTreeSet::from(["send-email"]));
}

fn sources(of: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(of).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" && name != ".git" {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn somebody_is_told_of_every_dead_letter_queue_that_is_not_empty() {
    let template = root().join("infra/template.yaml");
    let template = std::fs::read_to_string(template).expect("the template");
    let top = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let names = template.lines().filter(top);
    let names: BTreeSet<_> = names
        .map(|line| line.trim().trim_end_matches(':'))
        .collect();
    let queues: Vec<_> = names.iter().filter(|name| name.ends_with("Dlq")).collect();
    assert_eq!(queues.len(), folders("functions").len() - 3, "{queues:?}");
    for queue in queues {
        let alarm = format!("{queue}NotEmpty");
        assert!(names.contains(alarm.as_str()), "{alarm}");
        let about = format!("{{ Name: QueueName, Value: !GetAtt {queue}.QueueName }}");
        let of_it = template.split(&format!("  {alarm}:\n")).nth(1);
        let of_it = of_it.and_then(|text| text.split("\n\n").next());
        assert!(of_it.is_some_and(|text| text.contains(&about)), "{alarm}");
    }
}

#[test]
fn every_metric_of_ours_that_an_alarm_watches_is_one_that_is_written() {
    let template = root().join("infra/template.yaml");
    let template = std::fs::read_to_string(template).expect("the template");
    let alarms = template.split("Namespace: Picket\n").skip(1);
    let watched: BTreeSet<_> = alarms
        .map(|alarm| {
            let line = alarm.lines().next().expect("a metric");
            let name = line.trim().strip_prefix("MetricName: ");
            name.expect("a metric after the namespace")
        })
        .collect();
    let written = runtime::Metric::NAMES.map(|(name, _)| name);
    for name in &watched {
        assert!(written.contains(name), "{name}");
    }
    assert_eq!(
        watched,
        BTreeSet::from(["CacheUnreachable", "OutboxAge", "SyncGivenUp", "email.sent"])
    );
}

#[test]
fn every_file_says_why_it_exists() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    assert!(files.len() > 50);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let own = file.file_name().is_some_and(|name| name == "tests.rs");
        assert!(
            own || text.starts_with("//!"),
            "{} has no header",
            file.display()
        );
    }
}

#[test]
fn the_mains_of_the_functions_differ_in_the_name_alone() {
    let mut texts = BTreeSet::new();
    for function in folders("functions") {
        let path = root().join("functions").join(&function).join("src/main.rs");
        let text = std::fs::read_to_string(path).expect("a main");
        texts.insert(
            text.replace(&function, "F")
                .replace(&function.replace('-', "_"), "F"),
        );
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
}

#[test]
fn the_architecture_page_names_every_function_and_every_shared_crate() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for name in folders("functions").into_iter().chain(folders("shared")) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_readme_lists_every_command_of_the_operator_and_every_option_of_cargo_local() {
    let page = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let source = root().join("functions/operator/src/command.rs");
    let source = std::fs::read_to_string(source).expect("the commands");
    let commands = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"'));
    let commands = commands
        .filter_map(|line| line.split_once("\" => "))
        .map(|(name, _)| name);
    let commands: Vec<_> = commands.collect();
    assert!(commands.len() > 10, "{commands:?}");
    for name in commands {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    for option in [
        "--port",
        "--data",
        "--ready-file",
        "--no-seed",
        "--faults",
        "--seed",
        "--demo",
    ] {
        assert!(page.contains(&format!("`{option}")), "{option}");
    }
}
