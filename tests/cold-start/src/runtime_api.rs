//! Lambda's Runtime API for one bootstrap: the side that a process on Lambda talks to. It tells when
//! the process asked for work, hands an event over and takes the answer.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::{Instant, timeout},
};

/// More than any start and any invocation takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    events: mpsc::UnboundedSender<String>,
    calls: mpsc::UnboundedReceiver<(Instant, Call)>,
    task: JoinHandle<()>,
}

/// What the process has called.
enum Call {
    /// It wants an event.
    Next,
    /// The answer to the last one.
    Answer(String),
    /// It, or the invocation, has failed.
    Error(String),
}

/// The server's half of the channels.
struct Server {
    events: Mutex<mpsc::UnboundedReceiver<String>>,
    calls: mpsc::UnboundedSender<(Instant, Call)>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (events, events_out) = mpsc::unbounded_channel();
        let (calls_in, calls) = mpsc::unbounded_channel();
        let server = Arc::new(Server {
            events: Mutex::new(events_out),
            calls: calls_in,
        });
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                // A packet that waits for its acknowledgement would be measured.
                let _ = connection.set_nodelay(true);
                let server = server.clone();
                let service = service_fn(move |request| {
                    let server = server.clone();
                    async move { Ok::<_, Infallible>(server.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(connection), service),
                );
            }
        });
        Ok(Self {
            address,
            events,
            calls,
            task,
        })
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Waits until the process asks for an event, and tells when it did.
    pub(crate) async fn asked(&mut self) -> anyhow::Result<Instant> {
        match self.call().await? {
            (at, Call::Next) => Ok(at),
            (_, Call::Answer(text)) => bail!("the process answers before it asks: {text}"),
            (_, Call::Error(text)) => bail!("the process has failed: {text}"),
        }
    }

    /// Hands over an event; gives the answer and how long it took. The process must have asked.
    pub(crate) async fn invoke(&mut self, event: String) -> anyhow::Result<(String, Duration)> {
        let start = Instant::now();
        self.events.send(event).context("the server has ended")?;
        match self.call().await? {
            (at, Call::Answer(answer)) => Ok((answer, at - start)),
            (_, Call::Next) => bail!("the process asks before it answers"),
            (_, Call::Error(text)) => bail!("the invocation has failed: {text}"),
        }
    }

    async fn call(&mut self) -> anyhow::Result<(Instant, Call)> {
        let call = timeout(PATIENCE, self.calls.recv()).await;
        call.context("the process says nothing")?
            .context("the server has ended")
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let at = Instant::now();
        if request.method() == Method::GET {
            // Nobody listens any more once the run is over.
            let _ = self.calls.send((at, Call::Next));
            return match self.events.lock().await.recv().await {
                Some(event) => invocation(event),
                None => status(410, ""),
            };
        }
        let good = request.uri().path().ends_with("/response");
        let body = request.into_body().collect().await.map(|b| b.to_bytes());
        let at = Instant::now();
        let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
        let call = if good {
            Call::Answer(body)
        } else {
            Call::Error(body)
        };
        let _ = self.calls.send((at, call));
        status(202, "")
    }
}

fn invocation(event: String) -> Response<Full<Bytes>> {
    let mut response = status(200, event);
    for (name, value) in [
        ("content-type", "application/json"),
        (
            "lambda-runtime-aws-request-id",
            "00000000-0000-4000-8000-000000000000",
        ),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:cold-start",
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-67891233-abcdef012345678912345678;Sampled=0",
        ),
    ] {
        let value = hyper::header::HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

fn status(code: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
    response
}
