//! The service hook `workitem.updated`.
//!
//! The body is read twice: first only as far as says whose it is, because nothing else of it may be
//! believed before the shared secret is checked; then for the facts.

use domain::{AssigneeChange, Email, ExternalKey, Reason, StatusChange};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

const WORK_ITEM_UPDATED: &str = "workitem.updated";

/// Longer texts are no state and no project of Azure's, and do not belong in a message.
const MAX_TEXT: usize = 256;

/// What a delivery says before its secret is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// A kind of event that changes nothing here; it is accepted unseen.
    OtherEvent,
    /// A change of a work item, from this collection.
    WorkItemUpdated {
        /// The id of the collection, which is the integration's external id.
        collection: String,
        /// The subscription that sent it.
        subscription: Option<String>,
    },
}

/// What a verified delivery says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkItemUpdate {
    /// The work item; `None` where the delivery names none.
    pub work_item: Option<ExternalKey>,
    /// Its revision.
    pub revision: Option<u64>,
    /// Who changed it, where the delivery shows an address.
    pub author: Option<Email>,
    /// What it says about the assignee; `None`: nothing.
    pub assignee: Option<AssigneeChange>,
    /// What it says about the state, or why that cannot be told. `Ok(None)`: nothing.
    pub status: Result<Option<StatusChange>, Reason>,
}

/// The body is not a service hook's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Deeper nesting is nothing that Azure sends.
const MAX_DEPTH: usize = 64;

/// Reads whose delivery this is. [`Malformed`]: not JSON, nested too deep, or without event type or
/// collection.
pub fn claim(body: &[u8]) -> Result<Claim, Malformed> {
    if depth(body) > MAX_DEPTH {
        return Err(Malformed);
    }
    let head: Head = serde_json::from_slice(body).map_err(|_| Malformed)?;
    if head.event_type.is_empty() || head.resource_containers.collection.id.is_empty() {
        return Err(Malformed);
    }
    if head.event_type != WORK_ITEM_UPDATED {
        return Ok(Claim::OtherEvent);
    }
    Ok(Claim::WorkItemUpdated {
        collection: head.resource_containers.collection.id,
        subscription: head.subscription_id,
    })
}

/// Reads the facts. Whatever is absent or of an unexpected shape says nothing; it is no error, since
/// the sender would stop sending.
pub fn work_item_update(body: &[u8]) -> Result<WorkItemUpdate, Malformed> {
    let body: Body = serde_json::from_slice(body).map_err(|_| Malformed)?;
    let project = body.resource_containers.project.map(|project| project.id);
    let resource = body.resource.unwrap_or_default();
    let fields = resource.fields.unwrap_or_default();
    Ok(WorkItemUpdate {
        work_item: work_item(&resource.work_item_id),
        revision: resource.rev.as_u64(),
        author: author(&resource.revised_by),
        assignee: fields.assigned_to.and_then(|change| assignee(&change)),
        status: fields
            .state
            .map_or(Ok(None), |change| status(&change, project)),
    })
}

/// How deep brackets nest outside of strings. Parts that nothing reads are skipped at any depth, so the
/// parser's own limit does not count them.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    event_type: String,
    #[serde(default)]
    subscription_id: Option<String>,
    resource_containers: HeadContainers,
}

#[derive(Deserialize)]
struct HeadContainers {
    collection: Container,
}

#[derive(Deserialize)]
struct Container {
    #[serde(deserialize_with = "string_form")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default, deserialize_with = "lenient")]
    resource: Option<Resource>,
    resource_containers: Containers,
}

#[derive(Deserialize)]
struct Containers {
    #[serde(default, deserialize_with = "lenient")]
    project: Option<Container>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Resource {
    work_item_id: Value,
    rev: Value,
    revised_by: Value,
    #[serde(deserialize_with = "lenient")]
    fields: Option<Fields>,
}

#[derive(Default, Deserialize)]
struct Fields {
    #[serde(rename = "System.AssignedTo", default, deserialize_with = "lenient")]
    assigned_to: Option<Change>,
    #[serde(rename = "System.State", default, deserialize_with = "lenient")]
    state: Option<Change>,
}

/// A change object. A key that is there with null is not the same as an absent one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    #[serde(default, deserialize_with = "present")]
    old_value: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    new_value: Option<Value>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A part of an unexpected shape counts as absent.
fn lenient<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: for<'a> Deserialize<'a>,
    D: Deserializer<'de>,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// Ids come as strings or numbers and are compared as strings.
fn string_form<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Number(Number),
    }
    Ok(match Id::deserialize(deserializer)? {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
    })
}

fn work_item(id: &Value) -> Option<ExternalKey> {
    match id {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn assignee(change: &Change) -> Option<AssigneeChange> {
    match &change.new_value {
        None | Some(Value::Null) => {
            // An empty change object says nothing; one with only an old value says "nobody".
            let says_something = change.old_value.is_some() || change.new_value.is_some();
            says_something.then_some(AssigneeChange::Unassigned)
        }
        Some(value) => {
            let assigned = address(value).map(AssigneeChange::Assigned);
            Some(assigned.unwrap_or(AssigneeChange::Unreadable))
        }
    }
}

/// An identity object, with the address in `uniqueName` or, in older versions, in the name.
fn author(revised_by: &Value) -> Option<Email> {
    address(revised_by).or_else(|| address(revised_by.get("name")?))
}

/// `Name <address>` in version 1.0 of the resource, an identity object in later ones.
pub(super) fn address(value: &Value) -> Option<Email> {
    match value {
        Value::String(text) => {
            let (_, rest) = text.split_once('<')?;
            rest.rsplit_once('>')?.0.parse().ok()
        }
        Value::Object(identity) => {
            let names = ["uniqueName", "mailAddress"];
            let mut texts = names
                .iter()
                .filter_map(|name| identity.get(*name)?.as_str());
            texts.find_map(|text| text.parse().ok())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

fn status(change: &Change, project: Option<String>) -> Result<Option<StatusChange>, Reason> {
    if change.new_value.is_none() && change.old_value.is_none() {
        return Ok(None);
    }
    let new_state = change
        .new_value
        .as_ref()
        .and_then(state)
        .ok_or(Reason::StatusUnreadable)?;
    let project = project.filter(|id| id.len() <= MAX_TEXT);
    let old_state = change.old_value.as_ref().and_then(state);
    Ok(Some(StatusChange {
        old_state,
        new_state,
        project,
    }))
}

fn state(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    (!text.is_empty() && text.len() <= MAX_TEXT).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn update(resource: Value) -> WorkItemUpdate {
        let body = json!({
            "eventType": "workitem.updated",
            "resource": resource,
            "resourceContainers": { "collection": { "id": "acc-1" }, "project": { "id": "prj-9" } },
        });
        work_item_update(&serde_json::to_vec(&body).unwrap()).unwrap()
    }

    fn assigned_to(change: Value) -> Option<AssigneeChange> {
        update(json!({ "workItemId": 412, "fields": { "System.AssignedTo": change } })).assignee
    }

    fn to(address: &str) -> Option<AssigneeChange> {
        Some(AssigneeChange::Assigned(address.parse().unwrap()))
    }

    #[test]
    fn a_body_without_event_type_or_collection_is_malformed() {
        for body in [
            "",
            "nonsense",
            "[]",
            "{}",
            r#"{"eventType":"workitem.updated"}"#,
            r#"{"eventType":"workitem.updated","resourceContainers":{"account":{"id":"a"}}}"#,
            r#"{"eventType":"workitem.updated","resourceContainers":{"collection":{"id":""}}}"#,
            r#"{"eventType":7,"resourceContainers":{"collection":{"id":"acc-1"}}}"#,
        ] {
            assert_eq!(claim(body.as_bytes()), Err(Malformed), "{body}");
        }
    }

    #[test]
    fn a_body_that_nests_too_deep_is_malformed_even_where_nothing_reads_it() {
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            let rest =
                r#""eventType":"x","s":"\"[[","resourceContainers":{"collection":{"id":"c"}}"#;
            claim(format!("{{{rest},\"deep\":{open}{close}}}").as_bytes())
        };
        assert_eq!(nested(63), Ok(Claim::OtherEvent));
        assert_eq!(nested(64), Err(Malformed));
    }

    #[test]
    fn only_the_collection_says_whose_delivery_it_is() {
        let body = json!({
            "eventType": "workitem.updated", "subscriptionId": "s-1",
            "resourceContainers": { "collection": { "id": 7 }, "account": { "id": "other" } },
        });
        let expected = Claim::WorkItemUpdated {
            collection: "7".into(),
            subscription: Some("s-1".into()),
        };
        assert_eq!(claim(body.to_string().as_bytes()), Ok(expected));
    }

    #[test]
    fn other_events_are_accepted_unseen() {
        let body =
            r#"{"eventType":"workitem.created","resourceContainers":{"collection":{"id":"x"}}}"#;
        assert_eq!(claim(body.as_bytes()), Ok(Claim::OtherEvent));
    }

    #[test]
    fn the_assignee_is_what_stands_between_the_outermost_brackets() {
        let new = |value: &str| assigned_to(json!({ "newValue": value }));
        assert_eq!(new("Bo Li <bo@acme.test>"), to("bo@acme.test"));
        assert_eq!(new("Bo Li <BO@Acme.Test>"), to("bo@acme.test"));
        for unreadable in [
            "Bo Li",
            "",
            "<>",
            "A <x> <bo@acme.test>",
            "A <Bo <bo@acme.test>>",
            "B <ACME\\bo>",
            "> bo@a.b <",
        ] {
            assert_eq!(
                new(unreadable),
                Some(AssigneeChange::Unreadable),
                "{unreadable}"
            );
        }
    }

    #[test]
    fn an_identity_object_gives_the_name_that_is_an_address() {
        let unique = json!({ "newValue": { "uniqueName": "bo@acme.test" } });
        assert_eq!(assigned_to(unique), to("bo@acme.test"));
        let mail =
            json!({ "newValue": { "uniqueName": "ACME\\bo", "mailAddress": "bo@acme.test" } });
        assert_eq!(assigned_to(mail), to("bo@acme.test"));
        let neither = json!({ "newValue": { "displayName": "Bo" } });
        assert_eq!(assigned_to(neither), Some(AssigneeChange::Unreadable));
    }

    #[test]
    fn an_absent_or_null_new_value_says_nobody_and_an_empty_change_says_nothing() {
        let nobody = Some(AssigneeChange::Unassigned);
        assert_eq!(
            assigned_to(json!({ "oldValue": "Bo Li <bo@acme.test>" })),
            nobody
        );
        assert_eq!(assigned_to(json!({ "newValue": null })), nobody);
        assert_eq!(assigned_to(json!({})), None);
        assert_eq!(assigned_to(json!(null)), None);
    }

    #[test]
    fn the_work_item_is_never_empty_and_never_the_id_of_the_update() {
        let key = |resource: Value| update(resource).work_item.map(|key| key.to_string());
        assert_eq!(
            key(json!({ "id": 7, "workItemId": 412 })),
            Some("412".into())
        );
        assert_eq!(key(json!({ "workItemId": "412" })), Some("412".into()));
        for none in [
            json!({ "id": 7 }),
            json!({ "workItemId": null }),
            json!({ "workItemId": "" }),
        ] {
            assert_eq!(key(none), None);
        }
    }

    #[test]
    fn the_state_is_read_beside_an_unreadable_assignee() {
        let update = update(json!({ "workItemId": 412, "rev": 9, "fields": {
            "System.AssignedTo": { "newValue": "Bo Li" },
            "System.State": { "oldValue": "Active", "newValue": "Resolved" },
        } }));
        assert_eq!(update.assignee, Some(AssigneeChange::Unreadable));
        assert_eq!(update.revision, Some(9));
        let expected = StatusChange {
            old_state: Some("Active".into()),
            new_state: "Resolved".into(),
            project: Some("prj-9".into()),
        };
        assert_eq!(update.status, Ok(Some(expected)));
    }

    #[test]
    fn a_state_change_that_does_not_say_the_new_state_is_unreadable() {
        let state = |change: Value| {
            update(json!({ "workItemId": 1, "fields": { "System.State": change } })).status
        };
        assert_eq!(
            state(json!({ "oldValue": "Active" })),
            Err(Reason::StatusUnreadable)
        );
        assert_eq!(
            state(json!({ "newValue": "x".repeat(257) })),
            Err(Reason::StatusUnreadable)
        );
        assert_eq!(state(json!({})), Ok(None));
    }

    #[test]
    fn a_resource_of_an_unexpected_shape_says_nothing() {
        for resource in [json!(null), json!([]), json!("x"), json!({ "fields": 7 })] {
            let update = update(resource);
            assert_eq!((update.assignee, update.status), (None, Ok(None)));
        }
    }
}
