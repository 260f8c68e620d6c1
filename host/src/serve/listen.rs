//! The listeners and what is served on them.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use axum::Router;
use axum_server::{Handle, Server, tls_rustls::RustlsConfig};
use hyper_util::rt::TokioTimer;
use syncline_api::ApiOptions;
use syncline_engine::Engine;
use tokio_util::sync::CancellationToken;

use super::{
    Parts,
    config::{MetricsListen, Settings},
    prompt::Prompt,
};
use crate::{
    outcome::{CliError, Result},
    output::Output,
};

/// How long a silent connection of HTTP/2 is left alone before it is asked whether somebody is there.
const SILENCE: Duration = Duration::from_secs(30);

/// Addresses that are taken; nothing is served on them yet.
pub struct Listeners {
    api: TcpListener,
    metrics: Option<TcpListener>,
    opamp: Option<TcpListener>,
}

/// What is served until it is told to stop.
pub struct Serving {
    stopping: CancellationToken,
    handle: Handle<SocketAddr>,
}

impl Listeners {
    /// Takes the addresses.
    pub fn bind(settings: &Settings) -> Result<Self> {
        let metrics = match settings.metrics {
            Some(MetricsListen::On(address)) => Some(bind(address, "metrics-listen")?),
            Some(MetricsListen::Off) | None => None,
        };
        let opamp = settings.opamp.map(|address| bind(address, "listen-opamp")).transpose()?;
        Ok(Self { api: bind(settings.listen, "listen")?, metrics, opamp })
    }

    /// Serves the API, and the numbers where they have a listener of their own, as parts of the server.
    pub fn serve(
        self,
        settings: &Settings,
        engine: &Engine,
        options: ApiOptions,
        tls: Option<RustlsConfig>,
        parts: &mut Parts,
    ) -> Result<Serving> {
        let cannot = |error: io::Error| CliError::failed(format!("{}: {error}", settings.listen));
        let serving = Serving { stopping: options.stopping.clone(), handle: Handle::new() };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = self.api.local_addr().map_err(cannot)?;
        if let Some(listener) = self.metrics {
            let at = listener.local_addr().map_err(cannot)?;
            let router = syncline_api::metrics_router(engine.clone(), options.clone());
            let server = axum_server::from_tcp(listener).map_err(cannot)?;
            let served = serving.prompt(server, settings.header).serve(router.into_make_service());
            parts.0.spawn(async move { served.await.map_err(broke) });
            tracing::info!(address = %at, "Serving /metrics");
        }
        let open = |listener, router: Router, parts: &mut Parts| {
            let service = router.into_make_service();
            if let Some(tls) = &tls {
                let server = axum_server::from_tcp_rustls(listener, tls.clone())?;
                let served = serving.prompt(server, settings.header).serve(service);
                parts.0.spawn(async move { served.await.map_err(broke) });
            } else {
                let server = axum_server::from_tcp(listener)?;
                let served = serving.prompt(server, settings.header).serve(service);
                parts.0.spawn(async move { served.await.map_err(broke) });
            }
            Ok(())
        };
        let devices = self.opamp.as_ref().map(TcpListener::local_addr).transpose().map_err(cannot)?;
        if let Some(listener) = self.opamp {
            let router = syncline_api::device_router(engine.clone(), options.clone());
            open(listener, router, parts).map_err(cannot)?;
        }
        open(self.api, syncline_api::router(engine.clone(), options), parts).map_err(cannot)?;
        let output = Output::new(false);
        output.line(format!("listening on {scheme}://{address}"))?;
        if let Some(at) = devices {
            output.line(format!("devices alone on {scheme}://{at}/v1/opamp"))?;
        }
        tracing::info!(%address, scheme, node = %engine.node(), name = engine.config().node_name, "Listening");
        Ok(serving)
    }
}

impl Serving {
    /// A server that this stops, and that cuts off clients who do not say within `header` what they want.
    fn prompt<A>(
        &self,
        mut server: Server<SocketAddr, A>,
        header: Duration,
    ) -> Server<SocketAddr, Prompt<A>> {
        let http = server.http_builder();
        http.http1().timer(TokioTimer::new()).header_read_timeout(header);
        http.http2().timer(TokioTimer::new()).keep_alive_interval(SILENCE);
        server.handle(self.handle.clone()).map(|accept| Prompt::new(accept, header))
    }

    /// Takes no more requests, lets streams end, and gives open requests time to end.
    pub fn stop(self, at_most: Duration) {
        self.stopping.cancel();
        self.handle.graceful_shutdown(Some(at_most));
    }
}

fn bind(address: SocketAddr, name: &str) -> Result<TcpListener> {
    let cannot =
        |error: io::Error| CliError::failed(format!("cannot listen on {address} (--{name}): {error}"));
    let listener = TcpListener::bind(address).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    Ok(listener)
}

fn broke(error: io::Error) -> CliError {
    CliError::failed(format!("serving requests failed: {error}"))
}
