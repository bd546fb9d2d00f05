//! How large a bootstrap is: as a file, and in the archive that is deployed.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, ensure};

/// Bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) binary: u64,
    pub(crate) zip: u64,
}

impl Sizes {
    /// Of the stripped binary at `path`, and of a deflated archive with nothing else in it.
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let archive = directory.path().join("bootstrap.zip");
        let status = Command::new("python3")
            .args(["-m", "zipfile", "-c"])
            .args([&archive, path])
            .status()
            .context("python3, which makes the archive")?;
        ensure!(status.success(), "the archive was not made: {status}");
        Ok(Self {
            binary: fs::metadata(path)?.len(),
            zip: fs::metadata(archive)?.len(),
        })
    }
}
