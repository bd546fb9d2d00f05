//! The HTTP connections of all AWS clients: HTTP/1.1, one pool, one set-up of TLS.
//!
//! The SDK's own connector speaks HTTP/2 as well, and knows of proxies and of the machine's certificates, which
//! no bootstrap needs and each would carry.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{self, connect},
    rt::{TokioExecutor, TokioIo},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::net::TcpStream;
use tower_service::Service;

/// Starfield Services Root Certificate Authority - G2 and Amazon Root CA 1 to 4.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// A client with one connector, whatever is asked of it: services differ in nothing that it knows of.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    client: legacy::Client<Dial, SdkBody>,
}

/// Makes a connection, from the name's look-up to the end of TLS, within a time.
#[derive(Debug, Clone)]
struct Dial {
    https: HttpsConnector<connect::HttpConnector>,
    limit: Duration,
}

impl Service<Uri> for Dial {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (limit, made) = (self.limit, self.https.call(uri));
        Box::pin(async move { tokio::time::timeout(limit, made).await? })
    }
}

impl Connections {
    /// A connection has to be made within `limit`; what is asked of it is limited by whoever asks.
    pub(crate) fn new(limit: Duration) -> Self {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(AMAZON_ROOTS) {
            let root = root.expect("the roots are in the binary, and are certificates");
            roots.add(root).expect("a root has a key");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the suites of both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = connect::HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self {
            client: legacy::Client::builder(TokioExecutor::new()).build(Dial { https, limit }),
        }
    }

    pub(crate) fn connector(&self) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }

    pub(crate) fn client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }
}

impl HttpClient for Connections {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.connector()
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("hyper", Some("1.x".into())))
    }
}

impl HttpConnector for Connections {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        let answer = self.client.request(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await.map_err(failed)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What of a failure the SDK's retries go by: whether another connection may do better.
fn failed(error: legacy::Error) -> ConnectorError {
    let hyper = error
        .source()
        .and_then(|s| s.downcast_ref::<hyper::Error>());
    match hyper {
        Some(hyper) if hyper.is_user() => ConnectorError::user(error.into()),
        Some(hyper) if hyper.is_parse() => ConnectorError::other(error.into(), None),
        // It could not be made, it broke, or it was closed before the answer.
        Some(_) | None => ConnectorError::io(error.into()),
    }
}
