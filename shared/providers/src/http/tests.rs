use tokio::net::TcpListener;

use super::*;

fn answer(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Response {
    let pair = |&(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), value.parse().unwrap())
    };
    Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.iter().map(pair).collect(),
        body: Bytes::from_static(body.as_bytes()),
        hidden: Vec::new(),
    }
}

#[test]
fn a_wait_is_given_in_seconds_or_as_a_date_after_the_answers_own() {
    let wait = |headers: &[(&'static str, &str)]| answer(429, headers, "").retry_after();
    let seconds = |n| Some(Duration::from_secs(n));
    let date = ("date", "Sat, 21 Nov 2026 07:48:43 GMT");
    assert_eq!(wait(&[("retry-after", "120")]), seconds(120));
    assert_eq!(wait(&[("retry-after", " 0 ")]), seconds(0));
    let later = ("retry-after", "Sat, 21 Nov 2026 07:50:00 GMT");
    assert_eq!(wait(&[later, date]), seconds(77));
    let earlier = ("retry-after", "Sat, 21 Nov 2026 07:00:00 GMT");
    assert_eq!(wait(&[earlier, date]), seconds(0));
    assert_eq!(
        wait(&[("retry-after", "18446744073709551615")]),
        seconds(86_400)
    );
    assert_eq!(wait(&[later]), None);
    for unreadable in ["", "soon", "-1", "1.5"] {
        assert_eq!(
            wait(&[("retry-after", unreadable), date]),
            None,
            "{unreadable}"
        );
    }
    assert_eq!(wait(&[]), None);
}

#[test]
fn every_status_has_its_class() {
    let class = |status| {
        let answer = answer(status, &[("retry-after", "7")], r#"{"message":"no"}"#);
        answer.accepted().err()
    };
    let retry_after = Some(Duration::from_secs(7));
    for good in [200, 201, 203, 204, 206] {
        assert_eq!(class(good), None, "{good}");
    }
    assert_eq!(class(401), Some(CallError::Unauthorized));
    assert_eq!(class(409), Some(CallError::Conflict));
    assert_eq!(class(429), Some(CallError::RateLimited { retry_after }));
    for status in [301, 302, 307, 400, 403, 404, 500, 503] {
        let message = String::from("no");
        let expected = CallError::Api {
            status,
            message,
            retry_after,
        };
        assert_eq!(class(status), Some(expected), "{status}");
    }
}

#[test]
fn no_content_is_an_empty_object_and_what_is_not_json_is_unsupported() {
    let json = |status, body| answer(status, &[], body).json::<serde_json::Value>();
    assert_eq!(json(204, ""), Ok(serde_json::json!({})));
    assert_eq!(json(200, "[1]"), Ok(serde_json::json!([1])));
    for body in ["", "<html>", "{"] {
        assert_eq!(json(200, body), Err(CallError::Unsupported), "{body}");
    }
}

#[test]
fn a_stand_in_is_an_http_url() {
    let with = |via: &str| {
        Outside::new(OutsideConfig {
            via: Some(via.to_owned()),
            ..OutsideConfig::default()
        })
    };
    assert!(with("http://127.0.0.1:7000/outside/").is_ok());
    for bad in [
        "",
        "127.0.0.1:7000",
        "https://x.test",
        "http://x.test/?a=b",
        "http://bo@x.test",
    ] {
        let error = with(bad).map(|_| ()).unwrap_err();
        assert_eq!(error, InvalidConfig::Via(bad.to_owned()));
    }
}

#[tokio::test]
async fn a_name_that_leads_back_to_this_machine_is_not_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dial = |allowed: &[String]| Dial {
        guard: Some(Arc::new(Guard::new(allowed).unwrap())),
        limit: Duration::from_secs(2),
    };
    for host in [
        "localhost",
        "127.0.0.1",
        "127.1",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
    ] {
        for scheme in ["http", "https"] {
            let uri: Uri = format!("{scheme}://{host}:{port}/").parse().unwrap();
            let refused = dial(&[]).connect(uri).await.unwrap_err();
            assert_eq!(refused, DialError(Trouble::Unreachable), "{host}");
        }
    }
    // The one connection that arrives is the one that was allowed.
    let allowed = dial(&[format!("localhost:{port}")]);
    let uri = format!("http://localhost:{port}/").parse().unwrap();
    let stream = allowed.connect(uri).await.unwrap();
    let (_, from) = listener.accept().await.unwrap();
    assert_eq!(from, stream.local_addr().unwrap());
}

#[test]
fn the_innermost_error_decides() {
    let of = |kind| {
        let inner = io::Error::other(io::Error::from(kind));
        Trouble::from(&inner as &(dyn Error + 'static))
    };
    assert_eq!(of(io::ErrorKind::ConnectionRefused), Trouble::Unreachable);
    assert_eq!(
        Trouble::of_io(&io::ErrorKind::ConnectionReset.into()),
        Some(Trouble::Reset)
    );
    assert_eq!(
        Trouble::of_io(&io::ErrorKind::TimedOut.into()),
        Some(Trouble::Timeout)
    );
}

#[test]
fn a_key_that_is_a_direction_is_no_key() {
    assert!(segment(".").is_err());
    assert!(segment("..").is_err());
    let encoded = segment("../a b?c#d%2e").map(|text| text.to_string());
    assert_eq!(encoded, Ok("..%2Fa%20b%3Fc%23d%252e".into()));
}
