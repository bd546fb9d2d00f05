//! A bootstrap as a process, and what the kernel says of it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Seek},
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

/// How often the process is looked at until it rests.
const LOOKS: u32 = 5_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// A started bootstrap. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: File,
    started: Instant,
    id: u32,
}

impl Process {
    /// Starts `binary` as Lambda would: nothing in its environment but `variables` and Lambda's own.
    pub(crate) fn start(
        binary: &Path,
        name: &str,
        variables: &BTreeMap<String, String>,
        runtime_api: &str,
    ) -> anyhow::Result<Self> {
        let log = tempfile::tempfile()?;
        let mut command = Command::new(binary);
        command
            .env_clear()
            .envs(variables)
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "cold-start")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("LAMBDA_TASK_ROOT", "/var/task")
            .env("_HANDLER", "bootstrap")
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .kill_on_drop(true);
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let id = child.id().context("the process has ended at once")?;
        Ok(Self {
            child,
            log,
            started,
            id,
        })
    }

    /// When the process was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The CPU time of all its threads since the start. It waits until they sleep, because the kernel does
    /// not count what a running thread has used since its last switch, and until two looks in a row see the
    /// same: now and then, one in some thousands, a time is counted late although the thread sleeps.
    pub(crate) async fn cpu_at_rest(&self) -> anyhow::Result<Duration> {
        let mut last = None;
        for _ in 0..LOOKS {
            sleep(BETWEEN_LOOKS).await;
            match self.cpu_if_resting()? {
                Some(cpu) if last == Some(cpu) => return Ok(cpu),
                cpu => last = cpu,
            }
        }
        bail!("the process does not come to rest")
    }

    fn cpu_if_resting(&self) -> anyhow::Result<Option<Duration>> {
        let mut sum = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id))? {
            let thread = thread?.path();
            // The state follows the name, which is in parentheses and may hold anything.
            let stat = fs::read_to_string(thread.join("stat"))?;
            let state = stat.rsplit(") ").next().unwrap_or_default();
            if !state.starts_with('S') {
                return Ok(None);
            }
            let times = fs::read_to_string(thread.join("schedstat"))?;
            let nanoseconds = times.split(' ').next().unwrap_or_default().parse()?;
            sum += Duration::from_nanos(nanoseconds);
        }
        Ok(Some(sum))
    }

    /// The resident memory in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes: u64 = line
            .and_then(|line| line.trim().strip_suffix("kB"))
            .context("no VmRSS")?
            .trim()
            .parse()?;
        Ok(kibibytes * 1024)
    }

    /// Ends the process and gives what it has written.
    pub(crate) async fn end(mut self) -> anyhow::Result<String> {
        self.child.kill().await?;
        let mut text = String::new();
        self.log.rewind()?;
        self.log.read_to_string(&mut text)?;
        Ok(text)
    }
}
