use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::request::{decoded_path, request_time};
use super::*;

type Events = Arc<Mutex<Vec<(String, Value)>>>;

/// A front whose functions all give the same answer, and what they were given.
struct World {
    address: SocketAddr,
    events: Events,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    fn check(&self, status: u16, body: &str) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(
            (self.status, text.as_ref()),
            (status, body),
            "{}",
            self.head
        );
    }
}

fn routes() -> Vec<Route> {
    let route = |gateway: Gateway, method: Option<&str>, path: &str, function: &str| Route {
        gateway,
        method: method.map(str::to_owned),
        path: path.to_owned(),
        function: function.to_owned(),
    };
    let rest = || Gateway::Rest {
        stage: "v1".to_owned(),
    };
    vec![
        route(rest(), None, "/api/0/{proxy+}", "api"),
        route(rest(), None, "/api/0", "api"),
        route(rest(), Some("GET"), "/api/0/only-get", "getter"),
        route(rest(), None, "/api/0/{name}/end", "named"),
        route(Gateway::Http, None, "/extensions/vsts/{proxy+}", "ingest"),
        route(
            Gateway::Http,
            Some("POST"),
            "/extensions/vsts/{proxy+}",
            "poster",
        ),
        route(
            Gateway::Http,
            Some("GET"),
            "/extensions/vsts/exact",
            "exact",
        ),
        route(Gateway::Http, None, "/extensions/{one}/x", "one"),
    ]
}

async fn world(answer: Value) -> World {
    start(Ok(answer.to_string())).await
}

async fn start(answer: Result<String, String>) -> World {
    let events = Events::default();
    let seen = Arc::clone(&events);
    let invoke: Invoke = Arc::new(move |function, event| {
        let event = serde_json::from_str(&event).unwrap();
        seen.lock().unwrap().push((function.to_owned(), event));
        futures_util::future::ready(answer.clone()).boxed()
    });
    let address = start_with(invoke, REST_TIMEOUT, HTTP_TIMEOUT).await;
    World { address, events }
}

async fn start_with(invoke: Invoke, rest: Duration, http: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let front = Front {
        port: address.port(),
        routes: routes(),
        invoke,
        rest_timeout: rest,
        http_timeout: http,
    };
    let local = axum::Router::new().route("/_local/ping", axum::routing::get(|| async { "pong" }));
    tokio::spawn(front.serve(listener, local, std::future::pending()));
    address
}

async fn raw(address: SocketAddr, head: &str, body: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{head}\r\nhost: local.test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    let end = reply.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(reply[..end].to_vec()).unwrap();
    Reply {
        status: head[9..12].parse().unwrap(),
        head: head.to_lowercase(),
        body: reply[end + 4..].to_vec(),
    }
}

impl World {
    async fn send(&self, head: &str, body: &[u8]) -> Reply {
        raw(self.address, head, body).await
    }

    /// The function and the event that a request becomes.
    async fn event(&self, head: &str, body: &[u8]) -> (String, Value) {
        let reply = self.send(head, body).await;
        let event = self.events.lock().unwrap().pop();
        event.unwrap_or_else(|| panic!("no event: {reply:?}"))
    }
}

fn ok() -> Value {
    json!({ "statusCode": 200, "body": "fine" })
}

#[tokio::test]
async fn a_rest_event_carries_the_path_as_it_came_and_the_query_decoded() {
    let world = world(ok()).await;
    let head = "GET /api/0/organizations/acme/releases/web%401.0%2B%2541/?a=1&a=2&b=%20 HTTP/1.1\r\n\
             User-Agent: curl/8\r\nX-Twice: 1\r\nx-twice: 2\r\nCookie: a=1; b=2";
    let (function, mut event) = world.event(head, b"").await;
    assert_eq!(function, "api");
    let path = "/api/0/organizations/acme/releases/web%401.0%2B%2541/";

    let mut context = event["requestContext"].take();
    assert!(context["requestTimeEpoch"].as_u64().unwrap() > 1_700_000_000_000);
    for random in [
        "requestTime",
        "requestTimeEpoch",
        "requestId",
        "extendedRequestId",
    ] {
        assert!(!context[random].take().is_null(), "{random}");
    }
    let identity = context["identity"].take();
    assert_eq!(identity["sourceIp"], "127.0.0.1");
    assert_eq!(identity["userAgent"], "curl/8");
    assert_eq!(
        context,
        json!({
            "resourceId": "local", "resourcePath": "/api/0/{proxy+}", "httpMethod": "GET",
            "path": format!("/v1{path}"), "stage": "v1", "protocol": "HTTP/1.1",
            "accountId": "000000000000", "apiId": "local", "deploymentId": "local",
            "domainName": "local.test", "domainPrefix": "local", "identity": null,
            "requestTime": null, "requestTimeEpoch": null, "requestId": null, "extendedRequestId": null,
        })
    );

    let multi = event["multiValueHeaders"].take();
    assert_eq!(multi["x-twice"], json!(["1", "2"]));
    assert_eq!(multi["User-Agent"], json!(["curl/8"]));
    let headers = event["headers"].take();
    assert_eq!(headers["x-twice"], "2");
    assert_eq!(headers["cookie"], "a=1; b=2");
    assert_eq!(headers["Host"], "local.test");
    assert_eq!(headers["X-Forwarded-For"], "127.0.0.1");
    assert_eq!(
        headers["X-Forwarded-Port"],
        world.address.port().to_string()
    );
    assert_eq!(headers.get("connection"), None);
    assert_eq!(
        event,
        json!({
            "resource": "/api/0/{proxy+}", "path": path, "httpMethod": "GET",
            "headers": null, "multiValueHeaders": null,
            "queryStringParameters": { "a": "2", "b": " " },
            "multiValueQueryStringParameters": { "a": ["1", "2"], "b": [" "] },
            "pathParameters": { "proxy": "organizations/acme/releases/web%401.0%2B%2541" },
            "stageVariables": null, "requestContext": null, "body": null, "isBase64Encoded": false,
        })
    );
}

#[tokio::test]
async fn a_rest_event_without_query_and_parameters_has_nulls() {
    let (_, event) = world(ok()).await.event("GET /api/0/ HTTP/1.1", b"").await;
    assert_eq!(event["resource"], "/api/0");
    assert_eq!(event["path"], "/api/0/");
    for name in [
        "queryStringParameters",
        "multiValueQueryStringParameters",
        "pathParameters",
    ] {
        assert_eq!(event.get(name), Some(&Value::Null), "{name}");
    }
}

#[tokio::test]
async fn a_rest_body_is_text_whatever_it_is() {
    let world = world(ok()).await;
    let head = "POST /api/0/x/ HTTP/1.1\r\ncontent-type: application/octet-stream";
    let (_, event) = world.event(head, b"a\xffb").await;
    assert_eq!(event["body"], "a\u{fffd}b");
    assert_eq!(event["isBase64Encoded"], false);
}

#[tokio::test]
async fn an_http_event_carries_the_path_decoded_and_the_query_as_it_came() {
    let world = world(ok()).await;
    let head = "PUT /extensions/vsts/a%20b/web%401/?q=%20x&q=2&r=a+b HTTP/1.1\r\nUser-Agent: curl/8\r\n\
             X-Twice: 1\r\nx-twice: 2\r\nCookie: a=1; b=2\r\nContent-Type: application/json; charset=utf-8\r\n\
             X-Forwarded-For: 10.0.0.1";
    let (function, mut event) = world.event(head, b"{\"a\":1}").await;
    assert_eq!(function, "ingest");

    let mut context = event["requestContext"].take();
    for random in ["time", "timeEpoch", "requestId"] {
        assert!(!context[random].take().is_null(), "{random}");
    }
    assert_eq!(
        context,
        json!({
            "accountId": "000000000000", "apiId": "local", "domainName": "local.test", "domainPrefix": "local",
            "http": {
                "method": "PUT", "path": "/extensions/vsts/a b/web@1/", "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1", "userAgent": "curl/8",
            },
            "routeKey": "ANY /extensions/vsts/{proxy+}", "stage": "$default",
            "requestId": null, "time": null, "timeEpoch": null,
        })
    );
    let headers = event["headers"].take();
    assert_eq!(headers["x-twice"], "1,2");
    assert_eq!(headers["x-forwarded-for"], "10.0.0.1, 127.0.0.1");
    assert_eq!(headers.get("cookie"), None);
    assert_eq!(
        event,
        json!({
            "version": "2.0", "routeKey": "ANY /extensions/vsts/{proxy+}",
            "rawPath": "/extensions/vsts/a b/web@1/", "rawQueryString": "q=%20x&q=2&r=a+b",
            "cookies": ["a=1", "b=2"], "headers": null, "requestContext": null,
            "queryStringParameters": { "q": " x,2", "r": "a b" },
            "pathParameters": { "proxy": "a b/web@1/" },
            "body": "{\"a\":1}", "isBase64Encoded": false,
        })
    );
}

#[test]
fn an_http_path_is_decoded_but_for_the_percent_sign() {
    for (raw, expected) in [
        ("/web%401.0%2B5", "/web@1.0+5"),
        ("/%2541", "/%2541"),
        ("/100%25", "/100%25"),
        ("/caf%C3%A9", "/café"),
        ("/%E9", "/\u{fffd}"),
        ("/a%2Fb%23c", "/a/b#c"),
        ("/web@1.0%3Fx", "/web@1.0"),
        ("/%zz%4", "/%zz%4"),
        ("/a+b", "/a+b"),
    ] {
        assert_eq!(decoded_path(raw), expected, "{raw}");
    }
}

#[tokio::test]
async fn an_http_event_leaves_out_what_is_empty() {
    let world = world(ok()).await;
    let (_, event) = world
        .event("GET /extensions/vsts/exact HTTP/1.1", b"")
        .await;
    for name in ["cookies", "queryStringParameters", "pathParameters", "body"] {
        assert_eq!(event.get(name), None, "{name}");
    }
    assert_eq!(event["rawQueryString"], "");
}

#[tokio::test]
async fn an_http_body_is_base64_unless_it_is_text() {
    let world = world(ok()).await;
    let cases: [(&str, &[u8], bool); 7] = [
        ("text/plain", b"hello", false),
        ("Application/JSON", b"{}", false),
        ("application/xml", b"<a/>", false),
        ("text/plain", b"\xff", true),
        ("application/x-www-form-urlencoded", b"a=b", true),
        ("application/x-sentry-envelope", b"{}", true),
        ("", b"{}", true),
    ];
    for (content_type, body, encoded) in cases {
        let head = match content_type {
            "" => "POST /extensions/vsts/x HTTP/1.1".to_owned(),
            it => format!("POST /extensions/vsts/x HTTP/1.1\r\ncontent-type: {it}"),
        };
        let (_, event) = world.event(&head, body).await;
        assert_eq!(event["isBase64Encoded"], encoded, "{content_type}");
        let expected = match encoded {
            true => STANDARD.encode(body),
            false => String::from_utf8(body.to_vec()).unwrap(),
        };
        assert_eq!(event["body"], expected, "{content_type}");
    }
}

#[tokio::test]
async fn the_most_specific_route_is_chosen() {
    let world = world(ok()).await;
    for (request, function) in [
        ("GET /api/0/only-get", "getter"),
        ("GET /api/0/x/end/", "named"),
        ("GET /api/0/x/end/y", "api"),
        ("GET /extensions/vsts/exact", "exact"),
        ("PUT /extensions/vsts/exact", "ingest"),
        ("POST /extensions/vsts/exact", "poster"),
        ("GET /extensions/jira/x", "one"),
        ("GET /extensions/vsts/x", "ingest"),
    ] {
        let (chosen, _) = world.event(&format!("{request} HTTP/1.1"), b"").await;
        assert_eq!(chosen, function, "{request}");
    }
}

#[tokio::test]
async fn without_a_route_each_gateway_refuses_in_its_own_way() {
    let world = world(ok()).await;
    let rest = r#"{"message":"Missing Authentication Token"}"#;
    let post = world.send("POST /api/0/only-get HTTP/1.1", b"").await;
    post.check(403, rest);
    for path in [
        "/",
        "/api/1/x",
        "/api/00",
        "/extensions/vsts/",
        "/_local/no",
    ] {
        let reply = world.send(&format!("GET {path} HTTP/1.1"), b"").await;
        reply.check(404, r#"{"message":"Not Found"}"#);
    }
    assert!(world.events.lock().unwrap().is_empty());
    world
        .send("GET /_local/ping HTTP/1.1", b"")
        .await
        .check(200, "pong");
}

#[tokio::test]
async fn a_request_beyond_the_limits_does_not_reach_a_function() {
    let world = world(ok()).await;
    let (rest, http) = ("POST /api/0/x HTTP/1.1", "POST /extensions/vsts/x HTTP/1.1");
    let too_long = r#"{"message":"Request Too Long"}"#;
    let too_large = r#"{"message":"Request Entity Too Large"}"#;
    let body = vec![b'a'; LARGEST_BODY + 1];
    world.send(rest, &body).await.check(413, too_long);
    world.send(http, &body).await.check(413, too_large);
    // Base64 makes 6 MB of 4.5.
    world
        .send(http, &body[..4_800_000])
        .await
        .check(413, too_large);
    world
        .send(rest, &body[..4_800_000])
        .await
        .check(200, "fine");
    world
        .send(rest, &body[..6_291_456])
        .await
        .check(413, too_long);
    let head = format!("{rest}\r\nx-large: {}", "a".repeat(LARGEST_HEADERS));
    let message = r#"{"message":"Request Header Fields Too Large"}"#;
    world.send(&head, b"").await.check(431, message);
    assert_eq!(world.events.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_failed_function_is_a_502_or_a_500() {
    let (rest, http) = ("GET /api/0/x HTTP/1.1", "GET /extensions/vsts/x HTTP/1.1");
    let bad = [
        Err("it broke".to_owned()),
        Ok("not JSON".to_owned()),
        Ok(json!({ "statusCode": "many" }).to_string()),
        Ok(json!({ "statusCode": 200, "body": {} }).to_string()),
        Ok(json!({ "statusCode": 200, "headers": { "a b": "c" } }).to_string()),
    ];
    for answer in bad {
        let world = start(answer).await;
        let reply = world.send(rest, b"").await;
        reply.check(502, r#"{"message":"Internal server error"}"#);
        let reply = world.send(http, b"").await;
        reply.check(500, r#"{"message":"Internal Server Error"}"#);
    }
}

#[tokio::test]
async fn a_panic_is_a_function_error_and_the_next_request_is_served() {
    let invoke: Invoke = Arc::new(|_, event| {
        async move {
            assert!(!event.contains("panic"), "as asked");
            Ok(ok().to_string())
        }
        .boxed()
    });
    let address = start_with(invoke, REST_TIMEOUT, HTTP_TIMEOUT).await;
    let reply = raw(address, "GET /api/0/panic HTTP/1.1", b"").await;
    assert_eq!(reply.status, 502);
    raw(address, "GET /api/0/x HTTP/1.1", b"")
        .await
        .check(200, "fine");
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_given_up_but_runs_on() {
    let ended = Arc::new(tokio::sync::Notify::new());
    let notify = Arc::clone(&ended);
    let go = Arc::new(tokio::sync::Notify::new());
    let wait = Arc::clone(&go);
    let invoke: Invoke = Arc::new(move |_, _| {
        let (wait, notify) = (Arc::clone(&wait), Arc::clone(&notify));
        async move {
            wait.notified().await;
            notify.notify_one();
            Ok(String::new())
        }
        .boxed()
    });
    let short = Duration::from_millis(20);
    let address = start_with(invoke, short, short).await;
    let reply = raw(address, "GET /api/0/x HTTP/1.1", b"").await;
    reply.check(504, r#"{"message":"Endpoint request timed out"}"#);
    go.notify_one();
    ended.notified().await;
    let reply = raw(address, "GET /extensions/vsts/x HTTP/1.1", b"").await;
    reply.check(503, r#"{"message":"Service Unavailable"}"#);
}

#[tokio::test]
async fn a_rest_answer_merges_its_headers_and_renames_what_the_gateway_owns() {
    let world = world(json!({
        "statusCode": 401,
        "headers": { "x-one": "1", "x-both": "a", "WWW-Authenticate": "Token", "x-number": 7 },
        "multiValueHeaders": { "X-Both": ["a", "b"], "set-cookie": ["a=1", "b=2"] },
        "body": "YQ==",
        "isBase64Encoded": true,
    }))
    .await;
    let reply = world.send("GET /api/0/x HTTP/1.1", b"").await;
    reply.check(401, "YQ==");
    let lines: Vec<_> = reply.head.lines().collect();
    for line in [
        "x-one: 1",
        "x-both: b",
        "x-number: 7",
        "set-cookie: a=1",
        "set-cookie: b=2",
        "x-amzn-remapped-www-authenticate: token",
        "content-type: application/json",
    ] {
        assert!(lines.contains(&line), "{line}: {lines:?}");
    }
    assert_eq!(lines.iter().filter(|it| **it == "x-both: a").count(), 1);
    assert!(!lines.iter().any(|it| it.starts_with("www-authenticate")));
}

#[tokio::test]
async fn a_rest_answer_with_an_unknown_field_is_malformed() {
    let world = world(json!({ "statusCode": 200, "cookies": [] })).await;
    assert_eq!(world.send("GET /api/0/x HTTP/1.1", b"").await.status, 502);
}

#[tokio::test]
async fn an_http_answer_sets_cookies_and_decodes_its_body() {
    let world = world(json!({
        "statusCode": 201,
        "headers": { "content-type": "image/png", "x-one": "1" },
        "multiValueHeaders": { "x-ignored": ["1"] },
        "cookies": ["a=1; Path=/", "b=2"],
        "body": "AP8=",
        "isBase64Encoded": true,
    }))
    .await;
    let reply = world.send("GET /extensions/vsts/x HTTP/1.1", b"").await;
    assert_eq!(
        (reply.status, reply.body.as_slice()),
        (201, &b"\x00\xff"[..])
    );
    for line in [
        "content-type: image/png",
        "x-one: 1",
        "set-cookie: a=1; path=/",
        "set-cookie: b=2",
        "content-length: 2",
    ] {
        assert!(reply.head.lines().any(|it| it == line), "{line}");
    }
    assert!(!reply.head.contains("x-ignored"));
    assert!(reply.head.contains("apigw-requestid: "));
}

#[tokio::test]
async fn an_http_answer_without_a_status_is_the_body() {
    let world = world(json!({ "ok": true })).await;
    let reply = world.send("GET /extensions/vsts/x HTTP/1.1", b"").await;
    reply.check(200, r#"{"ok":true}"#);
    assert!(reply.head.contains("content-type: application/json"));
}

#[tokio::test]
async fn an_answer_without_content_has_no_body() {
    let world = world(json!({ "statusCode": 204, "body": "" })).await;
    world
        .send("DELETE /api/0/x HTTP/1.1", b"")
        .await
        .check(204, "");
}

#[tokio::test]
async fn a_head_request_is_answered_without_a_body() {
    let world = world(ok()).await;
    world
        .send("HEAD /api/0/x HTTP/1.1", b"")
        .await
        .check(200, "");
}

#[tokio::test]
async fn the_public_entry_serves_until_it_is_told_to_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let invoke: Invoke = Arc::new(|_, _| async { Ok(ok().to_string()) }.boxed());
    let shutdown = async { stopped.await.unwrap_or_default() };
    let server = tokio::spawn(serve(
        listener,
        routes(),
        invoke,
        axum::Router::new(),
        shutdown,
    ));
    raw(address, "GET /api/0/x HTTP/1.1", b"")
        .await
        .check(200, "fine");
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}

#[test]
fn the_time_is_written_like_a_log_does() {
    for (seconds, expected) in [
        (0, "01/Jan/1970:00:00:00 +0000"),
        (951_782_399, "28/Feb/2000:23:59:59 +0000"),
        (951_782_400, "29/Feb/2000:00:00:00 +0000"),
        (1_795_256_782, "21/Nov/2026:10:26:22 +0000"),
    ] {
        assert_eq!(request_time(Duration::from_secs(seconds)), expected);
    }
}
