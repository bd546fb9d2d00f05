//! Unmodified sentry-cli, of the major versions in use, against the bundle: what CI runs.
//!
//! The programs come from npm, by the lock file in tests/clients, into the target directory.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{self, Output},
};

use serde_json::json;
use tests::World;
use tokio::process::Command;

use crate::{
    api::token,
    releases::{path_of, shas},
};

const PACKAGE: &str = include_str!("../clients/package.json");
const LOCK: &str = include_str!("../clients/package-lock.json");

/// The versions, as tests/clients names them.
const VERSIONS: [&str; 2] = ["2", "3"];

/// The directory that holds the programs, which are installed if they are not there.
async fn install() -> PathBuf {
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

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../target")
            .join(format!("repository-{}-{name}", process::id()));
        std::fs::create_dir_all(&path).expect("the target directory");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A git repository with three commits, the newest first.
struct Repository {
    directory: Directory,
    shas: Vec<String>,
}

impl Repository {
    async fn new(name: &str) -> Self {
        let mut repository = Self {
            directory: Directory::new(name),
            shas: Vec::new(),
        };
        repository.git(&["init", "--quiet"], 0).await;
        let url = "https://github.com/acme/web.git";
        repository.git(&["remote", "add", "origin", url], 0).await;
        for n in 1..=3 {
            let file = repository.directory.0.join(format!("{n}.txt"));
            std::fs::write(file, "text").expect("the repository");
            repository.git(&["add", "."], n).await;
            let message = format!("commit {n}");
            repository
                .git(&["commit", "--quiet", "--message", &message], n)
                .await;
            let sha = repository.git(&["rev-parse", "HEAD"], n).await;
            repository.shas.insert(0, sha);
        }
        repository
    }

    async fn git(&self, arguments: &[&str], minute: usize) -> String {
        let date = format!("2026-01-01T00:0{minute}:00+02:00");
        let output = Command::new("git")
            .args(arguments)
            .current_dir(&self.directory.0)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs([("GIT_AUTHOR_NAME", "Ann"), ("GIT_COMMITTER_NAME", "Ann")])
            .env("GIT_AUTHOR_EMAIL", "ann@example.com")
            .env("GIT_COMMITTER_EMAIL", "ann@example.com")
            .envs([("GIT_AUTHOR_DATE", &date), ("GIT_COMMITTER_DATE", &date)])
            .output()
            .await
            .expect("git");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout)
            .expect("UTF-8")
            .trim()
            .to_owned()
    }
}

/// sentry-cli in a repository, as a step of CI calls it.
struct Cli<'a> {
    program: PathBuf,
    base_url: &'a str,
    token: &'a str,
    directory: &'a Path,
}

impl Cli<'_> {
    async fn output(&self, line: &str) -> Output {
        Command::new(&self.program)
            .args(line.split(' '))
            .current_dir(self.directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("a path"))
            .env("HOME", self.directory)
            .env("SENTRY_URL", self.base_url)
            .env("SENTRY_AUTH_TOKEN", self.token)
            .envs([("SENTRY_ORG", "acme"), ("SENTRY_PROJECT", "web")])
            .env("NO_COLOR", "1")
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

#[tokio::test]
async fn both_versions_of_sentry_cli_drive_a_release_from_its_beginning_to_its_end() {
    let programs = install().await;
    for version in VERSIONS {
        let world = World::start().await;
        let ana = world.ready.auth_token.clone().expect("a token");
        let repository = Repository::new(version).await;
        let cli = Cli {
            program: programs.join(format!("node_modules/sentry-cli-{version}/bin/sentry-cli")),
            base_url: &world.ready.base_url,
            token: &ana,
            directory: &repository.directory.0,
        };
        let name = "web@1.0+5 ü";
        let [newest, middle, oldest] = repository.shas.as_slice() else {
            panic!("three commits")
        };
        let _ = (name, middle);
        for line in [
            "info",
            "organizations list",
            "projects list",
            "repos list",
            "releases propose-version",
            "releases new web@1.0",
            "releases set-commits web@1.0 --local",
            "releases info web@1.0 -C -P",
            "releases set-commits web@1.0 --clear",
            "releases set-commits web@1.0 --commit acme/web@HEAD~2..HEAD",
            "releases set-commits web@1.0 --auto",
            "releases finalize web@1.0",
            "releases list",
            "releases archive web@1.0",
            "releases list",
            "releases restore web@1.0",
            "releases new web@1.1",
            "releases set-commits web@1.1 --local",
            "deploys new --release web@1.0 -e production -n blue",
            "deploys list --release web@1.0",
            "releases deploys web@1.0 list",
            "releases delete web@1.0",
            "releases info web@1.0",
        ] {
            let output = cli.output(line).await;
            println!("=== {version}: {line} -> {:?}", output.status.code());
            println!("{}", String::from_utf8_lossy(&output.stdout));
            println!("{}", String::from_utf8_lossy(&output.stderr));
            if line.contains("--local") {
                println!("{:?} {newest} {oldest}", shas(&world, "web@1.0").await);
            }
        }
        let _ = (token, path_of("1"), json!({}));
        world.finish().await;
    }
    panic!("look");
}
