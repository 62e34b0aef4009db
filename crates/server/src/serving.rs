//! Puts the routes together and serves them until it is told to stop.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use burnish_engine::Engine;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::app::{App, Shared};
use crate::error::{ApiError, Code};
use crate::settings::ServerSettings;
use crate::{api, guard, limits, metrics, page};

/// Why serving ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The socket failed.
    #[error("the socket at {address} failed: {source}")]
    Socket {
        /// Where it listens.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Everything that the server answers, for a listener on the loopback: requests by a host name that is neither
/// `localhost` nor among the settings' are refused.
pub fn router(engine: Arc<Engine>, settings: ServerSettings) -> Router {
    routes(Shared::new(engine, settings, false))
}

/// Serves on `listener` until `shutdown` resolves and what is under way then has ended, or its grace has.
pub async fn serve(
    engine: Arc<Engine>,
    listener: TcpListener,
    settings: ServerSettings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError> {
    let failed = |address: String| move |source| ServerError::Socket { address, source };
    let address = listener.local_addr().map_err(failed("an unknown address".to_owned()))?;
    let grace = settings.shutdown_grace;
    if let Err(error) = engine.resume_batches(api::describe) {
        tracing::error!(%error, "the batches of the last run cannot go on");
    }
    let any_host = !address.ip().is_loopback() && settings.host_names.is_empty();
    let routes = routes(Shared::new(engine, settings, any_host));
    let (told, stopping) = oneshot::channel();
    let serving = axum::serve(listener, routes).with_graceful_shutdown(async move {
        shutdown.await;
        // Nobody listens once serving has ended by itself.
        let _ = told.send(());
    });
    tokio::select! {
        outcome = serving.into_future() => outcome.map_err(failed(address.to_string())),
        () = async {
            let _ = stopping.await;
            tokio::time::sleep(grace).await;
        } => {
            tracing::warn!(seconds = grace.as_secs_f32(), "ending requests that outlast the grace of the shutdown");
            Ok(())
        }
    }
}

fn routes(app: App) -> Router {
    let bounded = |routes: Router<App>| routes.layer(from_fn_with_state(app.clone(), limits::shed));
    let timed = |routes: Router<App>| routes.layer(from_fn_with_state(app.clone(), limits::expire));
    let work = Router::from(api::work(&app.settings)).merge(page::routes());
    bounded(timed(work).merge(Router::from(api::uploads(&app.settings))))
        .merge(Router::from(api::operations()))
        .merge(page::assets())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), metrics::count))
        .layer(from_fn_with_state(app.clone(), guard::check))
        .with_state(app)
}

async fn not_found(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let path: String = uri.path().chars().take(128).collect();
    let message = format!("nothing is at `{path}`; see /openapi.json for what there is");
    page::refusal(&app, &headers, ApiError::new(Code::NotFound, message))
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(128).collect();
    ApiError::new(Code::MethodNotAllowed, format!("`{path}` does not know the method {method}"))
}
