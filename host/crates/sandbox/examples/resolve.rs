//! Times `resolve` in fresh sandboxes: `resolve PACKAGE SETTINGS REPETITIONS THREADS` prints microseconds a call on one thread and
//! calls a second on all. `make bench` runs it beside the same code compiled natively.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use syncline_domain::{
    Failure,
    clock::SystemClock,
    log::LogLine,
    plugin::SandboxLimits,
    policy::{Application, Layer, ResolveRequest},
};
use syncline_sandbox::{Allocation, LogSink, Plugin, PolicyCall, Sandbox, SandboxConfig, StopSignal};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

struct Nowhere;

impl LogSink for Nowhere {
    fn line(&self, _: LogLine) {}
}

#[allow(clippy::print_stdout, reason = "a benchmark tells what it measured")]
fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: resolve PACKAGE SETTINGS REPETITIONS THREADS");
    let package = std::fs::read(next()?)?;
    let (settings, repetitions, threads) = (next()?.parse()?, next()?.parse()?, next()?.parse::<usize>()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        let sandbox = Sandbox::new(SandboxConfig {
            cache: None,
            allocation: Allocation::Pooling,
            concurrency: 64,
            clock: Arc::new(SystemClock),
        })?;
        let digest = Sandbox::inspect(&package)?.digest;
        let plugin = sandbox.load(&digest, async move || Ok::<_, Failure>(package)).await?;
        let request = request(settings)?;
        work(&sandbox, &plugin, &request, repetitions / 10).await?;
        let one = work(&sandbox, &plugin, &request, repetitions).await?;
        let begun = Instant::now();
        let tasks: Vec<_> = (0..threads)
            .map(|_| {
                let (sandbox, plugin, request) = (sandbox.clone(), plugin.clone(), request.clone());
                tokio::spawn(async move { work(&sandbox, &plugin, &request, repetitions).await })
            })
            .collect();
        for task in tasks {
            task.await??;
        }
        let calls = f64::from(repetitions) * threads as f64;
        let per_second = calls / begun.elapsed().as_secs_f64();
        println!("{:.3} {per_second:.0}", one.as_secs_f64() * 1e6 / f64::from(repetitions));
        Ok(())
    })
}

/// Two layers with as many settings, half of which the stronger one overrules.
fn request(settings: usize) -> Outcome<ResolveRequest> {
    let layer = |from: usize, word: &str| {
        let members =
            (from..settings).map(|n| (format!("setting-{n:03}"), Value::from(format!("{word}-{n}"))));
        Layer { settings: members.collect::<Map<_, _>>(), locks: Vec::new() }
    };
    let layers = vec![layer(0, "group"), layer(settings / 2, "device")];
    let application = Application { name: "editor".parse()?, layers };
    Ok(ResolveRequest { applications: vec![application], ..ResolveRequest::default() })
}

/// Time in the calls alone: a host that asks has its request already, and makes no copy of it.
async fn work(
    sandbox: &Sandbox,
    plugin: &Plugin,
    request: &ResolveRequest,
    repetitions: u32,
) -> Result<Duration, Failure> {
    let log: Arc<dyn LogSink> = Arc::new(Nowhere);
    let mut spent = Duration::ZERO;
    for _ in 0..repetitions {
        let call = PolicyCall {
            settings: "{}".to_owned(),
            request: request.clone(),
            limits: SandboxLimits::default(),
            log: Arc::clone(&log),
            stop: StopSignal::never(),
        };
        let begun = Instant::now();
        sandbox.resolve(plugin, call).await?;
        spent += begun.elapsed();
    }
    Ok(spent)
}
