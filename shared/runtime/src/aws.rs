//! What all AWS clients share: credentials, region, retries, time-outs and one connection pool.
//!
//! Built from the environment without the SDK's provider chain, and with the roots of Amazon's own
//! certificates compiled in: loading a machine's roots costs more than the rest of a cold start.

use std::{collections::BTreeMap, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_async::{rt::sleep::default_async_sleep, time::SystemTimeSource};
use aws_smithy_runtime_api::client::{
    behavior_version::BehaviorVersion,
    http::{HttpConnector, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::{byte_stream::ByteStream, retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};
use domain::Queue;

use crate::{EnvReader, connector::Connections};

/// The URLs of queues.
pub type QueueUrls = BTreeMap<Queue, String>;

const ATTEMPTS: u32 = 4;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
const CONNECT: Duration = Duration::from_secs(1);
const ATTEMPT: Duration = Duration::from_millis(2500);
const OPERATION: Duration = Duration::from_secs(8);

/// The configuration of AWS clients. Take each client's from [`Aws::service`].
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    endpoints: BTreeMap<&'static str, String>,
    connector: SharedHttpConnector,
}

impl Aws {
    pub(crate) fn read(reader: &mut EnvReader<'_>) -> Self {
        let credentials = Credentials::from_keys(
            reader.text("AWS_ACCESS_KEY_ID"),
            reader.text("AWS_SECRET_ACCESS_KEY"),
            reader.optional("AWS_SESSION_TOKEN"),
        );
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_BACKOFF)
            .with_max_backoff(LONGEST_BACKOFF);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION)
            .build();
        let connections = Connections::new(CONNECT);
        let mut config = SdkConfig::builder()
            .region(Region::new(reader.text("AWS_REGION")))
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .time_source(SystemTimeSource::new())
            .retry_config(retries)
            .timeout_config(timeouts)
            .http_client(connections.client());
        config.set_sleep_impl(default_async_sleep());
        config.set_endpoint_url(reader.optional("AWS_ENDPOINT_URL"));
        let services = ["DYNAMODB", "ELASTICACHE", "SES", "SQS"];
        let endpoint = |service| {
            Some((
                service,
                reader.optional(&format!("AWS_ENDPOINT_URL_{service}"))?,
            ))
        };
        Self {
            endpoints: services.into_iter().filter_map(endpoint).collect(),
            config: config.build(),
            connector: connections.connector(),
        }
    }

    /// The configuration for one service, by its name in `AWS_ENDPOINT_URL_<SERVICE>`.
    pub fn service(&self, name: &str) -> SdkConfig {
        match self.endpoints.get(name) {
            Some(endpoint) => self.config.to_builder().endpoint_url(endpoint).build(),
            None => self.config.clone(),
        }
    }

    /// Opens the connection to a service, so that its first request does not wait for it. Every service of
    /// AWS answers `/ping`, also one that is not signed; whatever it answers, the connection stays in the
    /// pool of the clients. A signed request would cost a cold start as much again as the connection.
    pub async fn open(&self, name: &str) {
        let url = match (self.endpoints.get(name), self.config.endpoint_url()) {
            (Some(url), _) => url.clone(),
            (None, Some(url)) => url.to_owned(),
            (None, None) => {
                let region = self.config.region().map_or("", Region::as_ref);
                let suffix = match region.starts_with("cn-") {
                    true => "amazonaws.com.cn",
                    false => "amazonaws.com",
                };
                // All but one go by their own names.
                let host = match name {
                    "SES" => "email".to_owned(),
                    _ => name.to_ascii_lowercase(),
                };
                format!("https://{host}.{region}.{suffix}")
            }
        };
        let Ok(request) = HttpRequest::get(format!("{}/ping", url.trim_end_matches('/'))) else {
            return;
        };
        if let Ok(answer) = self.connector.call(request).await {
            let _ = ByteStream::new(answer.into_body()).collect().await;
        }
    }
}
