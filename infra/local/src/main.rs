//! `cargo local`: the whole bundle on this machine.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use hyper::Method;
use local::{
    Options, Stack, client, demo,
    dynamodb::Faults,
    seed::{Ready, seed, seed_origin},
    write_env_files,
};
use runtime::{Env, Format};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the whole bundle on this machine, with a seeded organization to try it on.
#[derive(Parser)]
#[command(name = "cargo local", bin_name = "cargo local")]
struct Arguments {
    /// The port on 127.0.0.1, 9000 unless said otherwise; for the stack, 0 picks a free one
    // Optional rather than with a default: clap would let the default of a subcommand win.
    #[arg(long, global = true)]
    port: Option<u16>,
    /// Keep the table in this directory; without it everything is gone at the end
    #[arg(long, value_name = "DIR", conflicts_with = "demo")]
    data: Option<PathBuf>,
    /// Write URLs, ids and secrets to this file, as JSON, once everything answers
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Write each function's environment to <function>.env in this directory, for `cargo lambda watch --env-file`
    #[arg(long, value_name = "DIR")]
    env_files: Option<PathBuf>,
    /// Another value of a parameter of infra/template.yaml; may be given several times
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// The git repository whose commits the simulated GitHub and Azure DevOps show; the project's own clone
    /// without it
    #[arg(long, value_name = "DIR")]
    repository: Option<PathBuf>,
    /// Start empty
    #[arg(long, conflicts_with = "demo")]
    no_seed: bool,
    /// Let this share (0 to 0.9) of reads be stale, transactions conflict, requests be throttled and SQS calls fail
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = rate)]
    faults: f64,
    /// Which faults: the same seed fails the same requests; new ids make new requests
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Play the flow step by step, then end; the exit status tells whether all of it held
    #[arg(long)]
    demo: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

const PORT: u16 = 9000;

#[derive(Subcommand)]
enum Command {
    /// Send a command to the running stack: '{"command":"help"}' lists them
    Operator {
        /// The command, as JSON; - reads it from standard input
        json: String,
    },
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("no =")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (0.0..=0.9).contains(&rate) {
        true => Ok(rate),
        false => Err("a rate from 0 to 0.9".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let env = Env::of_process();
    let of_the_template =
        |(name, level): &(String, String)| (name == "LogLevel").then(|| level.clone());
    let said = arguments.parameters.iter().find_map(of_the_template);
    let said = env.optional("LOG_LEVEL").or(said.as_deref());
    let level = said.unwrap_or(match arguments.demo {
        true => "warn",
        false => "info",
    });
    let Ok(level) = level.parse() else {
        eprintln!("error: LOG_LEVEL is error, warn, info, debug, trace or off");
        return ExitCode::FAILURE;
    };
    runtime::init_telemetry(level, Format::Plain, std::io::stderr);
    let result = match &arguments.command {
        Some(Command::Operator { json }) => operator(arguments.port.unwrap_or(PORT), json).await,
        None => stack(&arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn operator(port: u16, command: &str) -> anyhow::Result<()> {
    let command = match command {
        "-" => std::io::read_to_string(std::io::stdin())?,
        command => command.to_owned(),
    };
    let url = format!("http://127.0.0.1:{port}/2015-03-31/functions/operator/invocations");
    let answer = client::request(Method::POST, &url, &[], command).await;
    let answer = answer.with_context(|| {
        format!("no stack on port {port}; start one with `cargo local`, or say --port")
    })?;
    let body: Value = serde_json::from_slice(&answer.body).context("not an answer of operator")?;
    // Whoever reads may have read enough.
    let _ = writeln!(
        std::io::stdout(),
        "{}",
        serde_json::to_string_pretty(&body)?
    );
    if body.get("error").is_some() || answer.headers.contains_key("x-amz-function-error") {
        bail!("the command was not carried out");
    }
    Ok(())
}

async fn stack(arguments: &Arguments) -> anyhow::Result<()> {
    let faults = Faults {
        stale_reads: arguments.faults,
        conflicts: arguments.faults,
        throttled: arguments.faults,
        seed: arguments.seed,
    };
    let options = Options {
        port: arguments.port.unwrap_or(PORT),
        data: arguments.data.clone(),
        faults,
        sqs_failures: arguments.faults,
        cache: local::cache(),
        parameters: arguments.parameters.iter().cloned().collect(),
        repository: arguments.repository.clone(),
    };
    if let Some(file) = &arguments.ready_file {
        Ready::prepare(file)?;
    }
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let work = async {
        let stack = Stack::start(&options).await?;
        let running = stack.run();
        stack.dynamodb().set_quiet(true);
        let (ready, origin) = match arguments.no_seed {
            true => (Ready::of(&stack), None),
            false => {
                let ready = seed(&stack).await.context("the seed")?;
                (ready, seed_origin(&stack).await.context("the seed")?)
            }
        };
        stack.dynamodb().set_quiet(false);
        if let Some(directory) = &arguments.env_files {
            write_env_files(directory, stack.environments())?;
        }
        print_table(&stack, &ready, origin.as_deref());
        if let Some(file) = &arguments.ready_file {
            ready.write(file)?;
        }
        if arguments.demo {
            let newest = stack.trackers().newest_commit();
            return demo::play(&ready, newest.as_deref(), origin.as_deref()).await;
        }
        println!("Ctrl-C ends it.");
        std::future::pending::<()>().await;
        drop(running);
        Ok(())
    };
    let result = tokio::select! {
        result = work => result,
        _ = interrupted.recv() => Ok(()),
        _ = terminated.recv() => Ok(()),
    };
    // What it names is gone.
    match &arguments.ready_file {
        Some(file) => result.and(Ready::remove(file)),
        None => result,
    }
}

fn print_table(stack: &Stack, ready: &Ready, origin: Option<&str>) {
    println!("Picket runs at {}\n", ready.base_url);
    let rows = [
        ("API", Some(format!("{}/api/0/", ready.base_url))),
        ("Azure DevOps webhook", Some(ready.vsts_webhook_url.clone())),
        ("queues", Some(ready.queues_url.clone())),
        ("requests to trackers", ready.requests_url.clone()),
        ("mails", ready.mail_url.clone()),
        ("organization", ready.org.clone()),
        ("project", ready.project.clone()),
        ("token", ready.auth_token.clone()),
        ("webhook secret", ready.vsts_shared_secret.clone()),
        ("issue", ready.group_short_id.clone()),
    ];
    for (name, value) in rows {
        if let Some(value) = value {
            println!("  {name:<21}{value}");
        }
    }
    println!("\nNot emulated on one machine:");
    for line in stack.not_emulated() {
        println!("  - {line}");
    }
    println!("A failed message is back after 1 s; deployed, after its queue's time-out.");
    print_commands(stack, ready, origin);
}

fn print_commands(stack: &Stack, ready: &Ready, origin: Option<&str>) {
    let port = match ready.base_url.rsplit(':').next() {
        Some(port) if port != PORT.to_string() => format!(" --port {port}"),
        Some(_) | None => String::new(),
    };
    let operator = format!("cargo local operator{port} '{{\"command\":\"help\"}}'");
    let (Some(token), Some(secret)) = (&ready.auth_token, &ready.vsts_shared_secret) else {
        println!("\nSet it up:\n  {operator}\n");
        return;
    };
    let collection = ready.vsts_external_id.as_deref().unwrap_or_default();
    let group = ready.group_id.as_deref().unwrap_or_default();
    let email = ready
        .members
        .first()
        .map(|person| person.email.as_str())
        .unwrap_or_default();
    println!("\nAssign work item 31 at Azure DevOps:");
    println!(
        "  curl -i {} -H 'shared-secret: {secret}' -d '{{\"eventType\":\"workitem.updated\",\"resource\":{{\"workItemId\":31,\"rev\":1,\"fields\":{{\"System.AssignedTo\":{{\"newValue\":\"A <{email}>\"}}}}}},\"resourceContainers\":{{\"collection\":{{\"id\":\"{collection}\"}}}}}}'",
        ready.vsts_webhook_url
    );
    println!("See it on the issue:");
    println!(
        "  curl -s {}/api/0/issues/{group}/ -H 'Authorization: Bearer {token}'",
        ready.base_url
    );
    if let Some(newest) = stack.trackers().newest_commit() {
        println!("Name the newest commit of a release, and let the others be fetched:");
        println!(
            "  curl -s {}/api/0/organizations/acme/releases/ -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{{\"version\":\"web@1.0\",\"projects\":[\"web\"],\"refs\":[{{\"repository\":\"acme/web\",\"commit\":\"{newest}\"}}]}}'",
            ready.base_url
        );
        println!("The same with sentry-cli, in the clone whose commits these are:");
        println!(
            "  export SENTRY_URL={} SENTRY_ORG=acme SENTRY_PROJECT=web SENTRY_AUTH_TOKEN={token}",
            ready.base_url
        );
        if let (None, Some(url)) = (origin, &ready.repo_url) {
            println!("  git remote add picket {url} && export SENTRY_VCS_REMOTE=picket")
        }
        println!("  sentry-cli releases set-commits web@1.0 --auto");
    }
    println!("Set up more:\n  {operator}\n");
}
