//! Unmodified sentry-cli, of the major versions in use, against the bundle: what CI runs.
//!
//! The programs come from npm, by the lock file in tests/clients, into the target directory.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{self, Output},
};

use serde_json::{Value, json};
use tests::World;
use tokio::process::Command;

use crate::{
    api::token,
    git::Repository,
    releases::{path_of, shas},
};

const PACKAGE: &str = include_str!("../clients/package.json");
const LOCK: &str = include_str!("../clients/package-lock.json");

/// The versions, as tests/clients names them.
pub(crate) const VERSIONS: [&str; 2] = ["2", "3"];
/// Their successor, `sentry`, which Node.js runs.
const NODE: &str = "node";

/// The directory that holds the programs, which are installed if they are not there.
pub(crate) async fn install() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    LOCK.hash(&mut hasher);
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let ready = target.join(format!("clients-{:016x}", hasher.finish()));
    if ready.exists() {
        return ready;
    }
    // Tests are processes of their own: each installs for itself, and the first one's stays.
    let own = target.join(format!("clients-{}", process::id()));
    std::fs::create_dir_all(&own).expect("the target directory");
    std::fs::write(own.join("package.json"), PACKAGE).expect("the target directory");
    std::fs::write(own.join("package-lock.json"), LOCK).expect("the target directory");
    let npm = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&own)
        .output()
        .await
        .expect("npm, which installs sentry-cli for these tests, is not on this machine");
    let text = String::from_utf8_lossy(&npm.stderr).into_owned();
    assert!(
        npm.status.success(),
        "npm could not install sentry-cli: {text}"
    );
    if std::fs::rename(&own, &ready).is_err() {
        std::fs::remove_dir_all(&own).expect("the target directory");
    }
    ready
}

/// sentry-cli in a repository, as a step of CI calls it.
pub(crate) struct Cli<'a> {
    program: PathBuf,
    base_url: &'a str,
    token: &'a str,
    directory: &'a Path,
    /// The remote whose name its lists of commits give to the repository.
    pub(crate) remote: &'a str,
}

impl<'a> Cli<'a> {
    /// One of the installed programs, with what a step of CI knows.
    pub(crate) fn new(
        programs: &Path,
        version: &str,
        world: &'a World,
        token: &'a str,
        directory: &'a Path,
    ) -> Self {
        let program = match version {
            NODE => "node_modules/sentry/dist/bin.cjs".to_owned(),
            version => format!("node_modules/sentry-cli-{version}/bin/sentry-cli"),
        };
        Self {
            program: programs.join(program),
            base_url: &world.ready.base_url,
            token,
            directory,
            remote: "origin",
        }
    }

    pub(crate) async fn output(&self, line: &str) -> Output {
        Command::new(&self.program)
            .args(line.split(' ').map(|it| it.replace('␣', " ")))
            .current_dir(self.directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("a path"))
            .env("HOME", self.directory)
            .env("SENTRY_URL", self.base_url)
            .env("SENTRY_AUTH_TOKEN", self.token)
            .envs([("SENTRY_ORG", "acme"), ("SENTRY_PROJECT", "web")])
            .env("SENTRY_VCS_REMOTE", self.remote)
            .envs(["NO_COLOR", "SENTRY_CLI_NO_TELEMETRY"].map(|name| (name, "1")))
            .output()
            .await
            .expect("sentry-cli runs")
    }

    /// What it prints, where it succeeds.
    async fn run(&self, line: &str) -> String {
        let output = self.output(line).await;
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).expect("UTF-8");
        assert!(output.status.success(), "sentry-cli {line}: {printed}");
        printed
    }

    /// The cells of the table that it prints, without its head.
    async fn table(&self, line: &str) -> Vec<Vec<String>> {
        let printed = self.run(line).await;
        let rows = printed.lines().filter(|line| line.starts_with('|'));
        let cells = |row: &str| {
            let row = row.trim_matches('|');
            row.split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        rows.skip(1).map(cells).collect()
    }
}

/// The parts that a client's run needs.
struct Setting {
    world: World,
    token: String,
    repository: Repository,
    programs: PathBuf,
}

impl Setting {
    async fn new(name: &str) -> Self {
        let programs = install().await;
        let repository = Repository::new(name).await;
        let world = World::over(repository.path()).await;
        Self {
            token: world.ready.auth_token.clone().expect("a token"),
            world,
            repository,
            programs,
        }
    }

    fn cli(&self, version: &str) -> Cli<'_> {
        let directory = self.repository.path();
        Cli::new(&self.programs, version, &self.world, &self.token, directory)
    }
}

async fn release(world: &World, version: &str) -> Value {
    world.get(&path_of(version)).await.json()
}

#[tokio::test]
async fn both_versions_of_sentry_cli_show_who_and_what_is_there() {
    let setting = Setting::new("shows").await;
    setting.world.stack.dynamodb().catch_up();
    for version in VERSIONS {
        let cli = setting.cli(version);
        let info = cli.run("info").await;
        assert!(info.contains("User: ana@acme.example"), "{info}");
        assert!(info.contains("- org:ci"), "{info}");
        let organizations = cli.table("organizations list").await;
        assert_eq!(organizations[0][1..3], ["Acme", "acme"]);
        let projects = cli.table("projects list").await;
        assert_eq!(projects[0][1..], ["web", "Web team", "Web"]);
        let url = setting.world.ready.repo_url.clone().expect("a repository");
        let repositories = cli.table("repos list").await;
        assert_eq!(repositories, [["acme/web", "GitHub", &url]]);
        let proposed = cli.run("releases propose-version").await;
        assert_eq!(proposed.trim(), setting.repository.shas[0]);
    }
    setting.world.finish().await;
}

#[tokio::test]
async fn both_versions_of_sentry_cli_drive_a_release_from_its_beginning_to_its_end() {
    for version in VERSIONS {
        let setting = Setting::new(&format!("drives-{version}")).await;
        let (world, cli) = (&setting.world, setting.cli(version));
        let all = &setting.repository.shas;
        let name = "web@1.0+5#%41?ü";
        let run = async |line: &str| cli.run(&line.replace("NAME", name)).await;
        let listed = async |line: &str| {
            world.stack.dynamodb().catch_up();
            cli.table(&line.replace("NAME", name)).await
        };

        assert_eq!(
            run("releases new NAME").await.trim(),
            format!("Created release {name}")
        );
        let printed = run("releases set-commits NAME --local").await;
        assert!(
            printed.contains("Success! Set commits for release"),
            "{printed}"
        );
        assert_eq!(shas(world, name).await, *all);
        let rows = listed("releases info NAME -C -P").await;
        let commits: Vec<_> = rows.iter().map(|row| row[3].clone()).collect();
        assert_eq!(
            (&rows[0][0], &rows[0][2], &commits),
            (&name.to_owned(), &"web".to_owned(), all)
        );
        run("releases set-commits NAME --clear").await;
        assert_eq!(shas(world, name).await, [""; 0]);
        let rows = listed("releases set-commits NAME --commit ACME/web@HEAD~2..HEAD").await;
        assert_eq!(rows, [["ACME/web", "HEAD~2 -> HEAD"]]);
        let rows = listed("releases set-commits NAME --auto").await;
        assert_eq!(rows, [["acme/web", &all[0][..12]]]);

        run("releases finalize NAME").await;
        assert!(release(world, name).await["dateReleased"].is_string());
        let rows = listed("releases list").await;
        assert!(rows[0].iter().any(|cell| cell == name), "{rows:?}");
        run("releases archive NAME").await;
        assert_eq!(release(world, name).await["status"], "archived");
        assert_eq!(listed("releases list").await, [[""; 0]; 0]);
        run("releases restore NAME").await;
        let restored = release(world, name).await;
        assert_eq!(
            (&restored["status"], &restored["projects"][0]["slug"]),
            (&json!("open"), &json!("web"))
        );

        let printed = run("deploys new --release NAME -e production -n blue").await;
        assert_eq!(printed.trim(), "Created new deploy blue for 'production'");
        for line in ["deploys list --release NAME", "releases deploys NAME list"] {
            assert_eq!(listed(line).await[0][..2], ["production", "blue"]);
        }
        assert_eq!(
            run("releases delete NAME").await.trim(),
            format!("Deleted release {name}!")
        );
        let gone = cli.output(&format!("releases info {name}")).await;
        assert_eq!(gone.status.code(), Some(1));
        let again = run("releases delete NAME").await;
        assert!(again.contains("Did nothing"), "{again}");
        setting.world.finish().await;
    }
}

#[tokio::test]
async fn the_commits_after_those_of_the_release_before_are_sent() {
    for version in VERSIONS {
        let setting = Setting::new(&format!("goes-on-{version}")).await;
        let (world, cli) = (&setting.world, setting.cli(version));
        cli.run("releases new web@1.0").await;
        cli.run("releases set-commits web@1.0 --local").await;
        let repository = &setting.repository;
        repository
            .git(
                &[
                    "commit",
                    "--quiet",
                    "--allow-empty",
                    "--message",
                    "commit 4",
                ],
                4,
            )
            .await;
        let newest = repository.git(&["rev-parse", "HEAD"], 4).await;
        world.stack.clock().advance(1_000);
        cli.run("releases new web@1.1 --finalize").await;
        cli.run("releases set-commits web@1.1 --local").await;
        assert_eq!(shas(world, "web@1.1").await, [newest]);
        setting.world.finish().await;
    }
}

#[tokio::test]
async fn both_versions_of_sentry_cli_list_and_change_issues() {
    let setting = Setting::new("issues").await;
    let world = &setting.world;
    let id = world.ready.group_id.clone().expect("an issue");
    let path = format!("/api/0/issues/{id}/");
    for version in VERSIONS {
        let cli = setting.cli(version);
        let by_id = format!("--id {id}");
        for (line, status) in [
            (format!("issues resolve {by_id}"), "resolved"),
            ("issues unresolve --all".to_owned(), "unresolved"),
            ("issues mute --status unresolved".to_owned(), "ignored"),
            (format!("issues unresolve {by_id}"), "unresolved"),
        ] {
            world.stack.dynamodb().catch_up();
            cli.run(&line).await;
            assert_eq!(world.get(&path).await.json()["status"], status, "{line}");
        }
        world.stack.dynamodb().catch_up();
        let rows = cli.table("issues list").await;
        assert_eq!((rows.len(), &rows[0][0]), (1, &id), "{rows:?}");
    }
    setting.world.finish().await;
}

/// Spaces are spelled `␣` in a line.
#[tokio::test]
async fn both_versions_of_sentry_cli_name_releases_with_any_version() {
    let setting = Setting::new("versions").await;
    let world = &setting.world;
    let long = "v".repeat(200);
    for version in VERSIONS {
        let cli = setting.cli(version);
        for name in ["a␣b@1#2%3?4+5ü", long.as_str()] {
            cli.run(&format!("releases new {name}")).await;
            let spelled = name.replace('␣', " ");
            assert_eq!(release(world, &spelled).await["version"], spelled.as_str());
            cli.run(&format!("releases finalize {name}")).await;
            cli.run(&format!("releases delete {name}")).await;
            assert_eq!(world.get(&path_of(&spelled)).await.status.as_u16(), 404);
        }
    }
    setting.world.finish().await;
}

#[tokio::test]
async fn a_token_of_ci_is_enough_for_what_ci_does() {
    let mut setting = Setting::new("ci").await;
    let owner = ("organization", "acme");
    setting.token = token(&setting.world, "ci", owner, json!(["org:ci"])).await;
    for version in VERSIONS {
        let cli = setting.cli(version);
        for line in [
            "releases new NAME",
            "releases set-commits NAME --local",
            "releases set-commits NAME --auto",
            "releases finalize NAME",
            "releases info NAME",
            "deploys new --release NAME -e production",
        ] {
            cli.run(&line.replace("NAME", &format!("ci@{version}")))
                .await;
        }
    }
    setting.world.finish().await;
}

#[tokio::test]
async fn what_both_versions_of_sentry_cli_name_alone_is_fetched_from_the_repositorys_host() {
    let mut setting = Setting::new("fetches").await;
    let all = setting.repository.shas.clone();
    let cli = setting.cli(VERSIONS[0]);
    cli.run("releases set-commits web@1 --auto").await;
    setting.world.settle_now().await;
    assert_eq!(shas(&setting.world, "web@1").await, all);
    let cli = setting.cli(VERSIONS[1]);
    let range = format!("acme/web@{}..{}", all[2], all[0]);
    cli.run(&format!("releases set-commits web@2 --commit {range}"))
        .await;
    setting.world.settle_now().await;
    assert_eq!(shas(&setting.world, "web@2").await, all[..2]);
    setting.world.finish().await;
}

/// Each run costs Node.js a second or two, so its other commands are left to those who try them: they send what
/// others send, too.
#[tokio::test]
async fn the_client_for_node_knows_who_asks_and_finds_and_resolves_issues() {
    let setting = Setting::new("node").await;
    let world = &setting.world;
    let cli = setting.cli(NODE);
    world.stack.dynamodb().catch_up();
    let info = cli.run("info").await;
    let seen = info.contains("Verified: yes") && info.contains("User: ana@acme.example");
    assert!(seen, "{info}");
    let listed = cli.run("issue list acme/web").await;
    let seen = listed.contains("WEB-1") && listed.contains("KeyError: 'user'");
    assert!(seen, "{listed}");
    cli.run("issue resolve WEB-1").await;
    let id = world.ready.group_id.clone().expect("an issue");
    let issue = world.get(&format!("/api/0/issues/{id}/")).await.json();
    assert_eq!(issue["status"], "resolved");
    setting.world.finish().await;
}
