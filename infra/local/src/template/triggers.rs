//! What makes a function run but requests: event source mappings and schedules.
//!
//! It exists to refuse what it does not understand, because a trigger that is skipped here would
//! hide a function that runs on AWS. It must not know how a trigger is carried out.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::emulated::MAY_NAME_A_FUNCTION;
use super::references::references;
use super::resources::{Resource, Resources, queue_name};
use super::source::{entries_of_list, keys, only_entry, present};
use super::types::{FUNCTION, MAPPING, QUEUE, RULE, TABLE};
use super::{QueueMapping, Schedule, StreamFilter, StreamMapping};

impl Resources<'_> {
    pub(super) fn mappings(&self) -> Result<(Vec<QueueMapping>, Vec<StreamMapping>)> {
        let (mut queues, mut streams) = (Vec::new(), Vec::new());
        for mapping in self.of(MAPPING) {
            let place = || self.place(&mapping.id);
            let source = mapping.get("EventSourceArn");
            if let Some(queue) = self.find(QUEUE, source) {
                queues.push(self.queue_mapping(mapping, queue).with_context(place)?);
            } else if is_table_stream(source, self) {
                streams.push(self.stream_mapping(mapping).with_context(place)?);
            } else {
                bail!(
                    "{}: an unknown event source {source}: neither one of the template's queues nor its table's stream",
                    place()
                );
            }
        }
        Ok((queues, streams))
    }

    fn queue_mapping(&self, mapping: &Resource, queue: &Resource) -> Result<QueueMapping> {
        Ok(QueueMapping {
            queue: queue_name(&queue.id),
            function: self.function_name(mapping.get("FunctionName"))?,
            batch_size: self.number(mapping.get("BatchSize"))?.unwrap_or(10),
            report_batch_item_failures: reports_item_failures(mapping),
            maximum_concurrency: self
                .number(&mapping.get("ScalingConfig")["MaximumConcurrency"])?,
        })
    }

    fn stream_mapping(&self, mapping: &Resource) -> Result<StreamMapping> {
        let retries = self.number(mapping.get("MaximumRetryAttempts"))?.context(
            "MaximumRetryAttempts is missing: one bad record would hold up its shard for a day",
        )?;
        let filters = entries_of_list(&mapping.get("FilterCriteria")["Filters"]);
        Ok(StreamMapping {
            function: self.function_name(mapping.get("FunctionName"))?,
            batch_size: self.number(mapping.get("BatchSize"))?.unwrap_or(100),
            maximum_attempts: retries + 1,
            filters: filters.map(read_filter).collect::<Result<_>>()?,
            report_batch_item_failures: reports_item_failures(mapping),
        })
    }

    pub(super) fn schedules(&self) -> Result<Vec<Schedule>> {
        let schedules: Vec<_> = self.each(RULE, |rule| self.rule(rule))?;
        Ok(schedules.into_iter().flatten().collect())
    }

    fn rule(&self, rule: &Resource) -> Result<Vec<Schedule>> {
        ensure!(
            rule.get("EventPattern").is_null(),
            "an unknown trigger: a rule with an EventPattern"
        );
        let every = read_rate(&self.required_text(rule, "ScheduleExpression")?)?;
        if self.text(rule.get("State"))?.as_deref() == Some("DISABLED") {
            return Ok(Vec::new());
        }
        let targets = rule.get("Targets").as_array().context("no Targets")?;
        let schedule = |target: &Value| {
            let function = self
                .function_name(&target["Arn"])
                .context("an unknown target")?;
            Ok(Schedule { function, every })
        };
        targets.iter().map(schedule).collect()
    }

    pub(super) fn check_triggers(&self) -> Result<()> {
        let functions: BTreeSet<_> = self.of(FUNCTION).map(|it| it.id.clone()).collect();
        for resource in self.existing() {
            if let Some(trouble) = unknown_trigger(resource, &functions) {
                bail!(
                    "{}: an unknown trigger: {trouble}",
                    self.place(&resource.id)
                );
            }
        }
        Ok(())
    }
}

fn unknown_trigger(resource: &Resource, functions: &BTreeSet<String>) -> Option<String> {
    if resource.kind == FUNCTION {
        let shorthand = ["Events", "FunctionUrlConfig"];
        let used = shorthand
            .into_iter()
            .find(|it| !resource.get(it).is_null())?;
        return Some(format!("SAM's {used}; write the resources out"));
    }
    if resource.kind.starts_with("AWS::Serverless::") || resource.kind == "AWS::Lambda::Function" {
        return Some(resource.kind.clone());
    }
    if MAY_NAME_A_FUNCTION.contains(&resource.kind.as_str()) {
        return None;
    }
    let named = references(&resource.whole);
    let function = named.intersection(functions).next()?;
    Some(format!("{} names function {function}", resource.kind))
}

fn is_table_stream(source: &Value, template: &Resources<'_>) -> bool {
    template.find(TABLE, source).is_some() && source["Fn::GetAtt"][1] == "StreamArn"
}

fn reports_item_failures(mapping: &Resource) -> bool {
    entries_of_list(mapping.get("FunctionResponseTypes")).any(|it| it == "ReportBatchItemFailures")
}

/// Reads what the relay's filter needs of the pattern language; the rest is refused and not ignored.
pub(super) fn read_filter(filter: &Value) -> Result<StreamFilter> {
    let text = filter["Pattern"]
        .as_str()
        .context("a filter has no Pattern")?;
    let pattern: Value = serde_json::from_str(text).context("a filter's Pattern is not JSON")?;
    let refuse = || format!("a filter is not understood: {text}");
    ensure!(
        keys(&pattern).all(|key| key == "eventName" || key == "dynamodb"),
        refuse()
    );
    let names = entries_of_list(&pattern["eventName"]);
    let event_names = names
        .map(|name| Some(name.as_str()?.to_owned()))
        .collect::<Option<_>>()
        .with_context(refuse)?;
    let key_prefix = present(&pattern["dynamodb"])
        .map(|part| read_key_prefix(part).with_context(refuse))
        .transpose()?;
    Ok(StreamFilter {
        event_names,
        key_prefix,
    })
}

/// `{"Keys":{"PK":{"S":[{"prefix":"OUT#"}]}}}` and nothing else.
fn read_key_prefix(dynamodb: &Value) -> Option<(String, String)> {
    let (attribute, condition) = only_entry(only_entry(dynamodb, Some("Keys"))?.1, None)?;
    let (_, matches) = only_entry(condition, Some("S"))?;
    let [one] = matches.as_array()?.as_slice() else {
        return None;
    };
    let (_, prefix) = only_entry(one, Some("prefix"))?;
    Some((attribute.to_owned(), prefix.as_str()?.to_owned()))
}

fn read_rate(expression: &str) -> Result<Duration> {
    let rate = || {
        let inside = expression.strip_prefix("rate(")?.strip_suffix(')')?;
        let (count, unit) = inside.split_once(' ')?;
        let seconds = match unit.trim_end_matches('s') {
            "minute" => 60,
            "hour" => 3_600,
            "day" => 86_400,
            _ => return None,
        };
        Some(Duration::from_secs(count.parse::<u64>().ok()? * seconds))
    };
    rate().with_context(|| format!("an unknown trigger: {expression} is not a rate"))
}
