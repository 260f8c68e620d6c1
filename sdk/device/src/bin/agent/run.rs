//! `enrol` and `run`.

use std::{future::Future, path::Path};

use syncline_device::{
    Error,
    agent::{Agent, Request},
    clock::Clock,
    config::Config,
    local::{self, Socket},
    net::Endpoint,
    state::{StateFolder, credential::Credential},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::outcome::{CliError, Result};

/// Enrols this device.
pub fn enrol(config: Config, server: Option<String>, token_file: &Path, again: bool) -> Result<()> {
    let unnamed = || CliError::usage("there is no server: name it with --server, or in the configuration");
    let server = server.or_else(|| config.server.clone()).ok_or_else(unnamed)?;
    Endpoint::parse(&server)?;
    let token = std::fs::read_to_string(token_file);
    let token =
        token.map_err(|error| CliError::usage(format!("cannot read {}: {error}", token_file.display())))?;
    if token.trim().is_empty() || token.trim().chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(CliError::usage(format!("{} has no token: one word is expected", token_file.display())));
    }
    let state = StateFolder::open(&config.state)?;
    match Credential::load(&state)? {
        Some(credential) if !credential.enrolling && !again => {
            return Err(CliError::usage("this device is enrolled already: add --again to enrol it anew"));
        }
        // An enrolment that was interrupted goes on with what it was offered.
        Some(credential) if credential.enrolling && credential.candidate.is_some() && !again => {}
        _ => Credential::enrolment(server, &token).save(&state)?,
    }
    let (agent, _handle) = Agent::new(config, state, Clock::system())?;
    on_runtime(async { agent.enrol().await.map_err(CliError::from) })?;
    crate::show::line("This device is enrolled.")
}

/// Runs the agent.
pub fn run(config: Config) -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let (socket, path) = (config.socket.clone(), config.state.clone());
    let state = StateFolder::open(&config.state)?;
    let (agent, handle) = Agent::new(config, state, Clock::system())?;
    on_runtime(async move {
        // Before the first contact: who is told that the agent is there can speak to it.
        match Socket::bind(&socket) {
            Ok(socket) => drop(tokio::spawn(local::listen(socket, path, handle.clone()))),
            Err(error) => tracing::error!("nobody can force a sync on this device: {error}"),
        }
        let failed = |error| CliError::failed(format!("cannot wait for signals: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            // An agent that has ended need not be told.
            let _ = handle.send(Request::Stop).await;
        });
        agent.run().await.map_err(CliError::from)
    })
}

/// One thread for the conversation; work with files has its own.
pub fn on_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failed = |error| CliError::from(Error::Config(format!("the runtime cannot start: {error}")));
    runtime.map_err(failed)?.block_on(work)
}
