//! Routers as functions, and faults as HTTP answers.

use std::net::IpAddr;

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use domain::{ClientFault, Fault, Scope, Slug, TraceId};
use lambda_http::{
    Adapter, LambdaEvent, RequestExt, Service,
    request::{LambdaRequest, RequestContext},
};
use serde::Serialize;
use serde_json::json;
use tower::ServiceExt;
use tracing::Instrument;

use crate::{Function, Invocation};

/// How long a caller is asked to wait after a 503.
const RETRY_AFTER: &str = "1";

/// Where the address of a client is kept.
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What every 403 begins with.
const DENIED: &str = "You do not have permission to perform this action.";

/// What handlers of HTTP functions return.
pub type Answer = Result<Response, HttpFault>;

/// A [`Fault`] on its way to becoming an answer.
#[derive(Debug)]
pub struct HttpFault(pub Fault);

impl<F: Into<Fault>> From<F> for HttpFault {
    fn from(fault: F) -> Self {
        Self(fault.into())
    }
}

impl Function {
    /// A function behind a gateway.
    pub fn http(router: Router) -> Self {
        // Paths are put right before routing, so that goes around the router, not into it.
        let service = router.layer(from_fn(in_span));
        let service = service.map_request(|request| exact_source(exact_path(request)));
        Self::new(move |invocation: Invocation| {
            let event = serde_json::from_str::<LambdaRequest>(&invocation.payload);
            let answer = event.map(|event| {
                let mut context = lambda_runtime::Context::default();
                context.request_id = invocation.request_id;
                context.xray_trace_id = invocation.xray_trace_id;
                Adapter::from(service.clone()).call(LambdaEvent::new(event, context))
            });
            async move {
                let answer = answer?.await?;
                Ok(serde_json::to_string(&answer)?)
            }
        })
    }
}

/// What is logged while a request is handled names its trace.
async fn in_span(request: Request, next: Next) -> Response {
    let span = tracing::info_span!("request", trace.id = trace_of(&request).as_str());
    next.run(request).instrument(span).await
}

/// Takes the path as the gateway got it. `lambda_http` puts a named stage in front of it and lets a
/// URL parser tidy it up, which swallows dots and empty segments; the router decodes each segment once.
fn exact_path(mut request: lambda_http::Request) -> lambda_http::Request {
    let mut path: String = request.raw_http_path().chars().map(escape).collect();
    // Every route ends in a slash. Who leaves it out is not redirected: a POST would lose its body.
    if !path.ends_with('/') {
        path.push('/');
    }
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    if let Ok(uri) = Uri::try_from(target) {
        *request.uri_mut() = uri;
    }
    request
}

/// Puts the address that the gateway saw in the place of what a client may say of itself.
fn exact_source(mut request: lambda_http::Request) -> lambda_http::Request {
    let seen = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.source_ip.as_deref(),
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref(),
        _ => None,
    };
    let seen = seen.and_then(|address| HeaderValue::from_str(address).ok());
    let headers = request.headers_mut();
    headers.remove(CLIENT_ADDRESS);
    headers.extend(seen.map(|address| (CLIENT_ADDRESS, address)));
    request
}

/// Where a request to a function behind a gateway comes from, as the gateway saw it.
pub fn client_address(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get(CLIENT_ADDRESS)?.to_str().ok()?.parse().ok()
}

/// What may not stand in a URI is percent-encoded; an encoding that is there already stays.
fn escape(c: char) -> String {
    let legal = c.is_ascii_alphanumeric() || "%/-._~!$&'()*+,;=:@".contains(c);
    if legal {
        return c.to_string();
    }
    let mut buffer = [0; 4];
    c.encode_utf8(&mut buffer)
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect()
}

/// The trace that a request belongs to: X-Ray's, or the request's own id.
pub fn trace_of(request: &Request) -> TraceId {
    let context = request.extensions().get::<lambda_http::Context>();
    let header = request
        .headers()
        .get("x-amzn-trace-id")
        .and_then(|value| value.to_str().ok());
    let root = header.and_then(|text| text.split(';').find_map(|part| part.strip_prefix("Root=")));
    let own = context.map(|context| context.request_id.as_str());
    TraceId::new(root.or(own).unwrap_or_default())
}

/// An answer with a JSON body.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => HttpFault(Fault::Poison(error.to_string())).into_response(),
    }
}

fn detail(status: StatusCode, text: impl Into<String>) -> Response {
    json(status, &json!({ "detail": text.into() }))
}

impl IntoResponse for HttpFault {
    fn into_response(self) -> Response {
        match self.0 {
            Fault::Client(fault) => refused(fault),
            Fault::Retry(reason) => {
                tracing::warn!(fault = "retry", reason, "answered 503");
                let text = "The service is busy, try again shortly.";
                let mut answer = detail(StatusCode::SERVICE_UNAVAILABLE, text);
                let after = HeaderValue::from_static(RETRY_AFTER);
                answer.headers_mut().insert(header::RETRY_AFTER, after);
                answer
            }
            Fault::Poison(reason) => {
                tracing::error!(fault = "poison", reason, "answered 500");
                detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal Error")
            }
        }
    }
}

fn refused(fault: ClientFault) -> Response {
    match fault {
        ClientFault::Unauthenticated => {
            let text = "Authentication credentials were not provided.";
            detail(StatusCode::UNAUTHORIZED, text)
        }
        ClientFault::InvalidToken => detail(StatusCode::UNAUTHORIZED, "Invalid token"),
        ClientFault::Forbidden {
            required,
            has,
            role,
        } => {
            let (required, has) = (names(&required), names(&has));
            let mut text = format!("{DENIED} Required: one of {required}. This token has: {has}.");
            if let Some(role) = role {
                text.push_str(&format!(" The role {} does not allow it.", role.as_str()));
            }
            detail(StatusCode::FORBIDDEN, text)
        }
        ClientFault::Denied(text) => detail(StatusCode::FORBIDDEN, text),
        ClientFault::Moved { url, slug } => moved(&url, &slug),
        ClientFault::TooLarge => detail(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large."),
        ClientFault::UnsupportedMediaType(kind) => detail(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("Unsupported media type \"{kind}\" in request."),
        ),
        ClientFault::NotFound => detail(
            StatusCode::NOT_FOUND,
            "The requested resource does not exist",
        ),
        ClientFault::Conflict(text) => detail(StatusCode::CONFLICT, text),
        ClientFault::Detail(text) => detail(StatusCode::BAD_REQUEST, text),
        ClientFault::Taken(fields) => json(StatusCode::CONFLICT, &fields),
        ClientFault::Fields(fields) => json(StatusCode::BAD_REQUEST, &fields),
        ClientFault::Parameter(message) => {
            let code = "parameter-validation-error";
            let detail = json!({ "code": code, "message": message, "extra": {} });
            json(StatusCode::BAD_REQUEST, &json!({ "detail": detail }))
        }
    }
}

/// Clients that follow redirects take the header, sentry-cli the slug.
fn moved(url: &str, slug: &Slug) -> Response {
    let body = json!({
        "slug": slug,
        "detail": {
            "code": "resource-moved",
            "message": "Resource has been moved",
            "extra": { "url": url, "slug": slug },
        },
    });
    let mut answer = json(StatusCode::FOUND, &body);
    if let Ok(location) = HeaderValue::from_str(url) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

fn names(scopes: &[Scope]) -> String {
    match scopes {
        [] => "none".into(),
        scopes => scopes
            .iter()
            .map(|scope| scope.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_stays_and_what_may_not_stand_is_encoded() {
        let escaped = |path: &str| path.chars().map(escape).collect::<String>();
        assert_eq!(escaped("/api/0/web%401.0%2B/"), "/api/0/web%401.0%2B/");
        assert_eq!(escaped("/a b/ü#?/"), "/a%20b/%C3%BC%23%3F/");
    }

    /// What a REST API sends for this path at the stage `v1`. Names, nulls and encodings are those of
    /// events recorded at AWS: path, proxy parameter and the context's path stay as the client encoded
    /// them, the stage stands in the context's path alone, and the query is decoded.
    fn recorded_rest_event(path: &str, query: &[(&str, &str)]) -> String {
        let single: serde_json::Map<_, _> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        let multi: serde_json::Map<_, _> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!([value])))
            .collect();
        let headers = [
            ("Accept", "*/*"),
            ("CloudFront-Forwarded-Proto", "https"),
            ("Host", "abcdef.execute-api.us-east-1.amazonaws.com"),
            ("User-Agent", "sentry-cli/3.8.0"),
            ("X-Forwarded-For", "203.0.113.9, 192.0.2.7"),
            ("X-Forwarded-Proto", "https"),
        ];
        let one = headers.map(|(name, value)| (name.to_owned(), json!(value)));
        let many = headers.map(|(name, value)| (name.to_owned(), json!([value])));
        let proxy = path.trim_start_matches("/api/0/").trim_end_matches('/');
        json!({
            "resource": "/api/0/{proxy+}",
            "path": path,
            "httpMethod": "GET",
            "headers": serde_json::Map::from_iter(one),
            "multiValueHeaders": serde_json::Map::from_iter(many),
            "queryStringParameters": (!single.is_empty()).then_some(single),
            "multiValueQueryStringParameters": (!multi.is_empty()).then_some(multi),
            "pathParameters": { "proxy": proxy },
            "stageVariables": null,
            "requestContext": {
                "accountId": "111111111111", "apiId": "abcdef", "deploymentId": "d1",
                "domainName": "abcdef.execute-api.us-east-1.amazonaws.com",
                "domainPrefix": "abcdef", "extendedRequestId": "e1", "httpMethod": "GET",
                "identity": {
                    "accessKey": null, "accountId": null, "caller": null,
                    "cognitoAuthenticationProvider": null, "cognitoAuthenticationType": null,
                    "cognitoIdentityId": null, "cognitoIdentityPoolId": null,
                    "principalOrgId": null, "sourceIp": "192.0.2.7", "user": null,
                    "userAgent": "sentry-cli/3.8.0", "userArn": null,
                },
                "path": format!("/v1{path}"), "protocol": "HTTP/1.1", "requestId": "r1",
                "requestTime": "10/Jul/2024:12:28:36 +0000", "requestTimeEpoch": 1_720_614_516_000_i64,
                "resourceId": "abc123", "resourcePath": "/api/0/{proxy+}", "stage": "v1",
            },
            "body": null,
            "isBase64Encoded": false,
        })
        .to_string()
    }

    /// A function that says what it understood of `/api/0/releases/{version}/`.
    fn echo() -> Function {
        use axum::{Json, extract::Path, extract::Query, http::HeaderMap, routing::get};
        type Pairs = Query<Vec<(String, String)>>;
        let version = get(
            |Path(version): Path<String>, Query(query): Pairs, headers: HeaderMap| async move {
                let address = client_address(&headers);
                Json(json!({ "version": version, "query": query, "address": address }))
            },
        );
        Function::http(Router::new().route("/api/0/releases/{version}/", version))
    }

    async fn understood(path: &str, query: &[(&str, &str)]) -> serde_json::Value {
        let invocation = Invocation {
            payload: recorded_rest_event(path, query),
            request_id: "r".into(),
            xray_trace_id: None,
        };
        let answer = echo().invoke(invocation).await.expect("an answer");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["statusCode"], 200, "{path}: {answer}");
        serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON")
    }

    #[tokio::test]
    async fn every_segment_of_a_rest_path_is_decoded_exactly_once() {
        for (sent, version) in [
            ("web@1.0", "web@1.0"),
            ("web%401.0", "web@1.0"),
            ("web%401.0%2B5", "web@1.0+5"),
            ("a+b", "a+b"),
            ("%2541", "%41"),
            ("%252541", "%2541"),
            ("100%25", "100%"),
            ("a%20b", "a b"),
            ("%23", "#"),
            ("1.0%3Fx=1", "1.0?x=1"),
            ("%C3%BC", "ü"),
            ("ü", "ü"),
            ("%5C", "\\"),
            ("a%2Fb", "a/b"),
            ("%2E%2E", ".."),
            ("v1", "v1"),
        ] {
            for end in ["/", ""] {
                let path = format!("/api/0/releases/{sent}{end}");
                assert_eq!(understood(&path, &[]).await["version"], version, "{path}");
            }
        }
    }

    #[tokio::test]
    async fn a_client_is_where_the_gateway_saw_it_whatever_it_says() {
        let understood = understood("/api/0/releases/1.0/", &[]).await;
        assert_eq!(understood["address"], "192.0.2.7");
    }

    #[tokio::test]
    async fn a_rest_query_arrives_as_the_client_meant_it() {
        let query = [
            ("email", "test+alias@acme.example"),
            ("query", "a b#c&d=e?ü%41"),
        ];
        let understood = understood("/api/0/releases/1.0%231/", &query).await;
        assert_eq!(understood["version"], "1.0#1");
        // A REST API does not keep the order of parameters.
        for pair in query {
            let pairs = understood["query"].as_array().expect("a list");
            assert!(pairs.contains(&json!(pair)), "{pairs:?}");
        }
    }
}
