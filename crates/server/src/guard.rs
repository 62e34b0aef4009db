//! Keeps other web sites from using a person's browser against the server.

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::error::{ApiError, Code};

/// Scripts, styles and connections are our own, nothing is inline, and nobody frames the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Refuses requests by a foreign host name, and changes that another site's page asks for.
pub(crate) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = authority(headers, header::HOST);
    let known =
        app.any_host || host.as_ref().is_none_or(|host| is_ours(host.host(), &app.settings.host_names));
    let refused = if !known {
        let name = host.as_ref().map_or("", Authority::host);
        Some(format!(
            "this server does not go by the name `{name}`: add it to its host names, or use its address"
        ))
    } else if changes(request.method()) && is_foreign(headers, host.as_ref()) {
        Some("the request comes from a page of another site".to_owned())
    } else {
        None
    };
    let mut response = match refused {
        Some(message) => ApiError::new(Code::CrossOrigin, message).into_response(),
        None => next.run(request).await,
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn authority(headers: &HeaderMap, name: HeaderName) -> Option<Authority> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// A site that is reached by its address or as `localhost` can't be a name that somebody else has pointed at us.
fn is_ours(host: &str, names: &[String]) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<std::net::IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Browsers say where a change comes from; other clients have no origin.
fn is_foreign(headers: &HeaderMap, host: Option<&Authority>) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    match site {
        // No page can say this of itself. Its form's origin is `null`, since the page gives away no address.
        Some("same-origin") => return false,
        Some("none") | None => {}
        Some(_) => return true,
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let origin = origin.and_then(|(_, authority)| authority.parse::<Authority>().ok());
    origin.as_ref() != host || host.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_anybody_can_point_at_us_are_not_ours() {
        let names = vec!["burnish.example.org".to_owned()];
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST", true),
            ("a.localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("192.168.0.7", true),
            ("Burnish.example.org", true),
            ("rebound.example.com", false),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com", false),
        ] {
            assert_eq!(is_ours(host, &names), expected, "{host}");
        }
    }

    #[test]
    fn changes_from_other_sites_are_foreign() {
        let cases = [
            (None, None, false),
            (Some("http://127.0.0.1:8080"), None, false),
            (Some("http://127.0.0.1:8080"), Some("same-origin"), false),
            (Some("http://127.0.0.1:9090"), None, true),
            (Some("https://example.com"), None, true),
            (Some("null"), None, true),
            (Some("null"), Some("none"), true),
            (Some("null"), Some("same-origin"), false),
            (None, Some("cross-site"), true),
            (None, Some("same-site"), true),
        ];
        let host: Authority = "127.0.0.1:8080".parse().unwrap();
        for (origin, site, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            assert_eq!(is_foreign(&headers, Some(&host)), expected, "{origin:?} {site:?}");
        }
    }
}
