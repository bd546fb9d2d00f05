//! Logs as JSON lines, metrics as lines among them, and a panic as one line too.

use std::fmt;

use tracing::{Event, Level, Metadata, Subscriber, field::Field};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, filter_fn},
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::{JsonFields, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
};

/// Metric lines travel as events of this target, so that they take the same way out as logs.
const METRIC: &str = "picket::metric";

/// Where lines go.
pub trait LogWriter: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static {}
impl<T: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static> LogWriter for T {}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, with `spans` from the message's or request's inwards; and metrics.
    Json,
    /// For people at a terminal; without metrics.
    Plain,
}

/// Installs the subscriber and the panic hook of this process. Only the first call counts.
pub fn init(level: LevelFilter, format: Format, writer: impl LogWriter) {
    // What an SDK says of an answer that it retries, or that we expect, is not news.
    let not_metric = filter_fn(|meta: &Metadata<'_>| {
        meta.target() != METRIC
            && !(meta.target().starts_with("aws_") && *meta.level() < Level::DEBUG)
    });
    let subscriber = Registry::default().with(level);
    let result = match format {
        Format::Json => {
            let lines = tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(true)
                .with_writer(writer.clone())
                .with_filter(not_metric);
            let metrics = tracing_subscriber::fmt::layer()
                .event_format(MetricLine)
                .fmt_fields(JsonFields::new())
                .with_writer(writer)
                .with_filter(filter_fn(|meta| meta.target() == METRIC));
            tracing::subscriber::set_global_default(subscriber.with(lines).with(metrics))
        }
        Format::Plain => {
            let lines = tracing_subscriber::fmt::layer()
                .compact()
                .with_ansi(false)
                .with_target(false)
                .with_writer(writer)
                .with_filter(not_metric)
                .with_filter(filter_fn(|meta| !meta.target().starts_with("dynoxide")));
            tracing::subscriber::set_global_default(subscriber.with(lines))
        }
    };
    if result.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let text = panic.payload_as_str().unwrap_or("no text");
            let place = panic
                .location()
                .map(ToString::to_string)
                .unwrap_or_default();
            tracing::error!(panic.place = place, "panicked: {text}");
        }));
    }
}

pub(crate) fn write_metric(line: &str) {
    tracing::event!(target: METRIC, Level::ERROR, line = format_args!("{line}"));
}

/// Writes the one field of a metric event as it is.
struct MetricLine;

impl<S, N> FormatEvent<S, N> for MetricLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut result = Ok(());
        event.record(&mut |field: &Field, value: &dyn fmt::Debug| {
            if field.name() == "line" {
                result = writeln!(writer, "{value:?}");
            }
        });
        result
    }
}
