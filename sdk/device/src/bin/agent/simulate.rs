//! `simulate`: many devices in one process, each with its own credential, over the real protocol; documents are kept in memory.

mod device;
mod figures;

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use device::Device;
use figures::Figures;
use syncline_device::{
    config::{Config, Transport},
    net::{Connector, Endpoint},
};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use crate::outcome::{CliError, Result};

/// What to simulate.
#[derive(Debug, Args)]
pub struct Flags {
    /// How many devices
    #[arg(long)]
    devices: u32,
    /// URL of the server's OpAMP endpoint
    #[arg(long)]
    server: String,
    /// File with an enrolment token that is not for single use
    #[arg(long)]
    token_file: PathBuf,
    /// Certificates of authorities, PEM
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Seconds after which to end; else on Ctrl-C
    #[arg(long)]
    seconds: Option<u64>,
    /// Devices that connect at once
    #[arg(long, default_value_t = 200)]
    at_once: usize,
    /// Plain HTTP instead of WebSocket
    #[arg(long)]
    http: bool,
    /// Seconds between contacts while the server says nothing else
    #[arg(long, default_value_t = 60)]
    period: u64,
}

/// What all devices share.
pub struct Fleet {
    connector: Connector,
    how: Transport,
    endpoint: String,
    token: String,
    period: Duration,
    /// Connections that may be opened at once.
    room: Semaphore,
    figures: Figures,
}

/// Simulates, and prints what was measured.
pub fn run(flags: Flags, json: bool) -> Result<()> {
    Endpoint::parse(&flags.server)?;
    let token = std::fs::read_to_string(&flags.token_file)
        .map_err(|error| CliError::usage(format!("cannot read {}: {error}", flags.token_file.display())))?;
    let mut config = Config::parse("")?;
    config.ca = flags.ca;
    let fleet = Arc::new(Fleet {
        connector: Connector::new(&config)?,
        how: if flags.http { Transport::Http } else { Transport::Websocket },
        endpoint: flags.server,
        token: token.trim().to_owned(),
        period: Duration::from_secs(flags.period.max(1)),
        room: Semaphore::new(flags.at_once.max(1)),
        figures: Figures::new(Instant::now()),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::failed(format!("the runtime cannot start: {error}")))?;
    runtime.block_on(simulate(&fleet, flags.devices, flags.seconds));
    crate::show::line(fleet.figures.render(flags.devices, json))
}

async fn simulate(fleet: &Arc<Fleet>, devices: u32, seconds: Option<u64>) {
    let mut all = JoinSet::new();
    for number in 0..devices {
        all.spawn(Device::new(fleet.clone(), number).live());
    }
    let over = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        // Where signals cannot be waited for, only the time ends it.
        _ = tokio::signal::ctrl_c() => {}
        // Every device gave up.
        () = async { while all.join_next().await.is_some() {} } => {}
    }
    all.shutdown().await;
}
