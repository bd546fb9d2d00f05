//! What all AWS clients share: credentials, region, retries, time-outs and one connection pool.
//!
//! Built from the environment without the SDK's provider chain, and with the roots of Amazon's own
//! certificates compiled in: loading a machine's roots costs more than the rest of a cold start.

use std::{collections::BTreeMap, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_async::{rt::sleep::default_async_sleep, time::SystemTimeSource};
use aws_smithy_http_client::{
    Builder,
    tls::{self, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    behavior_version::BehaviorVersion,
    connector_metadata::ConnectorMetadata,
    http::{HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector},
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};
use domain::Queue;

use crate::EnvReader;

/// The URLs of queues.
pub type QueueUrls = BTreeMap<Queue, String>;

/// Starfield Services Root Certificate Authority - G2 and Amazon Root CA 1 to 4.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

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
        let mut config = SdkConfig::builder()
            .region(Region::new(reader.text("AWS_REGION")))
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .time_source(SystemTimeSource::new())
            .retry_config(retries)
            .timeout_config(timeouts)
            .http_client(http_client());
        config.set_sleep_impl(default_async_sleep());
        config.set_endpoint_url(reader.optional("AWS_ENDPOINT_URL"));
        let services = ["DYNAMODB", "ELASTICACHE", "SQS"];
        let endpoint = |service| {
            Some((
                service,
                reader.optional(&format!("AWS_ENDPOINT_URL_{service}"))?,
            ))
        };
        Self {
            endpoints: services.into_iter().filter_map(endpoint).collect(),
            config: config.build(),
        }
    }

    /// The configuration for one service, by its name in `AWS_ENDPOINT_URL_<SERVICE>`.
    pub fn service(&self, name: &str) -> SdkConfig {
        match self.endpoints.get(name) {
            Some(endpoint) => self.config.to_builder().endpoint_url(endpoint).build(),
            None => self.config.clone(),
        }
    }
}

fn http_client() -> SharedHttpClient {
    let roots = tls::TrustStore::empty().with_pem_certificate(AMAZON_ROOTS);
    let context = tls::TlsContext::builder().with_trust_store(roots).build();
    let client = Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .tls_context(context.expect("a trust store is all the context has"))
        .build_https();
    SharedHttpClient::new(Untried(client))
}

/// A client that is not tried out. For each service that it is given to, the one inside would set TLS
/// up once and throw that away, to find out early about roots that cannot be loaded; ours are compiled in.
#[derive(Debug)]
struct Untried(SharedHttpClient);

impl HttpClient for Untried {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}
