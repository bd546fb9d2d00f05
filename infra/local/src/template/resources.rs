//! The resources of a template: finding them, reading their properties, and those that are things
//! of their own: functions, queues and the table.
//!
//! It exists so that a property is read in one way, whether it is written out, made by an intrinsic
//! function or a default of CloudFormation's. It must not know what triggers a function.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::intrinsics::Scope;
use super::references::{depends_on, references};
use super::source::{entries, first_present, intrinsic, keys, present, read_yaml};
use super::types::{FUNCTION, QUEUE, TABLE};
use super::{Function, Queue, Table};

pub(super) struct Resources<'a> {
    text: &'a str,
    /// What `Globals` says of every function.
    pub(super) globals: Value,
    all: Vec<Resource>,
    pub(super) scope: Scope,
}

pub(super) struct Resource {
    pub(super) id: String,
    pub(super) kind: String,
    /// False where the resource's condition does not hold with the parameters' defaults.
    exists: bool,
    pub(super) whole: Value,
}

impl Resource {
    pub(super) fn get(&self, property: &str) -> &Value {
        &self.whole["Properties"][property]
    }

    pub(super) fn properties(&self) -> impl Iterator<Item = &String> {
        keys(&self.whole["Properties"])
    }
}

impl<'a> Resources<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self> {
        let document = read_yaml(text)?;
        let scope = Scope {
            parameters: entries(&document["Parameters"]),
            conditions: entries(&document["Conditions"]),
        };
        let mut all = Vec::new();
        for (id, whole) in entries(&document["Resources"]) {
            all.push(read_resource(&scope, id, whole)?);
        }
        ensure!(!all.is_empty(), "the template has no Resources");
        Ok(Resources {
            text,
            globals: document["Globals"]["Function"].clone(),
            all,
            scope,
        })
    }

    /// A resource for a reader: its logical id and line.
    pub(super) fn place(&self, id: &str) -> String {
        let key = format!("  {id}:");
        match self.text.lines().position(|line| line.starts_with(&key)) {
            Some(index) => format!("{id} (line {})", index + 1),
            None => id.to_owned(),
        }
    }

    /// Those that exist.
    pub(super) fn existing(&self) -> impl Iterator<Item = &Resource> {
        self.all.iter().filter(|it| it.exists)
    }

    pub(super) fn of(&self, kind: &'static str) -> impl Iterator<Item = &Resource> {
        self.existing().filter(move |it| it.kind == kind)
    }

    pub(super) fn each<T>(
        &self,
        kind: &'static str,
        read: impl Fn(&Resource) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.of(kind)
            .map(|it| read(it).with_context(|| self.place(&it.id)))
            .collect()
    }

    /// The resource of this kind that a value refers to.
    pub(super) fn find(&self, kind: &'static str, value: &Value) -> Option<&Resource> {
        let ids = references(value);
        self.of(kind).find(|it| ids.contains(&it.id))
    }

    pub(super) fn function_name(&self, value: &Value) -> Result<String> {
        let function = self.find(FUNCTION, value);
        let function =
            function.with_context(|| format!("{value} is not one of the template's functions"))?;
        Ok(kebab_case(&function.id))
    }

    pub(super) fn text(&self, value: &Value) -> Result<Option<String>> {
        self.scope.evaluate(value, &|_, _| None)
    }

    pub(super) fn required_text(&self, resource: &Resource, property: &str) -> Result<String> {
        self.text(resource.get(property))
            .and_then(|text| text.context("has no value"))
            .with_context(|| property.to_owned())
    }

    pub(super) fn number(&self, value: &Value) -> Result<Option<u32>> {
        let Some(text) = self.text(value)? else {
            return Ok(None);
        };
        let number = text
            .parse()
            .with_context(|| format!("{text:?} is not a number"))?;
        Ok(Some(number))
    }

    fn seconds(&self, value: &Value, default: u32) -> Result<Duration> {
        let seconds = self.number(value)?.unwrap_or(default);
        Ok(Duration::from_secs(seconds.into()))
    }

    pub(super) fn check_references(&self) -> Result<()> {
        for resource in &self.all {
            let mut ids = references(&resource.whole);
            ids.extend(depends_on(&resource.whole["DependsOn"]));
            if let Some(id) = ids.iter().find(|id| !self.knows(id)) {
                let place = self.place(&resource.id);
                bail!("{place} refers to {id}, which the template does not have");
            }
        }
        Ok(())
    }

    fn knows(&self, id: &str) -> bool {
        let is_function = |id: &str| {
            let mut all = self.all.iter();
            all.any(|it| it.id == id && it.kind == FUNCTION)
        };
        id.starts_with("AWS::")
            || self.scope.parameters.contains_key(id)
            || self.all.iter().any(|it| it.id == id)
            // SAM makes a role for each function.
            || id.strip_suffix("Role").is_some_and(is_function)
    }

    pub(super) fn functions(&self) -> Result<Vec<Function>> {
        self.each(FUNCTION, |it| self.function(it))
    }

    fn function(&self, resource: &Resource) -> Result<Function> {
        let timeout = first_present(resource.get("Timeout"), &self.globals["Timeout"]);
        let mut environment = entries(&self.globals["Environment"]["Variables"]);
        environment.extend(entries(&resource.get("Environment")["Variables"]));
        Ok(Function {
            logical_id: resource.id.clone(),
            name: kebab_case(&resource.id),
            timeout: self.seconds(timeout, 3).context("Timeout")?,
            in_vpc: !first_present(resource.get("VpcConfig"), &self.globals["VpcConfig"]).is_null(),
            role: self.role(resource)?,
            environment,
        })
    }

    pub(super) fn queues(&self) -> Result<Vec<Queue>> {
        self.each(QUEUE, |it| self.queue(it))
    }

    fn queue(&self, resource: &Resource) -> Result<Queue> {
        let redrive = resource.get("RedrivePolicy");
        let target = present(&redrive["deadLetterTargetArn"]);
        let dead_letter_queue = target.map(|target| {
            let queue = self.find(QUEUE, target).map(|it| queue_name(&it.id));
            queue.with_context(|| format!("{target} is not one of the template's queues"))
        });
        Ok(Queue {
            logical_id: resource.id.clone(),
            name: queue_name(&resource.id),
            visibility_timeout: self.seconds(resource.get("VisibilityTimeout"), 30)?,
            max_receive_count: self.number(&redrive["maxReceiveCount"])?,
            dead_letter_queue: dead_letter_queue.transpose()?,
        })
    }

    pub(super) fn table(&self) -> Result<Table> {
        let tables: Vec<_> = self.of(TABLE).collect();
        let [table] = tables[..] else {
            bail!("the template has {} tables and not one", tables.len());
        };
        self.read_table(table)
            .with_context(|| self.place(&table.id))
    }

    fn read_table(&self, table: &Resource) -> Result<Table> {
        let mut request = Map::new();
        for field in [
            "AttributeDefinitions",
            "KeySchema",
            "BillingMode",
            "GlobalSecondaryIndexes",
            "LocalSecondaryIndexes",
            "ProvisionedThroughput",
        ] {
            if !table.get(field).is_null() {
                request.insert(field.to_owned(), self.plain(table.get(field))?);
            }
        }
        if let Some(view) = self.text(&table.get("StreamSpecification")["StreamViewType"])? {
            let stream = json!({ "StreamEnabled": true, "StreamViewType": view });
            request.insert("StreamSpecification".to_owned(), stream);
        }
        let ttl = table.get("TimeToLiveSpecification");
        let enabled = self.text(&ttl["Enabled"])?.as_deref() == Some("true");
        Ok(Table {
            logical_id: table.id.clone(),
            create_table: Value::Object(request),
            ttl_attribute: self.text(&ttl["AttributeName"])?.filter(|_| enabled),
        })
    }

    /// A value with everything in it resolved.
    fn plain(&self, value: &Value) -> Result<Value> {
        Ok(match value {
            Value::Array(items) => {
                let items: Result<_> = items.iter().map(|item| self.plain(item)).collect();
                Value::Array(items?)
            }
            Value::Object(_) if intrinsic(value).is_some() => self.text(value)?.into(),
            Value::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(key, field)| Ok((key.clone(), self.plain(field)?)));
                Value::Object(fields.collect::<Result<_>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        })
    }
}

fn read_resource(scope: &Scope, id: String, whole: Value) -> Result<Resource> {
    let condition = present(&whole["Condition"]).map(|name| {
        let condition = json!({ "Condition": name });
        let holds = scope.holds(&condition, &|_, _| None);
        holds.with_context(|| id.clone())
    });
    let exists = condition.transpose()?.unwrap_or(true);
    let kind = whole["Type"]
        .as_str()
        .with_context(|| format!("{id} has no Type"))?;
    Ok(Resource {
        kind: kind.to_owned(),
        id,
        exists,
        whole,
    })
}

pub(super) fn queue_name(logical_id: &str) -> String {
    let name = kebab_case(logical_id);
    name.strip_suffix("-queue").unwrap_or(&name).to_owned()
}

pub(super) fn kebab_case(pascal_case: &str) -> String {
    let mut kebab = String::new();
    for letter in pascal_case.chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}
