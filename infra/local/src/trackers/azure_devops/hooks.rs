//! Service hooks: what Azure DevOps posts to the front after a change, kept until the front has taken it. It
//! must not know how they get there.

use runtime::Clock;
use serde_json::{Value, json};

use super::{ACCOUNT, Item, PROJECT, identity};
use crate::trackers::people::Person;

/// Azure DevOps gives up as well.
const MOST_TRIES: u32 = 8;

const SUBSCRIPTION: &str = "9f00c2a4-6f0e-4b0c-8d0b-1b8f6a7f2c11";

/// A change of a work item.
pub(super) struct Change {
    pub(super) id: u64,
    pub(super) before: Item,
    pub(super) after: Item,
}

/// A delivery that the front has not taken yet.
#[derive(Clone, Debug)]
pub(in crate::trackers) struct Hook {
    number: u64,
    tries: u32,
    pub(in crate::trackers) shared_secret: String,
    pub(in crate::trackers) body: Value,
}

/// The subscription of the bundle, and the deliveries that wait, the oldest first.
#[derive(Debug, Default)]
pub(in crate::trackers) struct Hooks {
    subscription: Option<Subscription>,
    waiting: Vec<Hook>,
    made: u64,
}

#[derive(Debug)]
struct Subscription {
    collection: String,
    shared_secret: String,
}

impl Hooks {
    /// From now on changes are posted.
    pub(in crate::trackers) fn subscribe(&mut self, collection: &str, shared_secret: &str) {
        self.subscription = Some(Subscription {
            collection: collection.to_owned(),
            shared_secret: shared_secret.to_owned(),
        });
    }

    pub(super) fn add(&mut self, change: &Change, clock: &Clock) {
        let Some(subscription) = &self.subscription else {
            return;
        };
        self.made += 1;
        let hook = Hook {
            number: self.made,
            tries: 0,
            shared_secret: subscription.shared_secret.clone(),
            body: body(self.made, &subscription.collection, change, clock),
        };
        self.waiting.push(hook);
    }

    pub(in crate::trackers) fn waiting(&self) -> &[Hook] {
        &self.waiting
    }

    /// The front has taken it.
    pub(in crate::trackers) fn taken(&mut self, hook: &Hook) {
        self.waiting.retain(|known| known.number != hook.number);
    }

    /// The front has not taken it: it waits for the next try, unless there were enough.
    pub(in crate::trackers) fn refused(&mut self, hook: &Hook) {
        for known in &mut self.waiting {
            if known.number == hook.number {
                known.tries += 1;
            }
        }
        self.waiting.retain(|known| known.tries < MOST_TRIES);
    }
}

/// The event in version 1.0 of the resource.
fn body(number: u64, collection: &str, change: &Change, clock: &Clock) -> Value {
    let Change { id, before, after } = change;
    let label = |person: Option<&Person>| person.map(Person::labelled);
    let changed_by = label(Some(after.changed_by));
    let mut fields = json!({
        "System.Rev": { "oldValue": before.revision, "newValue": after.revision },
    });
    if before.assignee != after.assignee {
        let (before, after) = (label(before.assignee), label(after.assignee));
        fields["System.AssignedTo"] = difference(before, after);
    }
    if before.state != after.state {
        let [before, after] = [before, after].map(|item| Some(item.state.to_owned()));
        fields["System.State"] = difference(before, after);
    }
    if before.changed_by != after.changed_by {
        fields["System.ChangedBy"] = difference(label(Some(before.changed_by)), changed_by.clone());
    }
    let mut current = json!({ "System.State": after.state, "System.ChangedBy": changed_by });
    if let Some(person) = after.assignee {
        current["System.AssignedTo"] = person.labelled().into();
    }
    let mut revised_by = identity(after.changed_by);
    revised_by["name"] = after.changed_by.labelled().into();
    let url = format!("https://dev.azure.com/{ACCOUNT}/_apis/wit/workItems/{id}");
    json!({
        "id": format!("{:032x}", rand::random::<u128>()),
        "subscriptionId": SUBSCRIPTION,
        "notificationId": number,
        "eventType": "workitem.updated",
        "publisherId": "tfs",
        "resource": {
            // Of the update, not of the work item.
            "id": after.revision,
            "workItemId": id,
            "rev": after.revision,
            "revisedBy": revised_by,
            "fields": fields,
            "url": format!("{url}/updates/{}", after.revision),
            "revision": { "id": id, "rev": after.revision, "fields": current, "url": url },
        },
        "resourceVersion": "1.0",
        "resourceContainers": {
            "collection": { "id": collection },
            "account": { "id": collection },
            "project": { "id": PROJECT.0 },
        },
        "createdDate": clock.now().to_string(),
    })
}

/// A side that is nobody is left out.
fn difference(old: Option<String>, new: Option<String>) -> Value {
    let sides = [("oldValue", old), ("newValue", new)];
    let sides = sides
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
    Value::Object(sides.collect())
}
