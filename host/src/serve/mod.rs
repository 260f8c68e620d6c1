//! `syncline serve`: puts engine, API and listeners together, and takes them down in order.
//!
//! * `config.rs`: flags, environment, configuration file, defaults
//! * `devices.rs`: the part of it that is about devices
//! * `listen.rs`: the listeners and what is served on them; `prompt.rs`: clients that keep them waiting
//! * `logging.rs`, `tls.rs`: what their names say

pub mod config;
mod devices;
mod listen;
mod logging;
mod prompt;
mod tls;

use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use syncline_api::ApiOptions;
use syncline_domain::clock::SystemClock;
use syncline_engine::{DataFolder, Engine, admin::FolderLock};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinError, JoinSet},
};

pub use config::Flags;
use config::{Settings, TlsFiles};
use listen::Listeners;

use crate::outcome::{CliError, Exit, Result};

/// Runs the server until it is told to stop.
pub fn run(flags: Flags) -> Result<Exit> {
    let settings = flags.resolve()?;
    logging::start(settings.log_format, &settings.log_level)?;
    allow_many_files();
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| CliError::failed(format!("no threads can be started: {error}")))?;
    runtime.block_on(serve(settings))
}

/// Each connected device is an open file: as many as the system lets this process have.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::warn!(%error, "The number of open files could not be raised");
    }
}

async fn serve(settings: Settings) -> Result<Exit> {
    let mut stop = StopSignals::listen()?;
    // Caught before anybody is told that the server listens, and without TLS too: uncaught, it would end the server.
    let hangups = caught(SignalKind::hangup())?;
    let tls = settings.tls.as_ref().map(tls::load).transpose()?.map(RustlsConfig::from_config);
    let listeners = Listeners::bind(&settings)?;
    let _alone = FolderLock::take(&settings.engine.data).map_err(failed)?;
    let engine = Engine::start(settings.engine.clone(), Arc::new(SystemClock)).await.map_err(failed)?;
    tell_of_first_token(&engine);

    let options = ApiOptions {
        serve_metrics: settings.metrics.is_none(),
        device_endpoint: settings.opamp_url.clone(),
        ..ApiOptions::default()
    };
    let mut parts = Parts::default();
    let serving = listeners.serve(&settings, &engine, options, tls.clone(), &mut parts)?;
    let worker = engine.clone();
    parts.0.spawn(async move { worker.run().await.map_err(failed) });
    let reloading = tokio::spawn(reload_certificates(hangups, settings.tls.clone(), tls));

    let broken = tokio::select! {
        () = stop.first() => None,
        error = parts.first_to_end() => Some(error),
    };
    match &broken {
        None => tracing::info!("Stopping: runs go to a safe point; a second signal ends at once"),
        Some(error) => tracing::error!(%error, "Stopping: a part of the server ended by itself"),
    }
    tokio::spawn(async move {
        stop.first().await;
        tracing::warn!("Ended at once by a second signal; runs under way will be taken up again");
        std::process::exit(Exit::Failed as i32);
    });
    reloading.abort();
    // Runs go to their safe points while open requests end.
    engine.begin_stop();
    serving.stop(settings.shutdown);
    let ended = parts.all_end().await;
    engine.stop().await;
    if let Some(error) = broken.or(ended.err()) {
        return Err(error);
    }
    tracing::info!("Stopped");
    Ok(Exit::Ok)
}

/// What makes up a running server: each works until it is told to stop, and the server cannot do without any.
#[derive(Default)]
struct Parts(JoinSet<Result<()>>);

impl Parts {
    /// Waits until one ends, which none of them should, and says why.
    async fn first_to_end(&mut self) -> CliError {
        let ended = self.0.join_next().await.map_or(Ok(()), how);
        ended
            .err()
            .unwrap_or_else(|| CliError::failed("a part of the server ended unasked; its log may say why"))
    }

    /// Waits for all of them; the first error is told.
    async fn all_end(mut self) -> Result<()> {
        let mut all = Ok(());
        while let Some(ended) = self.0.join_next().await {
            all = all.and(how(ended));
        }
        all
    }
}

fn how(ended: Result<Result<()>, JoinError>) -> Result<()> {
    ended.unwrap_or_else(|error| Err(CliError::failed(format!("a part of the server broke down: {error}"))))
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> Result<Self> {
        Ok(Self { terminate: caught(SignalKind::terminate())?, interrupt: caught(SignalKind::interrupt())? })
    }

    /// Waits for the next of either.
    async fn first(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn caught(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|error| CliError::failed(format!("signals cannot be caught: {error}")))
}

/// Reads the certificate anew at each SIGHUP. One that is no good leaves the old one in use.
async fn reload_certificates(mut hangups: Signal, files: Option<TlsFiles>, tls: Option<RustlsConfig>) {
    while hangups.recv().await.is_some() {
        let (Some(files), Some(tls)) = (&files, &tls) else {
            tracing::info!("SIGHUP reads the certificate anew, and this server has none: nothing to do");
            continue;
        };
        match tls::load(files) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_unasked_is_told_and_the_others_are_waited_for() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut parts = Parts::default();
        parts.0.spawn(async { Err(CliError::failed("the database is gone")) });
        parts.0.spawn(async move {
            told.await.unwrap();
            Ok(())
        });
        let error = parts.first_to_end().await;
        assert_eq!((error.exit, error.message.as_str()), (Exit::Failed, "the database is gone"));
        tell.send(()).unwrap();
        parts.all_end().await.unwrap();
    }

    #[tokio::test]
    async fn a_part_that_ends_well_or_breaks_down_ends_the_server_too() {
        let mut parts = Parts::default();
        parts.0.spawn(async { Ok(()) });
        assert!(parts.first_to_end().await.message.contains("unasked"));
        parts.0.spawn(async { panic!("for a test") });
        assert!(parts.all_end().await.unwrap_err().message.contains("broke down"));
    }
}
