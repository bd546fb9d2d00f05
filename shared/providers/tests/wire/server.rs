//! A stand-in for every tracker: answers what a test has laid out, and keeps what it was asked.
//!
//! It writes bytes, not responses, because half of what is tested are answers that no server library would
//! give.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use providers::{Limits, Outside, OutsideConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What to answer.
pub(crate) enum Reply {
    /// These bytes; then the connection waits for the next request.
    Whole(Vec<u8>),
    /// These bytes; then the connection ends.
    Cut(Vec<u8>),
    /// These bytes, and then single ones, for as long as anybody reads.
    Drip(Vec<u8>),
    /// Nothing, for as long as the other side waits.
    Hang,
    /// A connection that is torn down.
    Reset,
}

/// A status, and a body of JSON if there is one.
pub(crate) fn reply(status: u16, body: &str) -> Reply {
    reply_with(status, "", body)
}

/// The same with further headers, each with its line's end.
pub(crate) fn reply_with(status: u16, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n");
    Reply::Whole([head.as_bytes(), body.as_bytes()].concat())
}

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter(|(found, _)| found == name);
        let value = all.next()?.1.as_str();
        assert!(all.next().is_none(), "{name} is there twice");
        Some(value)
    }

    /// The names of all headers, in order of the alphabet.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

#[derive(Default)]
struct State {
    replies: VecDeque<Reply>,
    asked: Vec<Asked>,
    connections: usize,
}

/// The server, on a port that the system chose.
pub(crate) struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Answers these in order, on whatever connections they are asked for.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            replies: replies.into_iter().collect(),
            ..State::default()
        }));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { port, state }
    }

    /// A way outside that ends here.
    pub(crate) fn outside(&self, limits: Limits) -> Outside {
        let via = Some(format!("http://127.0.0.1:{}", self.port));
        Outside::new(OutsideConfig {
            via,
            limits,
            ..OutsideConfig::default()
        })
        .unwrap()
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Everything that was asked, if every answer was fetched.
    pub(crate) fn finish(&self) -> Vec<Asked> {
        let state = self.state.lock().unwrap();
        assert!(state.replies.is_empty(), "{} left", state.replies.len());
        state.asked.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    while let Some(asked) = read(&mut stream).await {
        let reply = {
            let mut state = state.lock().unwrap();
            state.asked.push(asked);
            state.replies.pop_front()
        };
        let bytes = match reply.expect("more was asked than was laid out") {
            Reply::Whole(bytes) => bytes,
            Reply::Cut(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reply::Drip(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let mut pace = tokio::time::interval(Duration::from_millis(5));
                while stream.write_all(b" ").await.is_ok() {
                    pace.tick().await;
                }
                return;
            }
            Reply::Hang => {
                let _ = stream.read_u8().await;
                return;
            }
            Reply::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
        };
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    });
    let mut asked = Asked {
        method: first.next().unwrap(),
        target: first.next().unwrap(),
        headers: headers.collect(),
        body: String::new(),
    };
    let length = asked.header("content-length").unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    asked.body = String::from_utf8(body).unwrap();
    Some(asked)
}
