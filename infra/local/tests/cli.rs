//! The program `cargo local` itself.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use hyper::Method;
use local::client::request;
use serde_json::{Value, json};

const LOCAL: &str = env!("CARGO_BIN_EXE_local");

/// A running `cargo local`, ended with the test.
struct Program {
    child: Child,
    ready: Value,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

impl Program {
    /// Starts on a free port and waits until it says that it is ready.
    fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file: PathBuf = directory.path().join("ready.json");
        let mut child = Command::new(LOCAL)
            .args(["--port", "0", "--ready-file", file.to_str().unwrap()])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let ready = output
            .lines()
            .map_while(Result::ok)
            .any(|line| line == "Ctrl-C ends it.");
        assert!(ready, "it ended before it was ready");
        let ready = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        Self {
            child,
            ready,
            file,
            _directory: directory,
        }
    }

    fn text(&self, name: &str) -> &str {
        self.ready[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name} in {}", self.ready))
    }

    fn port(&self) -> &str {
        self.text("base_url").rsplit(':').next().unwrap()
    }

    fn operator(&self, command: &str) -> (bool, Value) {
        let output = Command::new(LOCAL)
            .args(["operator", command, "--port", self.port()])
            .output()
            .unwrap();
        let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.success(), answer)
    }

    fn terminate(mut self) -> std::process::ExitStatus {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        let status = self.child.wait().unwrap();
        assert!(!self.file.exists(), "what the ready file names is gone");
        status
    }
}

/// What a start says that is to fail.
fn refused(arguments: &[&str]) -> String {
    let mut start = Command::new(LOCAL);
    let output = start.args(["--port", "0"]).args(arguments).output();
    let output = output.unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn with_the_ready_file_and_nothing_else_an_assignment_reaches_the_issue() {
    let program = Program::start(&[]);
    let member = &program.ready["members"][1];
    let body = json!({
        "eventType": "workitem.updated",
        "resource": { "workItemId": 31, "rev": 1, "fields": {
            "System.AssignedTo": { "newValue": format!("Bo <{}>", member["email"].as_str().unwrap()) },
        } },
        "resourceContainers": { "collection": { "id": program.ready["vsts_external_id"] } },
    });
    let secret = program.text("vsts_shared_secret");
    let url = program.text("vsts_webhook_url");
    let answer = request(
        Method::POST,
        url,
        &[("shared-secret", secret)],
        body.to_string(),
    )
    .await;
    assert_eq!(answer.unwrap().status.as_u16(), 200);

    let bearer = format!("Bearer {}", program.text("auth_token"));
    let url = format!(
        "{}/api/0/issues/{}/",
        program.text("base_url"),
        program.text("group_id")
    );
    loop {
        let answer = request(Method::GET, &url, &[("authorization", &bearer)], "")
            .await
            .unwrap();
        let issue = answer.json();
        assert_eq!(issue["shortId"], program.ready["group_short_id"]);
        if issue["assignedTo"]["id"] == member["id"] {
            break;
        }
    }
    let queues = request(Method::GET, program.text("queues_url"), &[], "")
        .await
        .unwrap()
        .json();
    for count in ["visible", "in_flight", "dead", "received", "failed"] {
        assert!(queues["issue-sync"][count].is_u64(), "{queues}");
    }
    assert!(program.terminate().success());
}

#[test]
fn the_ready_file_has_every_field_and_null_where_there_is_no_part() {
    let program = Program::start(&[]);
    let names = [
        "base_url",
        "org",
        "project",
        "project_id",
        "auth_token",
        "dsn",
        "repo_name",
        "repo_url",
        "vsts_webhook_url",
        "vsts_external_id",
        "vsts_shared_secret",
        "jira_webhook_url",
        "discord_interactions_url",
        "discord_signing_key",
        "mail_url",
        "queues_url",
        "requests_url",
        "group_id",
        "group_short_id",
        "members",
        "outsider",
    ];
    let fields = program.ready.as_object().unwrap();
    assert_eq!(fields.len(), names.len());
    for name in names {
        assert!(fields.contains_key(name), "{name}");
    }
    for none in ["dsn", "jira_webhook_url", "discord_interactions_url"] {
        assert_eq!(fields[none], Value::Null);
    }
    for url in ["queues_url", "requests_url", "mail_url"] {
        assert!(fields[url].is_string(), "{url}");
    }
    assert_eq!(
        (&fields["org"], &fields["project"]),
        (&json!("acme"), &json!("web"))
    );
    assert!(program.ready["members"].as_array().unwrap().len() >= 2);
}

#[test]
fn a_stack_without_a_seed_is_set_up_by_commands() {
    let program = Program::start(&["--no-seed"]);
    assert_eq!(program.ready["auth_token"], Value::Null);
    let create = r#"{"command":"create-organization","slug":"mine","name":"Mine"}"#;
    let (done, answer) = program.operator(create);
    assert!(done && answer["created"] == true, "{answer}");
    let (done, answer) = program.operator(r#"{"command":"create-organization","slug":"mine"}"#);
    assert!(
        !done && answer["error"]["fields"]["name"].is_array(),
        "{answer}"
    );
}

#[test]
fn kept_data_is_there_again() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let first = Program::start(&["--data", data]);
    let (id, secret) = (
        first.ready["group_id"].clone(),
        first.ready["vsts_shared_secret"].clone(),
    );
    assert!(first.terminate().success());
    let second = Program::start(&["--data", data]);
    assert_eq!(
        (
            &second.ready["group_id"],
            &second.ready["vsts_shared_secret"]
        ),
        (&id, &secret)
    );
    assert!(second.ready["auth_token"].is_string());
}

#[test]
fn a_table_without_its_key_ring_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("new");
    let first = Program::start(&["--data", data.to_str().unwrap()]);
    assert!(first.terminate().success());
    std::fs::remove_file(data.join("key-ring")).unwrap();
    let error = refused(&["--data", data.to_str().unwrap()]);
    assert!(
        error.contains("holds a table without its key ring"),
        "{error}"
    );
}

#[test]
fn two_stacks_do_not_work_on_one_table() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let mut first = Program::start(&["--no-seed", "--data", data]);
    let error = refused(&["--data", data]);
    assert_eq!(error, format!("error: another stack works on {data}\n"));
    // One that was killed leaves nothing that holds up the next.
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let next = Program::start(&["--no-seed", "--data", data]);
    assert!(next.terminate().success());
}

#[test]
fn what_a_stack_cannot_be_started_with_is_said_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().to_str().unwrap();
    for (arguments, says) in [
        (
            ["--repository", "/nonexistent"],
            "git finds no repository in /nonexistent",
        ),
        (["--repository", empty], "git finds no repository in"),
        (
            ["--parameter", "TrackerTimeout=9"],
            "has no parameter TrackerTimeout;",
        ),
        (
            ["--parameter", "TrackerTimeoutSeconds=26"],
            "26 is more than 25",
        ),
        (
            ["--parameter", "CacheNodes=2"],
            "changes nothing on one machine",
        ),
    ] {
        let error = refused(&arguments);
        assert!(
            error.starts_with("error: ") && error.contains(says),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_ready_file_of_an_earlier_start_is_gone_before_the_new_one_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ready.json");
    std::fs::write(&file, "stale").unwrap();
    // A start that fails, because its port is taken, leaves nothing that looks ready.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(LOCAL)
        .args(["--port", &port, "--ready-file", file.to_str().unwrap()])
        .output()
        .unwrap();
    let running = output.status.success();
    assert!(!running && !file.exists());
}

#[test]
fn the_demo_holds_with_and_without_faults() {
    for (faults, origin, name) in [
        ("0", "git@github.com:octo/picket.git", "octo/picket"),
        (
            "0.3",
            "https://octo@dev.azure.com/octo/web/_git/backend",
            "web/backend",
        ),
    ] {
        let clone = clone_of(origin);
        let directory = clone.path().to_str().unwrap();
        let demo = Command::new(LOCAL)
            .args(["--port", "0", "--demo", "--faults", faults])
            .args(["--repository", directory])
            .output();
        let demo = demo.unwrap();
        let shown = String::from_utf8_lossy(&demo.stdout);
        assert!(
            demo.status.success(),
            "{shown}\n{}",
            String::from_utf8_lossy(&demo.stderr)
        );
        assert!(shown.contains("because of revision 5"), "{shown}");
        assert!(
            shown.contains(&format!("\"repository\":\"{name}\"")),
            "{shown}"
        );
        assert!(shown.contains("1 commits, "), "{shown}");
        assert!(!shown.contains("git remote add"), "{shown}");
    }
}

/// A git repository with one commit and a remote.
fn clone_of(origin: &str) -> tempfile::TempDir {
    let clone = tempfile::tempdir().unwrap();
    let name = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"];
    for arguments in [
        &["init", "--quiet"][..],
        &["remote", "add", "origin", origin],
        &["commit", "--quiet", "--allow-empty", "--message", "first"],
    ] {
        let mut git = Command::new("git");
        git.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        let git = git.args(name).args(arguments).current_dir(clone.path());
        assert!(git.status().unwrap().success());
    }
    clone
}

#[test]
fn a_command_without_a_stack_says_how_to_start_one() {
    let output = Command::new(LOCAL)
        .args(["operator", "{}", "--port", "1"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("start one with `cargo local`"), "{error}");
}

/// What `cargo lambda watch --env-file` needs to run a function of one's own beside the stack.
#[test]
fn env_files_hold_the_environment_of_each_function() {
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("new/env");
    let files_of = |arguments: &[&str]| {
        let all = [
            &["--no-seed", "--env-files", files.to_str().unwrap()],
            arguments,
        ];
        Program::start(&all.concat())
    };
    let timeout = || {
        let text = std::fs::read_to_string(files.join("outbound-sync.env")).unwrap();
        let mut lines = text.lines().map(str::to_owned);
        lines.find(|line| line.starts_with("TRACKER_TIMEOUT_SECONDS"))
    };
    // A developer does not wait as long as a deployment, unless told to.
    assert!(files_of(&[]).terminate().success());
    assert_eq!(timeout().as_deref(), Some("TRACKER_TIMEOUT_SECONDS=2"));
    let _program = files_of(&["--parameter", "TrackerTimeoutSeconds=9"]);
    assert_eq!(timeout().as_deref(), Some("TRACKER_TIMEOUT_SECONDS=9"));
    let functions = [
        "api",
        "deassign",
        "fetch-commits",
        "issue-sync",
        "jobs",
        "operator",
        "outbound-sync",
        "outbox-relay",
        "project-delete",
        "send-email",
        "webhook-ingest",
    ];
    for function in functions {
        let file = files.join(format!("{function}.env"));
        let text = std::fs::read_to_string(&file).unwrap();
        let names: Vec<_> = text
            .lines()
            .map(|line| line.split_once('=').unwrap().0)
            .collect();
        assert!(names.contains(&"TABLE_NAME"), "{function}: {names:?}");
        assert!(
            names.contains(&"AWS_ENDPOINT_URL_DYNAMODB"),
            "{function}: {names:?}"
        );
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{function}: others can read it");
    }
    assert_eq!(std::fs::read_dir(&files).unwrap().count(), functions.len());
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_command_the_stack() {
    let program = Program::start(&["--no-seed"]);
    let url = format!(
        "{}/2015-03-31/functions/operator/invocations",
        program.text("base_url")
    );
    let headers = [("origin", "https://evil.example")];
    let answer = request(Method::POST, &url, &headers, r#"{"command":"help"}"#)
        .await
        .unwrap();
    assert_eq!(answer.status.as_u16(), 403);
}

#[test]
fn a_redis_does_not_outlive_a_killed_stack() {
    let mut program = Program::start(&["--no-seed"]);
    // Who inherits the pipe of a killed parent sees it closed; ending is then a matter of moments.
    let children = format!("/proc/{0}/task/{0}/children", program.child.id());
    let shells = std::fs::read_to_string(children).unwrap_or_default();
    let shell = shells
        .split_whitespace()
        .next()
        .expect("the keeper of Redis")
        .to_owned();
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    let status = format!("/proc/{shell}/stat");
    let gone = || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z"));
    while !gone() {
        std::thread::yield_now();
    }
}
