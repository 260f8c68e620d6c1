//! What is said of the device: name, system, addresses, versions.

use std::{collections::BTreeSet, fs};

use syncline_protocol::{
    InstanceUid,
    items::Hello,
    opamp::{AgentDescription, AnyValue, ArrayValue, KeyValue, Value},
};

use crate::config::Config;

/// Sets the fingerprint apart from other uses of the machine's id, which others may know.
const FINGERPRINT: &str = "syncline 2026-11-24 machine fingerprint v1";

/// What describes the device now.
pub fn description(config: &Config, instance: InstanceUid) -> AgentDescription {
    let system = rustix::system::uname();
    let host = config.name.clone().unwrap_or_else(|| system.nodename().to_string_lossy().into_owned());
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| os_release(&release, name).unwrap_or_default();
    let texts = |texts: &mut dyn Iterator<Item = String>| {
        let values = texts.map(|text| AnyValue { value: Some(Value::String(text)) }).collect();
        Value::Array(ArrayValue { values })
    };
    AgentDescription {
        identifying_attributes: vec![
            KeyValue::new("service.name", "syncline-agent"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance.to_string()),
        ],
        non_identifying_attributes: vec![
            KeyValue::new("host.name", host),
            KeyValue::new("host.arch", std::env::consts::ARCH),
            KeyValue::new("host.ip", texts(&mut addresses().into_iter())),
            KeyValue::new("os.type", std::env::consts::OS),
            KeyValue::new("os.name", field("ID")),
            KeyValue::new("os.version", field("VERSION_ID")),
            KeyValue::new("os.description", field("PRETTY_NAME")),
            KeyValue::new("syncline.applications", texts(&mut config.applications.keys().cloned())),
            KeyValue::new("syncline.actions", texts(&mut config.actions.keys().cloned())),
        ],
    }
}

/// Who speaks, for this run.
pub fn hello(run: [u8; 16]) -> Hello {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot = uuid::Uuid::try_parse(boot.trim()).map(|id| id.into_bytes().to_vec()).unwrap_or_default();
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let machine = machine.trim();
    let fingerprint = if machine.is_empty() {
        Vec::new()
    } else {
        blake3::derive_key(FINGERPRINT, machine.as_bytes()).to_vec()
    };
    Hello { run_id: run.to_vec(), boot_id: boot, machine_fingerprint: fingerprint, clock_unix_ms: 0 }
}

fn os_release(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

/// The addresses by which others reach the device, sorted.
fn addresses() -> BTreeSet<String> {
    let four = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let six = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    four_of(&four).chain(six_of(&six)).collect()
}

/// An address of the device stands in a line of its own, followed by one that says so.
fn four_of(text: &str) -> impl Iterator<Item = String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let local = lines.windows(2).filter(|pair| pair[1].starts_with("/32 host LOCAL"));
    let found: Vec<String> = local
        .filter_map(|pair| pair[0].strip_prefix("|-- "))
        .filter(|address| !address.starts_with("127."))
        .map(str::to_owned)
        .collect();
    found.into_iter()
}

/// Address, number, prefix, scope, flags and name of each; the scope 00 is that of the whole world.
fn six_of(text: &str) -> impl Iterator<Item = String> {
    let global = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let bits = u128::from_str_radix(fields.first()?, 16).ok()?;
        (fields.get(3) == Some(&"00")).then(|| std::net::Ipv6Addr::from(bits).to_string())
    });
    global.collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_device() {
        let trie = [
            "     |-- 10.0.0.0",
            "        /32 link BROADCAST",
            "     |-- 10.0.0.5",
            "        /32 host LOCAL",
        ];
        let trie = [&trie[..], &["     |-- 127.0.0.1", "        /32 host LOCAL"]].concat().join("\n");
        assert_eq!(four_of(&trie).collect::<Vec<_>>(), ["10.0.0.5"]);
        let six = [
            "00000000000000000000000000000001 01 80 10 80 lo",
            "20010db8000000000000000000000001 02 40 00 80 eth0",
        ];
        let six = six.join("\n");
        assert_eq!(six_of(&six).collect::<Vec<_>>(), ["2001:db8::1"]);
    }

    #[test]
    fn the_description_has_what_the_server_shows() {
        let config = Config::parse("name = \"till 7\"\n[applications.till]\nfile = \"/a\"").unwrap();
        let description = description(&config, InstanceUid::new([1; 16]));
        assert_eq!(description.string("host.name"), Some("till 7"));
        assert!(description.string("os.type").is_some() && description.attribute("host.ip").is_some());
        assert_eq!(os_release("ID=debian\nVERSION_ID=\"13\"\n", "VERSION_ID").as_deref(), Some("13"));
    }
}
