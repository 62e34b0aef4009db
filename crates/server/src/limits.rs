//! Turns away what is too much, and ends what takes too long.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::error::{ApiError, Code};

/// A body that counts as work until its last byte is sent.
struct Permitted {
    body: Body,
    _permit: OwnedSemaphorePermit,
}

impl HttpBody for Permitted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Works on so many requests at a time, and turns the rest away at once instead of letting them queue.
pub(crate) async fn shed(State(app): State<App>, request: Request, next: Next) -> Response {
    let Ok(permit) = app.permits.clone().try_acquire_owned() else {
        let limit = app.settings.max_concurrent_requests;
        let message = format!("{limit} requests are under way, which is the limit; try again soon");
        return ApiError::new(Code::Overloaded, message).into_response();
    };
    next.run(request).await.map(|body| Body::new(Permitted { body, _permit: permit }))
}

/// Gives up on a request whose answer does not begin in time.
pub(crate) async fn expire(State(app): State<App>, request: Request, next: Next) -> Response {
    let limit = app.settings.request_timeout;
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("no answer began within {} s; try again later", limit.as_secs_f32());
            ApiError::new(Code::Timeout, message).into_response()
        }
    }
}
