//! What each function's role allows, as pairs of an action and a resource of the template.
//!
//! It exists so that one machine can hold functions to their roles. It must not know who calls what.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::references::references;
use super::resources::{Resource, Resources, kebab_case, queue_name};
use super::source::{entries_of_list, present};
use super::types::QUEUE;

impl Resources<'_> {
    pub(super) fn role(&self, function: &Resource) -> Result<BTreeSet<(String, String)>> {
        let mut role = BTreeSet::new();
        for policy in entries_of_list(function.get("Policies")) {
            ensure!(policy.is_object(), "{policy} is not a policy of its own");
            for statement in entries_of_list(&policy["Statement"]) {
                let allow = self.statement(statement);
                role.extend(allow.with_context(|| format!("a policy of {}", function.id))?);
            }
        }
        Ok(role)
    }

    fn statement(&self, statement: &Value) -> Result<Vec<(String, String)>> {
        ensure!(
            statement["Effect"] == "Allow",
            "only statements that allow are understood"
        );
        let mut allowed = Vec::new();
        for action in one_or_many(&statement["Action"]) {
            let action = action.as_str().context("an action is not a text")?;
            ensure!(!action.contains('*'), "{action} names no single action");
            for resource in one_or_many(&statement["Resource"]) {
                allowed.push((action.to_owned(), self.resource_name(resource)?));
            }
        }
        Ok(allowed)
    }

    /// The name, as queues and functions have it, of the one resource that an ARN is made of. An index is
    /// one besides its table.
    fn resource_name(&self, arn: &Value) -> Result<String> {
        let ids = references(arn);
        let ids: Vec<_> = ids.iter().filter(|id| !id.starts_with("AWS::")).collect();
        let [id] = ids[..] else {
            bail!("{arn} is not an ARN of one of the template's resources");
        };
        let index = arn
            .to_string()
            .split_once("/index/")
            .map(|(_, index)| index.trim_end_matches(['"', '}']).to_owned());
        Ok(match (self.find(QUEUE, arn), index) {
            (Some(_), _) => queue_name(id),
            (None, Some(index)) => format!("{}/index/{index}", kebab_case(id)),
            (None, None) => kebab_case(id),
        })
    }
}

fn one_or_many(value: &Value) -> Vec<&Value> {
    match value.as_array() {
        Some(many) => many.iter().collect(),
        None => present(value).into_iter().collect(),
    }
}
