//! Values of parameters that somebody gives: refused as CloudFormation would, and where they change nothing here.
//!
//! It exists because a slip would otherwise be a stack that runs with something else than was meant. It must not
//! know what a parameter is good for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use regex_lite::Regex;
use serde_json::Value;

use super::Template;

impl Template {
    /// Whether these values may be given.
    ///
    /// # Errors
    /// Names the parameter, and what is wrong with its value.
    pub fn check_parameters(&self, given: &BTreeMap<String, String>) -> Result<()> {
        let used = self.used_parameters()?;
        for (name, value) in given {
            let Some(parameter) = self.scope.parameters.get(name) else {
                let known: Vec<_> = used.iter().map(String::as_str).collect();
                bail!(
                    "infra/template.yaml has no parameter {name}; of use here are {}",
                    known.join(", ")
                );
            };
            check(parameter, value).with_context(|| format!("the parameter {name}"))?;
            ensure!(
                used.contains(name),
                "the parameter {name} says nothing to the functions and changes nothing on one machine"
            );
        }
        Ok(())
    }

    /// Those that reach the functions.
    fn used_parameters(&self) -> Result<BTreeSet<String>> {
        let used = RefCell::new(BTreeSet::new());
        // A condition may hide one parameter behind another one's value.
        for value in ["", "value"] {
            let lookup = |id: &str, attribute: Option<&str>| {
                if attribute.is_none() && self.scope.parameters.contains_key(id) {
                    used.borrow_mut().insert(id.to_owned());
                }
                Some(value.to_owned())
            };
            for function in &self.functions {
                super::resolve_environment(self, function, &lookup)?;
            }
        }
        Ok(used.into_inner())
    }
}

fn check(parameter: &Value, value: &str) -> Result<()> {
    if parameter["Type"] == "Number" {
        let number: Option<f64> = value.parse().ok();
        let number = number.filter(|number| number.is_finite());
        let number = number.with_context(|| format!("\"{value}\" is not a number"))?;
        // CloudFormation would take others, and then no function that is told of it would start.
        ensure!(number.fract() == 0.0, "{value} is not a whole number");
        if let Some(least) = parameter["MinValue"].as_f64() {
            ensure!(number >= least, "{value} is less than {least}");
        }
        if let Some(most) = parameter["MaxValue"].as_f64() {
            ensure!(number <= most, "{value} is more than {most}");
        }
    }
    if let Some(allowed) = parameter["AllowedValues"].as_array() {
        let allowed: Vec<_> = allowed.iter().map(text).collect();
        ensure!(
            allowed.iter().any(|it| it == value),
            "\"{value}\" is none of {}",
            allowed.join(", ")
        );
    }
    if let Some(pattern) = parameter["AllowedPattern"].as_str() {
        let whole = Regex::new(&format!("^(?:{pattern})$")).context("its AllowedPattern")?;
        ensure!(
            whole.is_match(value),
            "\"{value}\" does not match {pattern}"
        );
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../../template.yaml");

    fn refused(name: &str, value: &str) -> Option<String> {
        let template = Template::parse(TEMPLATE).unwrap();
        let given = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let result = template.check_parameters(&given);
        result.err().map(|error| format!("{error:#}"))
    }

    #[test]
    fn a_value_that_cloudformation_takes_is_taken() {
        for (name, value) in [
            ("TrackerTimeoutSeconds", "9"),
            ("DeletionDelayHours", "2160"),
            ("SnowflakeRegionId", "0"),
            ("MailFrom", "picket@acme.example"),
            ("MailFrom", ""),
            ("MailSubjectPrefix", "[Acme & Co]"),
            ("MailEnableReplies", "true"),
            ("PublicUrl", "https://picket.example"),
            ("IngestUrl", ""),
            ("InternalProject", "web"),
            ("TrackerHosts", "jira.local:8080"),
            ("VstsClientSecret", "s"),
            ("LogLevel", "debug"),
        ] {
            assert_eq!(refused(name, value), None, "{name}={value}");
        }
    }

    #[test]
    fn any_other_value_is_refused_with_what_is_wrong() {
        for (name, value, says) in [
            (
                "TrackerTimeout",
                "9",
                "no parameter TrackerTimeout; of use here are DeletionDelay",
            ),
            (
                "TrackerTimeoutSeconds",
                "soon",
                "TrackerTimeoutSeconds: \"soon\" is not a number",
            ),
            ("TrackerTimeoutSeconds", "NaN", "not a number"),
            ("TrackerTimeoutSeconds", "1.5", "1.5 is not a whole number"),
            ("TrackerTimeoutSeconds", "", "not a number"),
            ("TrackerTimeoutSeconds", "0", "0 is less than 1"),
            ("TrackerTimeoutSeconds", "26", "26 is more than 25"),
            ("MailEnableReplies", "yes", "\"yes\" is none of false, true"),
            ("LogLevel", "loud", "none of error, warn"),
            ("MailFrom", "Ana <ana@acme.example>", "does not match"),
            ("MailSubjectPrefix", "\u{fc}", "does not match"),
            ("MailListNamespace", "acme.example\n", "does not match"),
            ("LogRetentionDays", "30", "changes nothing on one machine"),
            ("MaximumConcurrency", "5", "changes nothing on one machine"),
        ] {
            let error = refused(name, value).unwrap_or_default();
            assert!(error.contains(says), "{name}={value}: {error}");
        }
    }
}
