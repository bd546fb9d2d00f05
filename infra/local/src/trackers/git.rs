//! The commits that the simulated hosts of repositories show: those of a real git repository, as git on this
//! machine tells of them each time it is asked.
//!
//! git itself and no library: whoever works on this project has it, and it answers within milliseconds.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A repository on this machine.
#[derive(Clone, Debug)]
pub(super) struct Git(PathBuf);

/// A commit as git tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) sha: String,
    pub(super) author: String,
    pub(super) email: String,
    /// RFC 3339.
    pub(super) date: String,
    pub(super) message: String,
}

/// What happened to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// git's letter: A, M, D, R or T.
    pub(super) status: char,
    /// Where it was before, if it was moved.
    pub(super) before: Option<String>,
    pub(super) path: String,
}

impl Git {
    pub(super) fn new(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// Whether there is a repository, and git to read it.
    pub(super) fn is_readable(&self) -> bool {
        self.run(&["rev-parse", "--git-dir"]).is_some()
    }

    /// The URL of the remote `origin`.
    pub(super) fn origin(&self) -> Option<String> {
        let url = self.run(&["remote", "get-url", "origin"])?;
        Some(url.trim().to_owned())
    }

    /// Whether there is such a commit.
    pub(super) fn has(&self, commit: &str) -> bool {
        let commit = format!("{commit}^{{commit}}");
        self.run(&[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &commit,
        ])
        .is_some()
    }

    /// Whether some commit leads to both.
    pub(super) fn related(&self, one: &str, other: &str) -> bool {
        self.run(&["merge-base", "--end-of-options", one, other])
            .is_some()
    }

    /// The commits up to `end` that `start` has not, the newest first. `None`: one of them is not there.
    pub(super) fn log(&self, start: Option<&str>, end: &str, most: usize) -> Option<Vec<Commit>> {
        let most = format!("--max-count={most}");
        let range = match start {
            Some(start) if !self.has(start) => return None,
            Some(start) => format!("{start}..{end}"),
            None => end.to_owned(),
        };
        if !self.has(end) {
            return None;
        }
        let format = "--format=%H%x00%an%x00%ae%x00%aI%x00%B%x00%x1e";
        let text = self.run(&["log", &most, format, "--end-of-options", &range, "--"])?;
        let commits = text.split('\u{1e}').map(str::trim_start);
        let commits = commits.filter(|commit| !commit.is_empty());
        commits.map(read).collect()
    }

    /// What a commit changed against its first parent. `None`: it is not there.
    pub(super) fn changes(&self, commit: &str) -> Option<Vec<Change>> {
        let text = self.run(&[
            "diff-tree",
            "-r",
            "-m",
            "-M",
            "-z",
            "--root",
            "--first-parent",
            "--no-commit-id",
            "--name-status",
            "--end-of-options",
            commit,
        ])?;
        let mut parts = text.split('\0').filter(|part| !part.is_empty());
        let mut changes = Vec::new();
        while let Some(status) = parts.next().and_then(|status| status.chars().next()) {
            let first = parts.next()?.to_owned();
            let (before, path) = match status {
                'R' | 'C' => (Some(first), parts.next()?.to_owned()),
                _ => (None, first),
            };
            changes.push(Change {
                status,
                before,
                path,
            });
        }
        Some(changes)
    }

    fn run(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("git")
            .args(["-c", "safe.directory=*", "-c", "log.showSignature=false"])
            .args(arguments)
            .current_dir(&self.0)
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }
}

fn read(text: &str) -> Option<Commit> {
    let mut parts = text.split('\0').map(str::to_owned);
    Some(Commit {
        sha: parts.next()?,
        author: parts.next()?,
        email: parts.next()?,
        date: parts.next()?,
        message: parts.next()?.trim_end().to_owned(),
    })
}
