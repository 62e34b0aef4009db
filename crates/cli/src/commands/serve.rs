//! `burnish serve`.

use anyhow::{Context as _, Result};

use super::Context;
use crate::{output, parts};

pub(crate) fn run(context: &Context) -> Result<()> {
    let engine = parts::engine(&context.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = context.config.listen;
        let listener = tokio::net::TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}: is another program there? `--listen` names another address")
        })?;
        let address = listener.local_addr()?;
        output::note(format!(
            "Burnish is ready: the page and the API are at http://{address} (Ctrl-C ends it)"
        ));
        if context.json {
            output::json(&serde_json::json!({"listening": address.to_string()}))?;
        }
        burnish_server::serve(engine.clone(), listener, context.config.server.clone(), stop()).await?;
        anyhow::Ok(())
    })?;
    engine.close()?;
    Ok(())
}

/// Resolves on Ctrl-C, or when the system asks the process to end.
async fn stop() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be heard; Ctrl-C can");
            // Where this fails too, the process ends without grace, which loses nothing.
            let _ = interrupt.await;
        }
    }
}
