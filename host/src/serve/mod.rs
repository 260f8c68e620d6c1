//! `syncline serve`: puts engine, API and listeners together, and takes them down in order.
//!
//! * `config.rs`: flags, environment, configuration file, defaults
//! * `logging.rs`, `tls.rs`: what their names say

pub mod config;
mod logging;
mod tls;

use std::{net::TcpListener, sync::Arc};

use axum_server::{Handle, tls_rustls::RustlsConfig};
use syncline_api::ApiOptions;
use syncline_domain::clock::SystemClock;
use syncline_engine::{DataFolder, Engine, admin::FolderLock};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub use config::Flags;
use config::{MetricsListen, Settings};

use crate::{
    outcome::{CliError, Exit, Result},
    output::Output,
};

/// Runs the server until it is told to stop.
pub fn run(flags: Flags) -> Result<Exit> {
    let settings = flags.resolve()?;
    logging::start(settings.log_format, &settings.log_level)?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| CliError::failed(format!("no threads can be started: {error}")))?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> Result<Exit> {
    let mut stop = StopSignals::listen()?;
    let tls = settings.tls.as_ref().map(tls::load).transpose()?.map(RustlsConfig::from_config);
    let listener = bind(settings.listen, "listen")?;
    let metrics_listener = match settings.metrics {
        Some(MetricsListen::On(address)) => Some(bind(address, "metrics-listen")?),
        Some(MetricsListen::Off) | None => None,
    };
    let _alone = FolderLock::take(&settings.engine.data).map_err(failed)?;
    let engine = Engine::start(settings.engine.clone(), Arc::new(SystemClock)).await.map_err(failed)?;
    tell_of_first_token(&engine);

    let options = ApiOptions { serve_metrics: settings.metrics.is_none(), ..ApiOptions::default() };
    let servers = Servers::start(&settings, &engine, options, listener, metrics_listener, tls.clone())?;
    let work = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.run().await })
    };
    let reloading = tokio::spawn(reload_certificates(settings.clone(), tls));

    stop.first().await;
    tracing::info!("Stopping: runs go to a safe point; a second signal ends at once");
    tokio::spawn(async move {
        stop.first().await;
        tracing::warn!("Ended at once by a second signal; runs under way will be taken up again");
        std::process::exit(Exit::Failed as i32);
    });
    reloading.abort();
    servers.stop(settings.shutdown).await?;
    engine.stop().await;
    match work.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(failed(error)),
        Err(error) => return Err(CliError::failed(format!("the engine broke down: {error}"))),
    }
    tracing::info!("Stopped");
    Ok(Exit::Ok)
}

/// The listeners and what is served on them.
struct Servers {
    stopping: CancellationToken,
    handle: Handle<std::net::SocketAddr>,
    tasks: Vec<JoinHandle<std::io::Result<()>>>,
}

impl Servers {
    fn start(
        settings: &Settings,
        engine: &Engine,
        options: ApiOptions,
        listener: TcpListener,
        metrics_listener: Option<TcpListener>,
        tls: Option<RustlsConfig>,
    ) -> Result<Self> {
        let cannot = |error: std::io::Error| CliError::failed(format!("{}: {error}", settings.listen));
        let (stopping, handle) = (options.stopping.clone(), Handle::new());
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = listener.local_addr().map_err(cannot)?;
        let out = Output::new(false);
        let mut tasks = Vec::new();
        if let Some(listener) = metrics_listener {
            let at = listener.local_addr().map_err(cannot)?;
            let router = syncline_api::metrics_router(engine.clone(), options.clone());
            let server = axum_server::from_tcp(listener).map_err(cannot)?.handle(handle.clone());
            tasks.push(tokio::spawn(server.serve(router.into_make_service())));
            tracing::info!(address = %at, "Serving /metrics");
        }
        let service = syncline_api::router(engine.clone(), options).into_make_service();
        tasks.push(match tls {
            Some(tls) => {
                let server = axum_server::from_tcp_rustls(listener, tls).map_err(cannot)?;
                tokio::spawn(server.handle(handle.clone()).serve(service))
            }
            None => {
                let server = axum_server::from_tcp(listener).map_err(cannot)?;
                tokio::spawn(server.handle(handle.clone()).serve(service))
            }
        });
        out.line(format!("listening on {scheme}://{address}"))?;
        tracing::info!(%address, scheme, node = %engine.node(), name = engine.config().node_name, "Listening");
        Ok(Self { stopping, handle, tasks })
    }

    /// Takes no more requests, lets streams end, and waits for open requests.
    async fn stop(self, at_most: std::time::Duration) -> Result<()> {
        self.stopping.cancel();
        self.handle.graceful_shutdown(Some(at_most));
        for task in self.tasks {
            match task.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(CliError::failed(format!("serving requests failed: {error}"))),
                Err(error) => return Err(CliError::failed(format!("serving requests broke down: {error}"))),
            }
        }
        Ok(())
    }
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> Result<Self> {
        let on = |kind| {
            signal(kind).map_err(|error| CliError::failed(format!("signals cannot be caught: {error}")))
        };
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    /// Waits for the next of either.
    async fn first(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Reads the certificate anew at each SIGHUP. One that is no good leaves the old one in use.
async fn reload_certificates(settings: Settings, tls: Option<RustlsConfig>) {
    let (Some(files), Some(tls)) = (settings.tls, tls) else { return };
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    while hangups.recv().await.is_some() {
        match tls::load(&files) {
            Ok(config) => {
                tls.reload_from_config(config);
                tracing::info!("The certificate was read anew");
            }
            Err(error) => {
                tracing::error!(%error, "The certificate was not read anew; the old one stays in use")
            }
        }
    }
}

fn bind(address: std::net::SocketAddr, name: &str) -> Result<TcpListener> {
    let cannot =
        |error: std::io::Error| CliError::failed(format!("cannot listen on {address} (--{name}): {error}"));
    let listener = TcpListener::bind(address).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    Ok(listener)
}

fn tell_of_first_token(engine: &Engine) {
    if engine.made_first_token() {
        let file = engine.config().data.join(DataFolder::TOKEN);
        tracing::info!(file = %file.display(), "First start: the token of the first administrator is in this file");
    }
}

/// What the engine says, for whoever started the server.
fn failed(error: syncline_engine::Error) -> CliError {
    CliError::failed(error.to_string())
}
