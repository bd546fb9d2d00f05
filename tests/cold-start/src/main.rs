//! Measures the cold start of every function's bootstrap beside a hello-world's, in one run and in
//! turns, and says whether the figures pass the gates. `./tests/cold-start/run` builds what it needs.

mod child;
mod events;
mod report;
mod runtime_api;
mod sizes;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Parser;
use local::{Stack, seed::seed};

use crate::{
    child::Process,
    events::{Events, Sample},
    report::{Cost, Line, Run},
    runtime_api::RuntimeApi,
    sizes::Sizes,
};

const HELLO: &str = "hello";

/// Cold starts of the bundle's functions beside a hello-world's.
#[derive(Debug, Parser)]
struct Options {
    /// Processes for each line of the table.
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// Warm invocations of each process, after its first.
    #[arg(long, default_value_t = 20)]
    warm: usize,
    /// Measure only this function, beside the hello-world.
    #[arg(long)]
    only: Option<String>,
    /// Where the bootstraps are.
    #[arg(long, default_value = "target/release")]
    bootstraps: PathBuf,
    /// End well even if a gate is missed.
    #[arg(long)]
    report_only: bool,
}

/// What is started for a line of the table.
#[derive(Debug)]
struct Subject {
    line: Line,
    binary: PathBuf,
    variables: BTreeMap<String, String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    ensure!(options.runs > 0 && options.warm > 0, "nothing to measure");
    let stack = Stack::start(&local::Options {
        cache: local::cache(),
        ..local::Options::default()
    })
    .await?;
    let ready = seed(&stack).await?;
    let mut subjects = subjects(&stack, &options)?;
    let mut events = Events::new(stack, ready);
    for round in 0..options.runs {
        eprintln!("round {} of {}", round + 1, options.runs);
        for subject in &mut subjects {
            let run = measure(subject, &mut events, options.warm).await;
            let run = run.with_context(|| format!("measuring {}", subject.line.function))?;
            subject.line.runs.push(run);
        }
    }
    let lines: Vec<_> = subjects.into_iter().map(|subject| subject.line).collect();
    let good = report::print(&lines) || options.report_only;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The hello-world, then every function of the template with each of its samples.
fn subjects(stack: &Arc<Stack>, options: &Options) -> anyhow::Result<Vec<Subject>> {
    let mut subjects = vec![subject(HELLO, Sample::Hello, BTreeMap::new(), options)?];
    for (function, variables) in stack.environments() {
        let samples = Sample::of(function)?;
        if options.only.as_ref().is_some_and(|only| only != function) {
            continue;
        }
        for sample in samples {
            subjects.push(subject(function, *sample, variables.clone(), options)?);
        }
    }
    Ok(subjects)
}

fn subject(
    function: &str,
    sample: Sample,
    variables: BTreeMap<String, String>,
    options: &Options,
) -> anyhow::Result<Subject> {
    let binary = options.bootstraps.join(function);
    let sizes = sizes(&binary).with_context(|| {
        format!(
            "{} is not built: use ./tests/cold-start/run",
            binary.display()
        )
    })?;
    Ok(Subject {
        line: Line {
            function: function.to_owned(),
            sample,
            sizes,
            runs: Vec::new(),
        },
        binary,
        variables,
    })
}

fn sizes(binary: &Path) -> anyhow::Result<Sizes> {
    ensure!(binary.exists(), "no such file");
    Sizes::of(binary)
}

/// One process from its start through its first invocation and the warm ones.
async fn measure(subject: &Subject, events: &mut Events, warm: usize) -> anyhow::Result<Run> {
    let bare = bare_start(subject).await?;
    let mut api = RuntimeApi::start().await?;
    let name = &subject.line.function;
    let process = Process::start(&subject.binary, name, &subject.variables, &api.address())?;
    let result = stages(&process, &mut api, subject.line.sample, events, warm).await;
    let resident = process.resident();
    let log = process.end().await?;
    let (start, first, warm) =
        result.with_context(|| format!("the process has written:\n{log}"))?;
    subject.line.sample.check_log(&log, 1 + warm.len())?;
    Ok(Run {
        bare,
        start,
        first,
        warm,
        resident: resident?,
    })
}

/// The CPU time of a start that leaves the connections to the first invocation.
async fn bare_start(subject: &Subject) -> anyhow::Result<Duration> {
    let mut api = RuntimeApi::start().await?;
    let name = &subject.line.function;
    let mut variables = subject.variables.clone();
    variables.insert("CONNECT_IN_INIT".into(), "off".into());
    let process = Process::start(&subject.binary, name, &variables, &api.address())?;
    let asked = api.asked().await;
    let cpu = process.cpu_at_rest().await;
    process.end().await?;
    asked?;
    cpu
}

type Stages = (Cost, Cost, Vec<Cost>);

async fn stages(
    process: &Process,
    api: &mut RuntimeApi,
    sample: Sample,
    events: &mut Events,
    warm: usize,
) -> anyhow::Result<Stages> {
    let wall = api.asked().await? - process.started();
    let mut before = process.cpu_at_rest().await?;
    let start = Cost { wall, cpu: before };
    let mut costs = Vec::new();
    for _ in 0..=warm {
        let event = events.next(sample).await?;
        let (answer, wall) = api.invoke(event).await?;
        sample.check(&answer)?;
        // The invocation ends where the process asks for the next one.
        api.asked().await?;
        let after = process.cpu_at_rest().await?;
        let cpu = after - before;
        costs.push(Cost { wall, cpu });
        before = after;
    }
    let first = costs.remove(0);
    Ok((start, first, costs))
}
