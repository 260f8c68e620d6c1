//! What the server is told: flags before environment before configuration file before defaults.

use std::{
    fmt, fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use syncline_engine::{Allocation, EngineConfig};

use super::devices::DeviceValues;
use crate::outcome::{CliError, Result};

/// The port that the OpAMP specification proposes for servers (section "Connection Management").
const OPAMP_PORT: u16 = 4320;

/// The command line of `syncline serve`.
#[derive(Debug, Default, Args)]
pub struct Flags {
    /// Configuration file (TOML), with the names of these flags as keys
    #[arg(long, env = "SYNCLINE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub values: Values,
}

/// What can be set, on the command line, in the environment or in the configuration file. What is absent is not set there.
#[derive(Debug, Default, Clone, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Values {
    /// Folder of this node: identity, key, embedded database, compiled plugins
    #[arg(long, env = "SYNCLINE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder of the library that a new server comes with, for its collections patches, engines and definitions
    /// [default: library, in the data folder]
    #[arg(long, env = "SYNCLINE_LIBRARY", value_name = "DIR")]
    pub library: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:7420]
    #[arg(long, env = "SYNCLINE_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// postgres://… for several nodes; without it the embedded database. With a password: rather in the environment or
    /// the configuration file, since everybody on the machine can read command lines
    #[arg(long, env = "SYNCLINE_DATABASE", hide_env_values = true, value_name = "URL")]
    pub database: Option<String>,
    /// What people call this node [default: the machine's name]
    #[arg(long, env = "SYNCLINE_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,
    /// Certificates (PEM) for https, the server's own first
    #[arg(long, env = "SYNCLINE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Key (PEM) of the certificate
    #[arg(long, env = "SYNCLINE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Where /metrics is served: on a listener of its own, or not at all; beside the API if absent
    #[arg(long, env = "SYNCLINE_METRICS_LISTEN", value_name = "ADDR:PORT|off")]
    pub metrics_listen: Option<MetricsListen>,
    /// Where devices are served alone, beside the main listener, which serves them too [default port: 4320]
    #[arg(long, env = "SYNCLINE_LISTEN_OPAMP", value_name = "ADDR[:PORT]")]
    pub listen_opamp: Option<OpampListen>,
    #[command(flatten)]
    #[serde(flatten)]
    pub devices: DeviceValues,
    /// How logs are written to standard error [default: text]
    #[arg(long, env = "SYNCLINE_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged: a level, or a filter such as info,syncline_engine=debug [default: info]
    #[arg(long, env = "SYNCLINE_LOG_LEVEL", value_name = "FILTER")]
    pub log_level: Option<String>,
    /// Runs under way at a time [default: 4]
    #[arg(long, env = "SYNCLINE_CONCURRENT_RUNS", value_name = "COUNT")]
    pub concurrent_runs: Option<usize>,
    /// Calls into plugins at a time [default: 64]
    #[arg(long, env = "SYNCLINE_CONCURRENT_CALLS", value_name = "COUNT")]
    pub concurrent_calls: Option<u32>,
    /// How long a node that stops answering keeps its runs [default: 15]
    #[arg(long, env = "SYNCLINE_LEASE_SECONDS", value_name = "SECONDS")]
    pub lease_seconds: Option<u64>,
    /// How often a node looks for work of other nodes and for schedules that are due [default: 500]
    #[arg(long, env = "SYNCLINE_POLL_MILLISECONDS", value_name = "MS")]
    pub poll_milliseconds: Option<u64>,
    /// How long events are kept [default: 30]
    #[arg(long, env = "SYNCLINE_KEEP_EVENTS_DAYS", value_name = "DAYS")]
    pub keep_events_days: Option<u64>,
    /// How many events are kept at most [default: 10000000]
    #[arg(long, env = "SYNCLINE_KEEP_EVENTS_COUNT", value_name = "COUNT")]
    pub keep_events_count: Option<u64>,
    /// How long after a run a distribution server that was away is tried again first; then later each time [default: 30]
    #[arg(long, env = "SYNCLINE_CATCH_UP_SECONDS", value_name = "SECONDS")]
    pub catch_up_seconds: Option<u64>,
    /// How memory of plugins is allocated [default: pooling]
    #[arg(long, env = "SYNCLINE_ALLOCATION", value_enum, value_name = "HOW")]
    pub allocation: Option<AllocationKind>,
    /// How long a client may take to send the head of a request [default: 30]
    #[arg(long, env = "SYNCLINE_HEADER_SECONDS", value_name = "SECONDS")]
    pub header_seconds: Option<u64>,
    /// How long open requests may take to end when the server stops [default: 10]
    #[arg(long, env = "SYNCLINE_SHUTDOWN_SECONDS", value_name = "SECONDS")]
    pub shutdown_seconds: Option<u64>,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// How memory of plugins is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllocationKind {
    /// Reserved beforehand: fast; takes address space
    Pooling,
    /// When it is needed: for machines that limit address space
    OnDemand,
}

/// Where the numbers for monitoring are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum MetricsListen {
    /// Nowhere.
    Off,
    /// On a listener of their own.
    On(SocketAddr),
}

impl FromStr for MetricsListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse()
            .map(Self::On)
            .map_err(|_| format!("{text:?} is neither `off` nor an address such as 127.0.0.1:9420"))
    }
}

impl TryFrom<String> for MetricsListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Where devices are served alone: an address, or an address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct OpampListen(pub SocketAddr);

impl FromStr for OpampListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let alone = || text.trim_matches(['[', ']']).parse::<IpAddr>();
        let address = text.parse().or_else(|_| alone().map(|ip| SocketAddr::new(ip, OPAMP_PORT)));
        address.map(Self).map_err(|_| {
            format!("{text:?} is no address: write it like 0.0.0.0 (port {OPAMP_PORT}) or 0.0.0.0:4321")
        })
    }
}

impl TryFrom<String> for OpampListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Everything the server needs to know, checked.
#[derive(Clone)]
pub struct Settings {
    pub engine: EngineConfig,
    pub listen: SocketAddr,
    pub tls: Option<TlsFiles>,
    pub metrics: Option<MetricsListen>,
    pub opamp: Option<SocketAddr>,
    /// URL of `/v1/opamp` as devices are told it, if not the one that they came to.
    pub opamp_url: Option<String>,
    pub log_format: LogFormat,
    pub log_level: String,
    pub header: Duration,
    pub shutdown: Duration,
}

/// Certificate and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl fmt::Debug for Settings {
    /// Without the database's URL, in which a password may stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("data", &self.engine.data)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl Values {
    /// What the configuration file says.
    pub fn read(file: &Path) -> Result<Self> {
        let bad = |why: String| CliError::usage(format!("configuration file {}: {why}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
        toml::from_str(&text).map_err(|error| bad(first_words(&error, &text)))
    }

    /// These values, and those of `less` where there is none.
    #[must_use]
    pub fn or(self, less: Self) -> Self {
        Self {
            data: self.data.or(less.data),
            library: self.library.or(less.library),
            listen: self.listen.or(less.listen),
            database: self.database.or(less.database),
            node_name: self.node_name.or(less.node_name),
            tls_cert: self.tls_cert.or(less.tls_cert),
            tls_key: self.tls_key.or(less.tls_key),
            metrics_listen: self.metrics_listen.or(less.metrics_listen),
            listen_opamp: self.listen_opamp.or(less.listen_opamp),
            devices: self.devices.or(less.devices),
            log_format: self.log_format.or(less.log_format),
            log_level: self.log_level.or(less.log_level),
            concurrent_runs: self.concurrent_runs.or(less.concurrent_runs),
            concurrent_calls: self.concurrent_calls.or(less.concurrent_calls),
            lease_seconds: self.lease_seconds.or(less.lease_seconds),
            poll_milliseconds: self.poll_milliseconds.or(less.poll_milliseconds),
            keep_events_days: self.keep_events_days.or(less.keep_events_days),
            keep_events_count: self.keep_events_count.or(less.keep_events_count),
            catch_up_seconds: self.catch_up_seconds.or(less.catch_up_seconds),
            allocation: self.allocation.or(less.allocation),
            header_seconds: self.header_seconds.or(less.header_seconds),
            shutdown_seconds: self.shutdown_seconds.or(less.shutdown_seconds),
        }
    }
}

/// One line of what the parser says: where and what. Not the line of the file itself, in which a password may stand.
fn first_words(error: &toml::de::Error, text: &str) -> String {
    let line = error.span().map(|span| text[..span.start].lines().count().max(1));
    let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
    format!("{line}{}", error.message().lines().next().unwrap_or("it is no TOML"))
}

impl Flags {
    /// Puts all together and checks it.
    pub fn resolve(self) -> Result<Settings> {
        let values = match &self.config {
            Some(file) => self.values.or(Values::read(file)?),
            None => self.values,
        };
        Settings::new(values)
    }
}

impl Settings {
    fn new(values: Values) -> Result<Self> {
        let data = values.data.ok_or_else(|| missing("data", "a data folder"))?;
        let tls = match (values.tls_cert, values.tls_key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
            (Some(_), None) => return Err(missing("tls-key", "the key of --tls-cert")),
            (None, Some(_)) => return Err(missing("tls-cert", "the certificate of --tls-key")),
        };
        let library = values.library.unwrap_or_else(|| data.join("library"));
        let mut engine = EngineConfig::new(data);
        engine.library = Some(library);
        engine.database = values.database;
        engine.node_name = checked_name(values.node_name.unwrap_or_else(machine_name))?;
        if let Some(runs) = values.concurrent_runs {
            within("concurrent-runs", runs as u64, 1, 1_000)?;
            engine.concurrent_runs = runs;
        }
        if let Some(calls) = values.concurrent_calls {
            within("concurrent-calls", calls.into(), 1, 10_000)?;
            engine.concurrent_calls = calls;
        }
        if let Some(seconds) = values.lease_seconds {
            engine.lease = Duration::from_secs(within("lease-seconds", seconds, 1, 3_600)?);
        }
        if let Some(millis) = values.poll_milliseconds {
            engine.poll = Duration::from_millis(within("poll-milliseconds", millis, 10, 60_000)?);
        }
        if let Some(seconds) = values.catch_up_seconds {
            engine.catch_up = Duration::from_secs(within("catch-up-seconds", seconds, 1, 86_400)?);
        }
        if let Some(days) = values.keep_events_days {
            engine.keep_events = Duration::from_secs(within("keep-events-days", days, 1, 36_500)? * 86_400);
        }
        if let Some(count) = values.keep_events_count {
            engine.keep_events_count = within("keep-events-count", count, 1, 1_000_000_000)?;
        }
        engine.allocation = match values.allocation {
            None | Some(AllocationKind::Pooling) => Allocation::Pooling,
            Some(AllocationKind::OnDemand) => Allocation::OnDemand,
        };
        let opamp_url = values.devices.opamp_url()?;
        values.devices.apply(&mut engine.devices)?;
        let header = within("header-seconds", values.header_seconds.unwrap_or(30), 1, 3_600)?;
        Ok(Self {
            engine,
            listen: values.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7420))),
            tls,
            metrics: values.metrics_listen,
            opamp: values.listen_opamp.map(|OpampListen(address)| address),
            opamp_url,
            log_format: values.log_format.unwrap_or_default(),
            log_level: values.log_level.unwrap_or_else(|| "info".to_owned()),
            header: Duration::from_secs(header),
            shutdown: Duration::from_secs(values.shutdown_seconds.unwrap_or(10)),
        })
    }
}

/// A number within bounds, or what to write instead.
pub(super) fn within(name: &str, value: u64, least: u64, most: u64) -> Result<u64> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(CliError::usage(format!("{name} of {value}: use {least} to {most}")))
}

fn missing(name: &str, what: &str) -> CliError {
    let variable = name.to_uppercase().replace('-', "_");
    CliError::usage(format!(
        "{what} is missing: give --{name}, SYNCLINE_{variable} in the environment, or {name} in the configuration file"
    ))
}

fn checked_name(name: String) -> Result<String> {
    if (1..=64).contains(&name.len()) && !name.contains(char::is_control) {
        return Ok(name);
    }
    Err(CliError::usage(format!("node-name {name:?}: use 1 to 64 printable characters")))
}

fn machine_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if (1..=64).contains(&name.len()) { name } else { "syncline".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn resolve(line: &[&str], file: Option<&str>) -> Result<Settings> {
        let mut flags = Line::try_parse_from(["test"].iter().chain(line)).unwrap().flags;
        let mut config = tempfile::NamedTempFile::new().unwrap();
        if let Some(text) = file {
            config.write_all(text.as_bytes()).unwrap();
            flags.config = Some(config.path().to_owned());
        }
        flags.resolve()
    }

    fn refused(line: &[&str], file: Option<&str>) -> String {
        let error = resolve(line, file).unwrap_err();
        assert_eq!(error.exit, crate::outcome::Exit::Usage);
        assert_eq!(error.message.lines().count(), 1, "{error}");
        error.message
    }

    #[test]
    fn devices_are_set_like_everything_else() {
        let line = ["--data", "/d", "--listen-opamp", "0.0.0.0", "--device-seconds", "60"];
        let settings = resolve(&line, Some("device-seconds = 90\npublish = 'server-sync'\n")).unwrap();
        assert_eq!(settings.opamp.unwrap().to_string(), "0.0.0.0:4320");
        assert_eq!(settings.engine.devices.period, Duration::from_secs(60));
        assert!(!settings.engine.devices.publish_at_once);
        let v6 = resolve(&["--data", "/d", "--listen-opamp", "[::1]"], None).unwrap();
        assert_eq!(v6.opamp.unwrap().to_string(), "[::1]:4320");
        let url = "https://devices.example/v1/opamp";
        let settings = resolve(&["--data", "/d", "--opamp-url", url], None).unwrap();
        assert_eq!(settings.opamp_url.as_deref(), Some(url));
        for bad in
            ["--opamp-url=ftp://x/v1/opamp", "--opamp-url=https://a:b@x/v1/opamp", "--device-seconds=0"]
        {
            assert!(refused(&["--data", "/d", bad], None).contains("write it like") || bad.ends_with("=0"));
        }
        assert!(refused(&["--data", "/d"], Some("device-secnds = 1")).contains("device-secnds"));
    }

    #[test]
    fn a_data_folder_is_all_that_is_needed() {
        let settings = resolve(&["--data", "/d"], None).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:7420");
        assert_eq!(settings.engine.data, Path::new("/d"));
        assert_eq!((settings.tls, settings.metrics, settings.opamp), (None, None, None));
        assert!(refused(&[], None).contains("SYNCLINE_DATA"));
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let file = "data = '/file'\nlisten = '0.0.0.0:1'\nlease-seconds = 7\nmetrics-listen = 'off'\nallocation = 'on-demand'";
        let settings = resolve(&["--data", "/flag"], Some(file)).unwrap();
        assert_eq!(settings.engine.data, Path::new("/flag"));
        assert_eq!(settings.listen.to_string(), "0.0.0.0:1");
        assert_eq!(settings.engine.lease, Duration::from_secs(7));
        assert_eq!(settings.metrics, Some(MetricsListen::Off));
        assert!(matches!(settings.engine.allocation, Allocation::OnDemand));
        assert_eq!(settings.engine.concurrent_runs, EngineConfig::new("/").concurrent_runs);
    }

    #[test]
    fn every_flag_has_its_variable_in_the_environment() {
        use clap::CommandFactory;
        for flag in Line::command().get_arguments().filter(|flag| flag.get_long() != Some("help")) {
            let name = flag.get_long().unwrap();
            let variable = format!("SYNCLINE_{}", name.to_uppercase().replace('-', "_"));
            assert_eq!(flag.get_env().unwrap().to_str(), Some(variable.as_str()), "--{name}");
        }
    }

    #[test]
    fn mistakes_are_told_in_one_line_and_without_the_value() {
        let message = refused(&[], Some("data = '/d'\ndatabase = 'postgres://u:hush@h/d' x\n"));
        assert!(message.contains("line 2") && !message.contains("hush"), "{message}");
        assert!(refused(&[], Some("dat = '/d'")).contains("unknown field `dat`"));
        assert!(refused(&["--data", "/d", "--tls-cert", "c"], None).contains("--tls-key"));
        assert!(refused(&["--data", "/d", "--lease-seconds", "0"], None).contains("use 1 to 3600"));
        assert!(refused(&["--data", "/d", "--node-name", ""], None).contains("node-name"));
        assert!(refused(&["--config", "/nowhere/at/all"], None).contains("/nowhere/at/all"));
    }

    #[test]
    fn a_password_in_the_url_is_not_printed() {
        let settings = resolve(&["--data", "/d", "--database", "postgres://u:hush@h/d"], None).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
