//! The table: figures beside the hello-world's, and whether they pass the gates.

use std::time::Duration;

use crate::{events::Sample, sizes::Sizes};

/// CPU time until the function is ready, its connections opened, as a multiple of the hello-world's.
const CPU_RATIO: f64 = 1.5;
/// The first invocation as a multiple of a warm one.
const FIRST_RATIO: f64 = 3.0;
/// Bytes of binary, zip and memory.
const SIZES: [u64; 3] = [8_000_000, 3_500_000, 9_000_000];
/// The same for a function that calls trackers.
const SIZES_WITH_CLIENT: [u64; 3] = [11_000_000, 4_800_000, 11_000_000];

/// What one process showed.
#[derive(Debug)]
pub(crate) struct Run {
    /// The CPU time of a start that opens no connections.
    pub(crate) bare: Duration,
    pub(crate) start: Cost,
    pub(crate) first: Cost,
    pub(crate) warm: Vec<Cost>,
    pub(crate) resident: u64,
}

/// Time that passed and time that was computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// One line of the table: the runs of a function with one kind of event.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) function: String,
    pub(crate) sample: Sample,
    pub(crate) sizes: Sizes,
    pub(crate) runs: Vec<Run>,
}

/// Median and minimum, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Figure {
    median: f64,
    min: f64,
}

impl Line {
    fn bare(&self) -> Figure {
        figure(self.runs.iter().map(|run| run.bare))
    }

    fn start(&self, of: fn(&Cost) -> Duration) -> Figure {
        figure(self.runs.iter().map(|run| of(&run.start)))
    }

    fn first(&self, of: fn(&Cost) -> Duration) -> Figure {
        figure(self.runs.iter().map(|run| of(&run.first)))
    }

    fn warm(&self, of: fn(&Cost) -> Duration) -> Figure {
        figure(self.runs.iter().flat_map(|run| &run.warm).map(of))
    }

    fn resident(&self) -> u64 {
        self.runs.iter().map(|run| run.resident).max().unwrap_or(0)
    }

    /// The gates that the line misses, in words.
    fn missed(&self, hello: &Line) -> Vec<String> {
        if self.sample == Sample::Hello {
            return Vec::new();
        }
        let cpu = self.start(cpu).median / hello.start(cpu).median;
        let [binary, zip, resident] =
            match matches!(self.sample, Sample::OutboundSync | Sample::Fetch) {
                true => SIZES_WITH_CLIENT,
                false => SIZES,
            };
        let first = self.first(wall).median / self.warm(wall).median;
        let most = |what: &str, found: f64, gate: f64| {
            (found > gate).then(|| format!("{what} {found:.2} > {gate}"))
        };
        let bytes = |what, found: u64, gate: u64| most(what, megabytes(found), megabytes(gate));
        let all = [
            most("CPU ratio", cpu, CPU_RATIO),
            most("first / warm", first, FIRST_RATIO),
            bytes("MB of RSS", self.resident(), resident),
            bytes("MB of binary", self.sizes.binary, binary),
            bytes("MB of zip", self.sizes.zip, zip),
        ];
        all.into_iter().flatten().collect()
    }

    fn row(&self, hello: &Line) -> String {
        let (start, bare) = (self.start(cpu), self.bare());
        let base = hello.start(cpu);
        let verdict = match self.missed(hello) {
            missed if missed.is_empty() => "ok".to_owned(),
            missed => format!("**{}**", missed.join("; ")),
        };
        let first = |of| ratio(self.first(of), self.warm(of));
        format!(
            "| {} | {} | {} | {:.2} | {} | **{:.2}** | {} | {} | {} | {} | {} | {} | {} | {:.1} | {:.2} / {:.2} | {} |",
            self.function,
            self.sample.name(),
            milliseconds(bare),
            bare.median / hello.bare().median,
            milliseconds(start),
            start.median / base.median,
            milliseconds(self.start(wall)),
            milliseconds(self.first(wall)),
            milliseconds(self.warm(wall)),
            first(wall),
            milliseconds(self.first(cpu)),
            milliseconds(self.warm(cpu)),
            first(cpu),
            megabytes(self.resident()),
            megabytes(self.sizes.binary),
            megabytes(self.sizes.zip),
            verdict,
        )
    }
}

/// Prints the table; tells whether every line passes. The first line is the hello-world's.
pub(crate) fn print(lines: &[Line]) -> bool {
    let Some(hello) = lines.first() else {
        return true;
    };
    println!(
        "| function | event | bare start CPU, ms | x hello | start CPU, ms | x hello | start wall, ms | first wall, ms | warm wall, ms | first / warm | first CPU, ms | warm CPU, ms | first / warm CPU | RSS, MB | binary / zip, MB | gates |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for line in lines {
        println!("{}", line.row(hello));
    }
    lines.iter().all(|line| line.missed(hello).is_empty())
}

fn cpu(cost: &Cost) -> Duration {
    cost.cpu
}

fn wall(cost: &Cost) -> Duration {
    cost.wall
}

fn figure(durations: impl Iterator<Item = Duration>) -> Figure {
    let mut sorted: Vec<_> = durations.collect();
    sorted.sort();
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    Figure {
        median: at(sorted.len() / 2).as_secs_f64() * 1e6,
        min: at(0).as_secs_f64() * 1e6,
    }
}

fn milliseconds(figure: Figure) -> String {
    format!("{:.2} ({:.2})", figure.median / 1e3, figure.min / 1e3)
}

fn ratio(first: Figure, warm: Figure) -> String {
    format!("{:.2}", first.median / warm.median)
}

#[expect(clippy::cast_precision_loss, reason = "sizes of files and processes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
