//! Git repositories of a test's own.

use std::{
    path::{Path, PathBuf},
    process,
};

use tokio::process::Command;

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

/// A git repository, at first with three commits.
pub(crate) struct Repository {
    directory: Directory,
    /// Of the commits, the newest first.
    pub(crate) shas: Vec<String>,
}

impl Repository {
    pub(crate) async fn new(name: &str) -> Self {
        let mut repository = Self::empty(name).await;
        for n in 1..=3 {
            repository.commit(n).await;
        }
        repository
    }

    /// One without a commit.
    pub(crate) async fn empty(name: &str) -> Self {
        let repository = Self {
            directory: Directory::new(name),
            shas: Vec::new(),
        };
        repository.git(&["init", "--quiet"], 0).await;
        let url = "https://github.com/acme/web.git";
        repository.git(&["remote", "add", "origin", url], 0).await;
        repository
    }

    /// Adds a file and commits it, to the branch that is checked out.
    pub(crate) async fn commit(&mut self, n: usize) {
        let file = self.directory.0.join(format!("{n}.txt"));
        std::fs::write(file, "text").expect("the repository");
        self.git(&["add", "."], n).await;
        let message = format!("commit {n}");
        self.git(&["commit", "--quiet", "--message", &message], n)
            .await;
        let sha = self.git(&["rev-parse", "HEAD"], n).await;
        self.shas.insert(0, sha);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.directory.0
    }

    pub(crate) async fn git(&self, arguments: &[&str], minute: usize) -> String {
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

    /// Makes commits as a stream of `git fast-import` says: many at once.
    pub(crate) async fn import(&self, script: &str) {
        let file = self.directory.0.join(".git/script");
        std::fs::write(&file, script).expect("the repository");
        let output = Command::new("git")
            .args(["fast-import", "--quiet"])
            .current_dir(&self.directory.0)
            .stdin(std::fs::File::open(&file).expect("the script"))
            .output()
            .await
            .expect("git");
        assert!(output.status.success(), "{output:?}");
    }
}
