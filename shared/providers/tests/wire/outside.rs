//! What every kind of answer, and every kind of none, becomes.

use std::{sync::Arc, time::Duration};

use domain::{ExternalKey, Secret};
use providers::{CallError, Limits, Outside, OutsideConfig, Remedy, vsts::client::Client};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::server::{Reply, Server, reply, reply_with};

const CERTIFICATE: &[u8] = include_bytes!("../keys/self-signed.pem");
const KEY: &[u8] = include_bytes!("../keys/rsa-pkcs8.pem");

const HOST: &str = "acme.visualstudio.com";

/// Short enough to wait for, long enough for a busy machine to answer in where it should.
const SHORT: Duration = Duration::from_millis(300);

fn short() -> Limits {
    Limits {
        whole: SHORT,
        ..Limits::default()
    }
}

async fn call(outside: Outside, instance: &str) -> Result<u64, CallError> {
    let account = "acme".parse().unwrap();
    let client = Client::new(outside, instance, account, Secret::new("tok-1"));
    let key: ExternalKey = "412".parse().unwrap();
    client.work_item(&key).await.map(|item| item.revision)
}

async fn answered(answer: Reply, limits: Limits) -> Result<u64, CallError> {
    let server = Server::start([answer]).await;
    let got = call(server.outside(limits), &format!("https://{HOST}/")).await;
    assert_eq!(server.finish().len(), 1);
    got
}

fn guarded(allowed: &[String]) -> Outside {
    Outside::new(OutsideConfig {
        allowed_hosts: allowed.to_vec(),
        ..OutsideConfig::default()
    })
    .unwrap()
}

fn host(host: &str) -> CallError {
    CallError::Host { host: host.into() }
}

fn timeout() -> CallError {
    CallError::Timeout { host: HOST.into() }
}

#[tokio::test]
async fn every_status_becomes_its_class() {
    let limits = Limits::default();
    let wait = Duration::from_secs(17);
    let limited = answered(reply_with(429, "Retry-After: 17\r\n", "slow"), limits).await;
    assert_eq!(limited.unwrap_err().remedy(), Remedy::Later(Some(wait)));
    let dates =
        "Date: Sat, 21 Nov 2026 07:48:43 GMT\r\nRetry-After: Sat, 21 Nov 2026 07:49:00 GMT\r\n";
    let limited = answered(reply_with(429, dates, ""), limits).await;
    let retry_after = Some(wait);
    assert_eq!(limited, Err(CallError::RateLimited { retry_after }));
    let unauthorized = answered(reply(401, "who?"), limits).await;
    assert_eq!(unauthorized, Err(CallError::Unauthorized));
    assert_eq!(
        answered(reply(409, ""), limits).await,
        Err(CallError::Conflict)
    );
    let broken = answered(reply_with(503, "Retry-After: 17\r\n", "later"), limits).await;
    let expected = CallError::Api {
        status: 503,
        message: "later".into(),
        retry_after,
    };
    assert_eq!(broken, Err(expected));
    assert_eq!(answered(reply(200, r#"{"rev":3}"#), limits).await, Ok(3));
}

#[tokio::test]
async fn no_redirect_is_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = "Location: https://elsewhere.test/\r\n";
        let error = answered(reply_with(status, elsewhere, ""), Limits::default())
            .await
            .unwrap_err();
        assert_eq!(error.remedy(), Remedy::Never);
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_unsupported() {
    let nothing = "HTTP/1.1 204 No Content\r\n\r\n";
    for body in ["<html>Sign in</html>", "", "[]", r#"{"rev":"x"}"#] {
        let got = answered(reply(200, body), Limits::default()).await;
        assert_eq!(got, Err(CallError::Unsupported), "{body}");
    }
    for bytes in [
        nothing,
        "220 smtp.acme.test ESMTP\r\n",
        "\u{0}\u{1}\u{2}\r\n\r\n",
    ] {
        let got = answered(Reply::Cut(bytes.into()), Limits::default()).await;
        assert_eq!(got, Err(CallError::Unsupported), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_a_reset_wherever_it_breaks() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{\"rev\"";
    for answer in [
        Reply::Reset,
        Reply::Cut(Vec::new()),
        Reply::Cut("HTTP/1.1 200".into()),
        Reply::Cut(head.into()),
        Reply::Cut(format!("{head}{{\"rev\"").into()),
        Reply::Cut(chunk.into()),
    ] {
        let got = answered(answer, Limits::default()).await;
        assert_eq!(got, Err(CallError::Reset));
    }
}

#[tokio::test]
async fn silence_and_a_slow_drip_end_with_the_whole_time() {
    assert_eq!(answered(Reply::Hang, short()).await, Err(timeout()));
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
    let drip = Reply::Drip(head.into());
    assert_eq!(answered(drip, short()).await, Err(timeout()));
    let header = Reply::Drip("HTTP/1.1 200 OK\r\nx: ".into());
    assert_eq!(answered(header, short()).await, Err(timeout()));
}

#[tokio::test]
async fn an_answer_ends_where_the_limit_is() {
    let limits = Limits {
        body: 1000,
        ..Limits::default()
    };
    let sized = |length: usize| format!("{{\"rev\":1{}}}", " ".repeat(length - 9));
    let fits = reply(200, &sized(1000));
    assert_eq!(answered(fits, limits).await, Ok(1));
    let larger = reply(200, &sized(1001));
    assert_eq!(answered(larger, limits).await, Err(CallError::Unsupported));
    // An error is what its status says, however much comes with it.
    let rambling = reply(401, &sized(100_000));
    assert_eq!(
        answered(rambling, limits).await,
        Err(CallError::Unauthorized)
    );
    // Without a length, without an end.
    let head = "HTTP/1.1 200 OK\r\n\r\n".to_owned() + &" ".repeat(1001);
    let endless = Reply::Drip(head.into());
    assert_eq!(answered(endless, limits).await, Err(CallError::Unsupported));
    let five = reply(200, &sized(5 * 1024 * 1024 + 1));
    let got = answered(five, Limits::default()).await;
    assert_eq!(got, Err(CallError::Unsupported));
}

#[tokio::test]
async fn a_host_that_is_not_there_and_one_that_is_forbidden_look_the_same() {
    // Bound and not listening: the port stays ours and stays closed.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = socket.local_addr().unwrap().to_string();
    let allowed = guarded(std::slice::from_ref(&closed));
    let got = call(allowed, &format!("http://{closed}/")).await;
    assert_eq!(got, Err(host("127.0.0.1")));

    let server = Server::start([]).await;
    for forbidden in [
        "169.254.169.254",
        "10.0.0.5",
        "127.0.0.1",
        "[::ffff:a9fe:a9fe]",
    ] {
        let got = call(guarded(&[]), &format!("https://{forbidden}/")).await;
        assert_eq!(got, Err(host(forbidden)));
    }
    let secret = call(guarded(&[]), "https://bo:pw@jira.acme.test/").await;
    assert_eq!(secret, Err(host("jira.acme.test")));
    assert_eq!(call(guarded(&[]), "nonsense").await, Err(host("the host")));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn the_form_of_a_url_is_judged_before_a_stand_in_is_asked() {
    let server = Server::start([]).await;
    for bad in [
        "http://acme.test/",
        "https://127.0.0.1/",
        "https://acme.test:22/",
    ] {
        let outside = server.outside(Limits::default());
        assert!(
            matches!(call(outside, bad).await, Err(CallError::Host { .. })),
            "{bad}"
        );
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_allowed_host_is_called_without_a_stand_in_and_without_tls() {
    let server = Server::start([reply(200, r#"{"rev":5}"#)]).await;
    let outside = guarded(&[server.authority()]);
    let got = call(outside, &format!("http://{}/tfs", server.authority())).await;
    assert_eq!(got, Ok(5));
    let asked = server.finish();
    assert_eq!(asked[0].target, "/tfs/_apis/wit/workitems/412");
    assert_eq!(asked[0].header("host"), Some(server.authority().as_str()));
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_no_tracker() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Speak plainly\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    });
    let outside = guarded(std::slice::from_ref(&authority));
    let got = call(outside, &format!("https://{authority}/")).await;
    assert_eq!(got, Err(host("127.0.0.1")));
    let _ = plain.await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_trusted() {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let handshake = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let accepted = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
        accepted.map(|_| ()).unwrap_err().to_string()
    });
    let outside = guarded(&[format!("localhost:{port}")]);
    let got = call(outside, &format!("https://localhost:{port}/")).await;
    assert_eq!(got, Err(host("localhost")));
    let alert = handshake.await.unwrap();
    assert!(alert.contains("UnknownCA"), "{alert}");
}
