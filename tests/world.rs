//! The harness: a seeded stack whose messages move when the test says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
    thread,
};

use hyper::Method;
use local::{
    Options, Stack,
    client::{Answer, request},
    dynamodb::Faults,
    seed::{Ready, operator, seed},
    ses::Mail,
    sqs::Received,
};
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use crate::logs;

/// How many rounds of messages a world may need to come to rest. More is a loop.
const MOST_ROUNDS: usize = 300;
/// How often a command that met a fault is repeated: what a person would do.
const OPERATOR_TRIES: usize = 10;

/// What of the deliveries goes wrong.
const STALE_READS: f64 = 0.4;
const CONFLICTS: f64 = 0.2;

/// A seeded bundle. [`World::finish`] must be called at the end of the test.
pub struct World {
    /// The bundle.
    pub stack: Arc<Stack>,
    /// Its URLs, ids and secrets.
    pub ready: Ready,
    /// How often each message is handed to its function in a row.
    times: u32,
    /// What was handled, to be delivered again at the end.
    handled: Vec<(String, Received)>,
    /// How many messages each dead-letter queue may hold at the end.
    dead: BTreeMap<String, u64>,
    replay: bool,
    finished: bool,
}

/// A change object of the field `System.AssignedTo`.
pub fn assigned_to(email: &str) -> Value {
    json!({ "newValue": format!("Somebody <{email}>") })
}

impl World {
    /// Every message twice, stale reads, and transactions that conflict. The same test meets the same
    /// faults each time, as far as its ids are the same.
    pub async fn start() -> Self {
        Self::with(Self::faulty(), 2, true).await
    }

    fn faulty() -> Options {
        let mut hasher = DefaultHasher::new();
        thread::current().name().hash(&mut hasher);
        let seed = hasher.finish();
        let faults = Faults {
            stale_reads: STALE_READS,
            conflicts: CONFLICTS,
            seed,
            ..Faults::default()
        };
        Options {
            faults,
            ..Options::default()
        }
    }

    /// The same, where the simulated hosts show the commits of this git repository.
    pub async fn over(repository: &Path) -> Self {
        let options = Options {
            repository: Some(repository.to_owned()),
            ..Self::faulty()
        };
        Self::with(options, 2, true).await
    }

    /// Nothing goes wrong, every message comes once, and the simulated hosts show the commits of this git
    /// repository.
    pub async fn quiet_over(repository: &Path) -> Self {
        let options = Options {
            repository: Some(repository.to_owned()),
            ..Options::default()
        };
        Self::with(options, 1, false).await
    }

    /// Nothing goes wrong and every message comes once: for tests that count.
    pub async fn quiet() -> Self {
        Self::with(Options::default(), 1, false).await
    }

    /// The same, deployed with other values of the template's parameters than their defaults.
    pub async fn deployed_with(parameters: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let options = Options {
            parameters: parameters.iter().map(owned).collect(),
            ..Options::default()
        };
        Self::with(options, 1, false).await
    }

    /// Every message comes once, and the table has this trouble, until `set_quiet` of it ends that.
    pub async fn troubled(faults: Faults) -> Self {
        let options = Options {
            faults,
            ..Options::default()
        };
        Self::with(options, 1, false).await
    }

    async fn with(options: Options, times: u32, replay: bool) -> Self {
        logs::capture();
        let options = Options {
            cache: local::cache(),
            ..options
        };
        let stack = Stack::start(&options).await.expect("the stack starts");
        stack.dynamodb().set_quiet(true);
        let ready = seed(&stack).await.expect("the seed is made");
        stack.dynamodb().catch_up();
        stack.dynamodb().set_quiet(false);
        let (handled, dead) = (Vec::new(), BTreeMap::new());
        Self {
            stack,
            ready,
            times,
            handled,
            dead,
            replay,
            finished: false,
        }
    }

    /// The first seeded member's address.
    pub fn ana(&self) -> &str {
        &self.ready.members[0].email
    }

    /// The second seeded member's address.
    pub fn bo(&self) -> &str {
        &self.ready.members[1].email
    }

    /// The address of the person who is in the organization and in no team of the project.
    pub fn cy(&self) -> &str {
        &self
            .ready
            .outsider
            .as_ref()
            .expect("a seeded outsider")
            .email
    }

    /// A `workitem.updated` body about work item 31.
    pub fn work_item(&self, revision: u64, assigned_to: Value) -> Value {
        json!({
            "id": "2b1c", "notificationId": 41, "eventType": "workitem.updated",
            "resource": {
                "id": 7, "workItemId": 31, "rev": revision,
                "fields": { "System.AssignedTo": assigned_to },
            },
            "resourceContainers": {
                "collection": { "id": self.ready.vsts_external_id },
                "project": { "id": "prj-9" },
            },
        })
    }

    /// Posts a delivery with the right secret.
    pub async fn deliver(&self, body: &Value) -> Answer {
        let secret = self
            .ready
            .vsts_shared_secret
            .clone()
            .expect("a seeded secret");
        self.post(&[("Shared-Secret", &secret)], body.to_string())
            .await
    }

    /// Posts a body to the Azure DevOps webhook.
    pub async fn post(
        &self,
        headers: &[(&str, &str)],
        body: impl Into<hyper::body::Bytes>,
    ) -> Answer {
        let url = &self.ready.vsts_webhook_url;
        request(Method::POST, url, headers, body)
            .await
            .expect("the front answers")
    }

    /// Tells Azure DevOps' side of a change of work item 31, and expects it to be taken.
    pub async fn assign(&self, revision: u64, email: &str) {
        let answer = self
            .deliver(&self.work_item(revision, assigned_to(email)))
            .await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, ""));
    }

    /// The same for an unassignment: the change has only an old value.
    pub async fn unassign(&self, revision: u64) {
        let change = json!({ "oldValue": "Somebody <somebody@acme.example>" });
        let answer = self.deliver(&self.work_item(revision, change)).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, ""));
    }

    /// `GET` under the base URL, with the seeded token.
    pub async fn get(&self, path: &str) -> Answer {
        let token = self.ready.auth_token.clone().expect("a seeded token");
        self.get_as(&token, path).await
    }

    /// `GET` under the base URL, with this token.
    pub async fn get_as(&self, token: &str, path: &str) -> Answer {
        let url = format!("{}{path}", self.ready.base_url);
        let bearer = format!("Bearer {token}");
        let answer = request(Method::GET, &url, &[("authorization", &bearer)], "").await;
        answer.expect("the front answers")
    }

    /// `PUT` under the base URL, with the seeded token.
    pub async fn put(&self, path: &str, body: String) -> Answer {
        let token = self.ready.auth_token.clone().expect("a seeded token");
        self.put_as(&token, path, body).await
    }

    /// `PUT` under the base URL, with this token; again while it is told to come back.
    pub async fn put_as(&self, token: &str, path: &str, body: String) -> Answer {
        let url = format!("{}{path}", self.ready.base_url);
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        for _ in 0..OPERATOR_TRIES {
            let answer = request(Method::PUT, &url, &headers, body.clone()).await;
            let answer = answer.expect("the front answers");
            if answer.status.as_u16() != 503 {
                return answer;
            }
        }
        panic!("PUT {path} meets fault after fault");
    }

    /// A request under the base URL with this token, as it is answered the first time.
    pub async fn request_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let url = format!("{}{path}", self.ready.base_url);
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(body.map(|_| ("content-type", "application/json")));
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = request(method, &url, &headers, body).await;
        answer.expect("the front answers")
    }

    /// The same with the seeded token; again while it is told to come back.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let token = self.ready.auth_token.clone().expect("a seeded token");
        for _ in 0..OPERATOR_TRIES {
            let answer = self.request_as(&token, method.clone(), path, body).await;
            if answer.status.as_u16() != 503 {
                return answer;
            }
        }
        panic!("{method} {path} meets fault after fault");
    }

    /// `POST` under the base URL, with the seeded token; again while it is told to come back.
    pub async fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    /// `DELETE` under the base URL, with the seeded token.
    pub async fn delete(&self, path: &str, body: &str) -> Answer {
        let token = self.ready.auth_token.clone().expect("a seeded token");
        self.delete_as(&token, path, body).await
    }

    /// `DELETE` under the base URL, with this token; again while it is told to come back.
    pub async fn delete_as(&self, token: &str, path: &str, body: &str) -> Answer {
        let url = format!("{}{path}", self.ready.base_url);
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        for _ in 0..OPERATOR_TRIES {
            let answer = request(Method::DELETE, &url, &headers, body.to_owned()).await;
            let answer = answer.expect("the front answers");
            if answer.status.as_u16() != 503 {
                return answer;
            }
        }
        panic!("DELETE {path} meets fault after fault");
    }

    /// Puts items as they are, many at once: what would take too long to be made one by one, or what the
    /// bundle itself would never write.
    pub async fn put_items(&self, items: Vec<Value>) {
        let put = |item| json!({ "PutRequest": { "Item": item } });
        self.batch_write(items.into_iter().map(put).collect()).await;
    }

    /// Deletes items, behind the back of the bundle.
    pub async fn remove_items(&self, items: Vec<Value>) {
        let key = |item: Value| json!({ "PK": item["PK"], "SK": item["SK"] });
        let delete = |item| json!({ "DeleteRequest": { "Key": key(item) } });
        self.batch_write(items.into_iter().map(delete).collect())
            .await;
    }

    async fn batch_write(&self, writes: Vec<Value>) {
        let url = self.stack.dynamodb().endpoint();
        let signature = "AWS4-HMAC-SHA256 Credential=test/0/us-east-1/dynamodb/aws4_request, \
             SignedHeaders=host, Signature=0";
        let headers = [
            ("x-amz-target", "DynamoDB_20120810.BatchWriteItem"),
            ("content-type", "application/x-amz-json-1.0"),
            ("authorization", signature),
            ("x-amz-date", "20260101T000000Z"),
        ];
        for writes in writes.chunks(25) {
            let body = json!({ "RequestItems": { "picket": writes } }).to_string();
            let answer = request(Method::POST, &url, &headers, body).await;
            let answer = answer.expect("the table answers");
            assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        }
    }

    /// The address of the seeded issue's assignee, as the API shows it.
    pub async fn assignee(&self) -> Option<String> {
        self.assignee_of(self.ready.group_id.as_deref().expect("a seeded issue"))
            .await
    }

    /// The address of an issue's assignee, as the API shows it.
    pub async fn assignee_of(&self, group: &str) -> Option<String> {
        let answer = self.get(&format!("/api/0/issues/{group}/")).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        answer.json()["assignedTo"]["email"]
            .as_str()
            .map(str::to_owned)
    }

    /// The activity of the seeded issue, oldest first, in words.
    pub async fn activity(&self) -> Vec<String> {
        let group = self.ready.group_id.clone().expect("a seeded issue");
        let answer = self
            .get(&format!("/api/0/issues/{group}/activities/"))
            .await
            .json();
        let lines = answer["activity"].as_array().cloned().unwrap_or_default();
        let words = |line: &Value| {
            let kind = line["type"].as_str().unwrap_or_default();
            match line["data"]["assigneeEmail"].as_str() {
                Some(email) => format!("{kind} {email}"),
                None => kind.to_owned(),
            }
        };
        lines.iter().rev().map(words).collect()
    }

    /// Carries out an operator's command; again if a fault came in between.
    pub async fn operator(&self, command: Value) -> Value {
        let mut last = None;
        for _ in 0..OPERATOR_TRIES {
            match operator(&self.stack, command.clone()).await {
                Ok(answer) => return answer,
                Err(error) => last = Some(error),
            }
        }
        panic!("{:#}", last.expect("an error"));
    }

    /// The id of the seeded integration.
    pub fn integration(&self) -> String {
        self.integration_of("vsts")
    }

    /// The id of the seeded integration of a provider.
    pub fn integration_of(&self, provider: &str) -> String {
        let items = self.items();
        let mut theirs = items
            .iter()
            .filter(|item| item["provider"]["S"] == provider);
        let id = theirs.find_map(|item| partition(item).strip_prefix("INTEGRATION#"));
        id.expect("a seeded integration").to_owned()
    }

    /// Makes issues of the seeded project, links them to work item 31 as well, and gives their ids.
    pub async fn link_issues(&self, count: usize) -> Vec<String> {
        let integration = self.integration();
        let mut groups = Vec::new();
        for n in 0..count {
            let issue = json!({
                "command": "create-issue", "organization": "acme", "project": "web",
                "title": format!("Problem {n}"),
            });
            let id = self.operator(issue).await["issue"]["id"].take();
            self.operator(json!({
                "command": "link-external-issue", "organization": "acme", "issue": id,
                "integration": integration, "key": "31",
            }))
            .await;
            groups.push(id.as_str().expect("an id").to_owned());
        }
        groups
    }

    /// What the operator answers, refusals included.
    pub async fn operator_raw(&self, command: Value) -> Value {
        let answer = self.stack.invoke("operator", command.to_string()).await;
        serde_json::from_str(&answer.expect("no function error")).expect("JSON")
    }

    /// Moves what is new from the table to the queues.
    pub async fn relay(&self) {
        while self.stack.step_stream(self.times).await.expect("a stream") > 0 {}
    }

    /// Handles one batch of a queue, without what follows from it. Gives how many messages it took.
    pub async fn step(&mut self, queue: &str) -> usize {
        let (batch, failed) = self
            .stack
            .step(queue, self.times)
            .await
            .expect("a consumed queue");
        let bad = |message: &Received| {
            failed
                .iter()
                .any(|failed| failed.message.message_id == message.message_id)
        };
        let count = batch.len();
        let good = batch.into_iter().filter(|message| !bad(message));
        self.handled
            .extend(good.map(|message| (queue.to_owned(), message)));
        count
    }

    /// Handles a queue until it is empty, without what follows from it. A message that met a fault comes
    /// back at once, by the queues' clock.
    pub async fn drain(&mut self, queue: &str) {
        for _ in 0..MOST_ROUNDS {
            if self.step(queue).await > 0 {
                continue;
            }
            match self.stack.sqs().next_visible_in(queue) {
                Some(wait) => self.stack.sqs().advance(wait),
                None => return,
            }
        }
        panic!("{queue} does not come to rest");
    }

    /// Lets messages move until none is left: failed ones come back at once, by the queues' clock.
    pub async fn settle(&mut self) {
        self.settle_within(MOST_ROUNDS).await;
    }

    /// The same for a test that leaves many messages behind: in at most so many rounds.
    pub async fn settle_within(&mut self, rounds: usize) {
        let queues: Vec<_> = self.stack.consumed_queues().map(str::to_owned).collect();
        for _ in 0..rounds {
            let mut moved = self.stack.step_stream(self.times).await.expect("a stream");
            moved += self.stack.trackers().deliver_hooks().await;
            for queue in &queues {
                moved += self.step(queue).await;
            }
            if moved > 0 {
                continue;
            }
            let sqs = self.stack.sqs();
            if let Some(wait) = queues.iter().filter_map(|q| sqs.next_visible_in(q)).min() {
                sqs.advance(wait);
            } else if let Some(due) = self.next_due() {
                // What was put off is due at once, by the stack's clock.
                let wait = due - self.stack.clock().now().millis();
                self.stack.clock().advance(wait.max(0));
                // Faults may fail a sweep; the next one goes on.
                let _ = self.stack.step_schedules().await;
            } else {
                self.stack.dynamodb().catch_up();
                return;
            }
        }
        panic!(
            "the world does not come to rest: {:?}",
            self.stack.sqs().stats()
        );
    }

    /// The same, but for what was put off: the stack's clock stands still.
    pub async fn settle_now(&mut self) {
        let queues: Vec<_> = self.stack.consumed_queues().map(str::to_owned).collect();
        for _ in 0..MOST_ROUNDS {
            let mut moved = self.stack.step_stream(self.times).await.expect("a stream");
            for queue in &queues {
                moved += self.step(queue).await;
            }
            let sqs = self.stack.sqs();
            match queues.iter().filter_map(|q| sqs.next_visible_in(q)).min() {
                Some(wait) => sqs.advance(wait),
                None if moved == 0 => {
                    self.stack.dynamodb().catch_up();
                    return;
                }
                None => {}
            }
        }
        panic!("the world does not come to rest");
    }

    /// When the next message of the outbox is due, in milliseconds.
    fn next_due(&self) -> Option<i64> {
        let items = self.items();
        let waiting = items
            .iter()
            .filter(|item| partition(item).starts_with("OUT#"));
        let due = |item: &Value| {
            let key = item["SK"]["S"].as_str().unwrap_or_default();
            let (due, _) = key.split_once('#').unwrap_or_default();
            due.parse().unwrap_or(0)
        };
        waiting.map(due).min()
    }

    /// Every item of the table.
    pub fn items(&self) -> Vec<Value> {
        self.stack.dynamodb().items().expect("a table")
    }

    /// The mails that were sent so far, the oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.stack.ses().mails()
    }

    /// Declares that a dead-letter queue holds this many messages at the end.
    pub fn expect_dead(&mut self, queue: &str, count: u64) {
        self.dead.insert(queue.to_owned(), count);
    }

    /// The test delivers changes that have no order, so what is delivered again may change something.
    pub fn without_replay(&mut self) {
        self.replay = false;
    }

    /// The log lines of the functions so far.
    pub fn logs(&self) -> Vec<Value> {
        logs::lines()
    }

    /// The log as it was written.
    pub fn log_text(&self) -> String {
        logs::text()
    }

    /// How changes ended, as `outcome` or `outcome: reason`, in the order of the log. Messages that
    /// come twice end twice; an ending that repeats the one before it is left out.
    pub fn outcomes(&self) -> Vec<String> {
        let words = |line: Value| {
            let outcome = line["outcome"]
                .as_str()
                .filter(|_| line["_aws"].is_null())?;
            Some(match line["reason"].as_str() {
                Some(reason) => format!("{outcome}: {reason}"),
                None => outcome.to_owned(),
            })
        };
        let inbound = |line: &Value| line["queue"] != "outbound-sync";
        let logs = self.logs().into_iter().filter(inbound);
        let mut outcomes: Vec<_> = logs.filter_map(words).collect();
        outcomes.dedup();
        outcomes
    }

    /// Lets everything come to rest, delivers every handled message once more in another order, and
    /// looks whether anything was lost, doubled or left behind.
    pub async fn finish(mut self) {
        self.settle().await;
        if self.replay {
            self.replay().await;
        }
        for (queue, stats) in self.stack.sqs().stats() {
            let dead = self.dead.get(&queue).copied().unwrap_or(0);
            let found = (stats.visible, stats.in_flight, stats.delayed, stats.dead);
            assert_eq!(
                found,
                (0, 0, 0, dead),
                "visible, in flight, delayed, dead of {queue}"
            );
        }
        assert_eq!(self.next_due(), None, "messages left in the outbox");
        assert_eq!(
            self.stack.border_violations(),
            0,
            "the VPC's border was crossed"
        );
        self.finished = true;
    }

    /// Delivers every message handled since the last replay once more, in another order: nothing may
    /// change. A test that changes settings calls it before: what was suppressed under the old ones would
    /// not be under the new.
    pub async fn replay(&mut self) {
        let before = self.state();
        let mut again = std::mem::take(&mut self.handled);
        again.shuffle(&mut rand::rng());
        for (queue, message) in again {
            let mut left = vec![message];
            while !left.is_empty() {
                let failed = self
                    .stack
                    .deliver_again(&queue, left)
                    .await
                    .expect("a queue");
                left = failed.into_iter().map(|failed| failed.message).collect();
            }
        }
        self.settle().await;
        self.handled.clear();
        let after = self.state();
        let gone: Vec<_> = before.difference(&after).collect();
        let new: Vec<_> = after.difference(&before).collect();
        assert!(
            gone.is_empty() && new.is_empty(),
            "messages that came again changed something: {gone:#?} became {new:#?}"
        );
    }

    /// The table as text.
    fn state(&self) -> BTreeSet<String> {
        self.items().iter().map(Value::to_string).collect()
    }
}

fn partition(item: &Value) -> &str {
    item["PK"]["S"].as_str().unwrap_or_default()
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.finished && !thread::panicking() {
            panic!("the test ended without World::finish");
        }
    }
}
