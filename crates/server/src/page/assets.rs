//! Style, script and logo: compiled in, and kept by browsers until they change.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use minijinja::{Value, context};

use crate::error::{ApiError, Code};

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    /// The beginning of its BLAKE3, in quotes as HTTP wants them.
    tag: String,
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    let asset = |name, kind, bytes: &'static [u8]| {
        let hash = blake3::hash(bytes).to_hex();
        Asset { name, kind, bytes, tag: format!("\"{}\"", &hash[..16]) }
    };
    [
        asset("page.css", "text/css; charset=utf-8", include_bytes!("../../assets/page.css")),
        asset("page.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/page.js")),
        asset("logo.svg", "image/svg+xml", include_bytes!("../../assets/logo.svg")),
    ]
});

/// Where the assets are; an address changes with its content.
pub(super) fn addresses() -> Value {
    let address = |asset: &Asset| {
        let address = format!("/assets/{}?v={}", asset.name, asset.tag.trim_matches('"'));
        // Names of ours and hexadecimal digits, so there is nothing to escape.
        Value::from_safe_string(address)
    };
    let [style, script, logo] = &*ASSETS;
    context! { style => address(style), script => address(script), logo => address(logo) }
}

pub(super) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| ApiError::new(Code::NotFound, "there is no such asset"))?;
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == asset.tag.as_bytes());
    let caching =
        [(header::ETAG, asset.tag.as_str()), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    Ok((caching, [(header::CONTENT_TYPE, asset.kind)], asset.bytes).into_response())
}
