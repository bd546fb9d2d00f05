//! The environments of the functions: what the template says, with the local servers in the place of
//! AWS's, and a wall in the place of what a function must not reach.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, bail};

use crate::{
    dynamodb::DynamoDb,
    elasticache::{ElastiCache, REPLICATION_GROUP},
    redis::Redis,
    ses::Ses,
    sqs::Sqs,
    stack::{TABLE, TABLE_FILE},
    template::{Function, Template, resolve_environment},
    trackers::Trackers,
    wall::Wall,
};

const REGION: &str = "us-east-1";
/// Whom mails come from, unless a parameter says otherwise.
const MAIL_FROM: &str = "picket@acme.example";

/// What a function's environment is made of.
pub(crate) struct World<'a> {
    pub(crate) base_url: &'a str,
    pub(crate) sqs: &'a Sqs,
    pub(crate) dynamodb: &'a DynamoDb,
    pub(crate) redis: &'a Redis,
    pub(crate) elasticache: &'a ElastiCache,
    pub(crate) ses: &'a Ses,
    pub(crate) trackers: &'a Trackers,
    pub(crate) wall: &'a Wall,
    pub(crate) ring: &'a str,
    pub(crate) parameters: &'a BTreeMap<String, String>,
}

impl World<'_> {
    /// What the template says, and the endpoints that this function may reach: the table always, and
    /// either Redis or the services of AWS and the trackers.
    pub(crate) fn environment(
        &self,
        template: &Template,
        function: &Function,
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let lookup =
            |id: &str, attribute: Option<&str>| self.lookup(template, function, id, attribute);
        let mut variables = resolve_environment(template, function, &lookup)?;
        if let Some(url) = variables.get_mut("REDIS_URL") {
            // The child speaks no TLS.
            *url = url.replacen("rediss://", "redis://", 1);
        }
        let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
        set("AWS_REGION", REGION);
        // Whoever signs with it is held to this function's role.
        set("AWS_ACCESS_KEY_ID", &function.name);
        set("AWS_SECRET_ACCESS_KEY", "local");
        set("AWS_ENDPOINT_URL", &self.wall.url());
        set("AWS_ENDPOINT_URL_DYNAMODB", &self.dynamodb.endpoint());
        if !function.in_vpc {
            set("AWS_ENDPOINT_URL_SQS", &self.sqs.endpoint());
            set("AWS_ENDPOINT_URL_ELASTICACHE", self.elasticache.url());
            set("AWS_ENDPOINT_URL_SES", self.ses.url());
            set("OUTSIDE_VIA", self.trackers.url());
        }
        Ok(variables)
    }

    fn lookup(
        &self,
        template: &Template,
        function: &Function,
        id: &str,
        attribute: Option<&str>,
    ) -> Option<String> {
        if let Some(value) = self.parameters.get(id) {
            return Some(value.clone());
        }
        let queue = || template.queues.iter().find(|queue| queue.logical_id == id);
        Some(match (id, attribute) {
            ("PublicUrl" | "IngestUrl", None) => self.base_url.to_owned(),
            ("MailFrom", None) => MAIL_FROM.to_owned(),
            ("VstsClientSecret", None) => "local".to_owned(),
            // A developer who lets a tracker hang does not wait as long.
            ("TrackerTimeoutSeconds", None) => "2".to_owned(),
            ("Cache", Some("PrimaryEndPoint.Address")) => "127.0.0.1".to_owned(),
            ("Cache", Some("PrimaryEndPoint.Port")) if function.in_vpc => {
                self.redis.port().to_string()
            }
            ("Cache", Some("PrimaryEndPoint.Port")) => self.wall.port().to_string(),
            ("Cache", None) => REPLICATION_GROUP.to_owned(),
            ("KeyRingSecret", Some("SecretString")) => self.ring.to_owned(),
            (_, None) if id == template.table.logical_id => TABLE.to_owned(),
            (_, None) => self.sqs.queue_url(&queue()?.name),
            (_, Some("Arn")) => Sqs::queue_arn(&queue()?.name),
            (_, Some(_)) => return None,
        })
    }
}

/// Writes `<function>.env` for each function, one `KEY=VALUE` a line: what `cargo lambda watch --env-file`
/// reads. They are readable by their owner alone, because some hold the key ring.
///
/// # Errors
/// When the directory cannot be written to.
pub fn write_env_files(
    directory: &Path,
    environments: &BTreeMap<String, BTreeMap<String, String>>,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).context("the directory of the env files")?;
    for (function, variables) in environments {
        let lines: String = variables
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        let temporary =
            tempfile::NamedTempFile::new_in(directory).context("the file of an environment")?;
        std::fs::write(temporary.path(), lines)?;
        temporary
            .persist(directory.join(format!("{function}.env")))
            .context("the file of an environment")?;
    }
    Ok(())
}

/// The text behind the key ring: kept beside the table, because the table's secrets need it again.
pub(crate) fn key_ring(data: Option<&Path>) -> anyhow::Result<String> {
    let fresh = || {
        let random: [u8; 32] = rand::random();
        random
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let Some(directory) = data else {
        return Ok(fresh());
    };
    let file = directory.join("key-ring");
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if directory.join(TABLE_FILE).exists() {
                bail!("{} holds a table without its key ring", directory.display());
            }
            let text = fresh();
            // In one step, and readable by its owner alone.
            let temporary = tempfile::NamedTempFile::new_in(directory)?;
            std::fs::write(temporary.path(), &text)?;
            temporary
                .persist(&file)
                .context("the key ring in the data directory")?;
            Ok(text)
        }
        Err(error) => Err(error).context("the key ring in the data directory"),
    }
}
