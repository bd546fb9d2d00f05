//! The events that the functions are called with: those that the seeded stack itself would deliver,
//! each with its own consequence, so that a warm invocation does the same work as the first.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use local::{Stack, dynamodb::StreamPosition, seed::Ready};
use serde_json::{Value, json};

const DELIVERY: &str = include_str!("../../../events/webhook-ingest.vsts.json");
const REQUEST: &str = include_str!("../../../events/api.json");
const MESSAGE: &str = include_str!("../../../events/issue-sync.json");
const JOB: &str = include_str!("../../../events/jobs.json");
const DELETION: &str = include_str!("../../../events/project-delete.json");
const MAIL: &str = include_str!("../../../events/send-email.json");
const FETCH: &str = include_str!("../../../events/fetch-commits.json");
const SWEEP: &str = include_str!("../../../events/outbox-relay.sweep.json");

const RECEIVED_AT_ONCE: usize = 10;
const RECORDS_AT_ONCE: usize = 100;

/// A function, or the hello-world, with one kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sample {
    /// The event is the answer.
    Hello,
    /// A delivery of an assignment.
    Webhook,
    /// A message about an assignment.
    IssueSync,
    /// A message about an unassignment.
    Deassign,
    /// A message about a change that a tracker is to be told of.
    OutboundSync,
    /// A record of the stream about one message in the outbox.
    RelayStream,
    /// The sweep of an outbox with nothing due.
    RelaySweep,
    /// A job with nothing to do.
    Job,
    /// A message about a deletion that is over.
    Deletion,
    /// A message about commits that nobody waits for any more.
    Fetch,
    /// A message about a mail to one person.
    Mail,
    /// A request for an issue.
    Api,
    /// A command that finds what is there.
    Operator,
}

impl Sample {
    /// The samples of a function.
    pub(crate) fn of(function: &str) -> anyhow::Result<&'static [Self]> {
        Ok(match function {
            "webhook-ingest" => &[Self::Webhook],
            "issue-sync" => &[Self::IssueSync],
            "deassign" => &[Self::Deassign],
            "outbound-sync" => &[Self::OutboundSync],
            "outbox-relay" => &[Self::RelayStream, Self::RelaySweep],
            "jobs" => &[Self::Job],
            "project-delete" => &[Self::Deletion],
            "fetch-commits" => &[Self::Fetch],
            "send-email" => &[Self::Mail],
            "api" => &[Self::Api],
            "operator" => &[Self::Operator],
            other => bail!("no event for the function {other}: add one to {}", file!()),
        })
    }

    /// What the event is, in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hello => "any",
            Self::Webhook => "a delivery",
            Self::IssueSync => "an assignment",
            Self::Deassign => "an unassignment",
            Self::OutboundSync => "a push to Jira",
            Self::RelayStream => "a record",
            Self::RelaySweep => "the sweep",
            Self::Job => "a job",
            Self::Deletion | Self::Fetch => "a late message",
            Self::Mail => "a mail",
            Self::Api => "GET an issue",
            Self::Operator => "a find",
        }
    }

    /// Expects an answer that says that the work was done.
    pub(crate) fn check(self, answer: &str) -> anyhow::Result<()> {
        let json: Value = serde_json::from_str(answer)?;
        let good = match self {
            Self::Hello | Self::RelaySweep => true,
            Self::Webhook | Self::Api => json["statusCode"] == 200,
            Self::IssueSync
            | Self::Deassign
            | Self::OutboundSync
            | Self::RelayStream
            | Self::Job
            | Self::Deletion
            | Self::Fetch
            | Self::Mail => json["batchItemFailures"] == json!([]),
            Self::Operator => json["created"] == false,
        };
        ensure!(good, "{} was answered {answer}", self.name());
        Ok(())
    }

    /// Expects that each of `times` invocations has left its trace in the log: an event without a
    /// consequence would be answered just as well.
    pub(crate) fn check_log(self, log: &str, times: usize) -> anyhow::Result<()> {
        let trace = |line: &Value| match self {
            Self::Webhook => line["DeliveryAccepted"] == 1,
            Self::IssueSync | Self::Deassign | Self::OutboundSync => {
                line["SyncOutcome"] == 1 && line["outcome"] == "applied"
            }
            Self::RelayStream => line["OutboxSent"] == 1,
            Self::Mail => line["email.sent"] == 1 && line["success"] == "true",
            Self::Hello
            | Self::RelaySweep
            | Self::Job
            | Self::Deletion
            | Self::Fetch
            | Self::Api
            | Self::Operator => false,
        };
        let traces = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let traces = traces.filter(trace).count();
        let expected = match self {
            Self::Webhook
            | Self::IssueSync
            | Self::Deassign
            | Self::OutboundSync
            | Self::RelayStream
            | Self::Mail => times,
            Self::Hello
            | Self::RelaySweep
            | Self::Job
            | Self::Deletion
            | Self::Fetch
            | Self::Api
            | Self::Operator => 0,
        };
        ensure!(
            traces == expected,
            "{traces} of {expected} invocations with {} had a consequence",
            self.name()
        );
        Ok(())
    }
}

/// The seeded issue of Jira.
const JIRA_ISSUE: &str = "WEB-7";

/// Makes events of a seeded stack.
#[derive(Debug)]
pub(crate) struct Events {
    stack: Arc<Stack>,
    ready: Ready,
    revision: u64,
    /// Which of the two members the next assignment names.
    member: usize,
    stream: StreamPosition,
}

impl Events {
    pub(crate) fn new(stack: Arc<Stack>, ready: Ready) -> Self {
        Self {
            stack,
            ready,
            revision: 0,
            member: 0,
            stream: StreamPosition::default(),
        }
    }

    /// The next event of a kind. What has to happen before it happens in the stack.
    pub(crate) async fn next(&mut self, sample: Sample) -> anyhow::Result<String> {
        let event = match sample {
            Sample::Hello => json!({ "command": "help" }),
            Sample::Webhook => self.assignment()?,
            Sample::IssueSync => {
                let delivery = self.assignment()?;
                self.member = 1 - self.member;
                self.invoke("webhook-ingest", delivery).await?;
                self.message("issue-sync")?
            }
            Sample::Deassign => {
                self.accept_unassignment().await?;
                while self.stack.step_stream(1).await? > 0 {}
                self.message("deassign")?
            }
            Sample::OutboundSync => {
                // First whom Jira has, so that the other one is a change both here and there.
                let at_jira = self.stack.trackers().jira_issue(JIRA_ISSUE);
                let first =
                    at_jira.is_some_and(|name| self.ready.members[1].email.starts_with(&name));
                for member in [usize::from(first), usize::from(!first)] {
                    self.member = member;
                    let delivery = self.assignment()?;
                    self.invoke("webhook-ingest", delivery).await?;
                    let message = self.message("issue-sync")?;
                    self.invoke("issue-sync", message).await?;
                }
                while self.stack.step_stream(1).await? > 0 {}
                self.message("outbound-sync")?
            }
            Sample::RelayStream => {
                self.accept_unassignment().await?;
                self.record()?
            }
            Sample::RelaySweep => {
                // What other samples have left behind.
                while self.stack.step_stream(1).await? > 0 {}
                serde_json::from_str(SWEEP)?
            }
            Sample::Job => serde_json::from_str(JOB)?,
            Sample::Deletion => serde_json::from_str(DELETION)?,
            Sample::Fetch => serde_json::from_str(FETCH)?,
            Sample::Mail => self.mail()?,
            Sample::Api => self.request()?,
            Sample::Operator => {
                json!({ "command": "create-organization", "slug": self.ready.org, "name": "Acme" })
            }
        };
        Ok(event.to_string())
    }

    /// A mail that was not sent yet, to the owner of the seeded organization.
    fn mail(&mut self) -> anyhow::Result<Value> {
        self.revision += 1;
        let items = self.stack.dynamodb().items()?;
        let mut partitions = items.iter().filter_map(|item| item["PK"]["S"].as_str());
        let organization = partitions.find_map(|key| key.strip_prefix("ORG#"));
        let mut event: Value = serde_json::from_str(MAIL)?;
        let record = &mut event["Records"][0];
        let mut body: Value = serde_json::from_str(record["body"].as_str().unwrap_or_default())?;
        body["message"]["organization"] = organization.context("an organization")?.into();
        body["message"]["key"] = format!("cold-start/{}", self.revision).into();
        body["message"]["to"] = "owners".into();
        record["body"] = body.to_string().into();
        Ok(event)
    }

    /// A delivery that assigns somebody else than the last one that was carried out.
    fn assignment(&mut self) -> anyhow::Result<Value> {
        let email = &self.ready.members[self.member].email;
        let change = json!({ "newValue": format!("Somebody <{email}>") });
        self.delivery(&change)
    }

    fn delivery(&mut self, change: &Value) -> anyhow::Result<Value> {
        self.revision += 1;
        let mut event: Value = serde_json::from_str(DELIVERY)?;
        let mut body: Value = serde_json::from_str(event["body"].as_str().unwrap_or_default())?;
        body["resource"]["rev"] = self.revision.into();
        body["resource"]["fields"]["System.AssignedTo"] = change.clone();
        body["resourceContainers"]["collection"]["id"] =
            json!(self.ready.vsts_external_id.as_deref());
        event["body"] = body.to_string().into();
        event["headers"]["shared-secret"] = json!(self.ready.vsts_shared_secret);
        Ok(event)
    }

    /// Leaves a message about an unassignment in the outbox.
    async fn accept_unassignment(&mut self) -> anyhow::Result<()> {
        let assignment = self.assignment()?;
        self.member = 1 - self.member;
        let unassignment =
            self.delivery(&json!({ "oldValue": "Somebody <somebody@acme.example>" }))?;
        for delivery in [assignment, unassignment] {
            self.invoke("webhook-ingest", delivery).await?;
            let message = self.message("issue-sync")?;
            self.invoke("issue-sync", message).await?;
        }
        Ok(())
    }

    async fn invoke(&self, function: &str, event: Value) -> anyhow::Result<()> {
        let answer = self.stack.invoke(function, event.to_string()).await;
        let answer = answer.map_err(anyhow::Error::msg)?;
        let sample = Sample::of(function)?[0];
        sample.check(&answer)
    }

    /// The newest message of a queue as its event; the queue is empty afterwards.
    fn message(&self, queue: &str) -> anyhow::Result<Value> {
        let mut newest = None;
        loop {
            let received = self.stack.sqs().receive(queue, RECEIVED_AT_ONCE);
            if received.is_empty() {
                break;
            }
            for message in received {
                self.stack.sqs().delete(queue, &message.receipt_handle);
                newest = Some(message);
            }
        }
        let message = newest.with_context(|| format!("no message on {queue}"))?;
        let mut event: Value = serde_json::from_str(MESSAGE)?;
        let record = &mut event["Records"][0];
        record["messageId"] = message.message_id.into();
        record["body"] = message.body.into();
        Ok(event)
    }

    /// The newest record of the stream about a message that was put into the outbox.
    fn record(&mut self) -> anyhow::Result<Value> {
        let mut newest = None;
        loop {
            let records = self
                .stack
                .dynamodb()
                .stream_records(&mut self.stream, RECORDS_AT_ONCE)?;
            if records.is_empty() {
                break;
            }
            let waits = |record: &Value| {
                let partition = record["dynamodb"]["Keys"]["PK"]["S"].as_str();
                record["eventName"] == "INSERT"
                    && partition.is_some_and(|key| key.starts_with("OUT#"))
            };
            newest = records.into_iter().rfind(waits).or(newest);
        }
        let record = newest.context("no record about the outbox")?;
        Ok(json!({ "Records": [record] }))
    }

    fn request(&self) -> anyhow::Result<Value> {
        let issue = self.ready.group_id.as_deref().context("a seeded issue")?;
        let token = self.ready.auth_token.as_deref().context("a seeded token")?;
        let mut event: Value = serde_json::from_str(REQUEST)?;
        event["path"] = format!("/api/0/issues/{issue}/").into();
        event["requestContext"]["path"] = format!("/v1/api/0/issues/{issue}/").into();
        event["pathParameters"]["proxy"] = format!("issues/{issue}").into();
        let bearer = format!("Bearer {token}");
        event["multiValueHeaders"]["Authorization"] = json!([bearer]);
        event["headers"]["Authorization"] = bearer.into();
        Ok(event)
    }
}
