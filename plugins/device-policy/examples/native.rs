//! Times what the plugin does, compiled natively: `native SETTINGS REPETITIONS` prints microseconds a call. The counterpart of
//! the sandbox's example `resolve`, for `make bench`.

use std::{hint::black_box, time::Instant};

use device_policy::Merge;
use syncline_plugin::{
    policy::{Application, Device, DevicePolicy, Layer, Verdict},
    serde_json::{self, Map, Value},
    settings,
};

#[allow(clippy::print_stdout, reason = "a benchmark tells what it measured")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: native SETTINGS REPETITIONS");
    let (count, repetitions): (usize, u32) = (next()?.parse()?, next()?.parse()?);
    let layer = |from: usize, word: &str| {
        let members = (from..count).map(|n| (format!("setting-{n:03}"), Value::from(format!("{word}-{n}"))));
        Value::Object(members.collect::<Map<_, _>>()).to_string()
    };
    let texts = [layer(0, "group"), layer(count / 2, "device")];
    let decide = || -> Result<usize, Box<dyn std::error::Error>> {
        // As in the sandbox, settings and layers arrive as text.
        let settings = settings::parse(black_box("{}")).map_err(|failure| failure.message().to_owned())?;
        let layers = black_box(&texts)
            .iter()
            .map(|text| Ok(Layer { settings: serde_json::from_str(text)?, locks: Vec::new() }));
        let layers = layers.collect::<Result<Vec<_>, serde_json::Error>>()?;
        let application = Application { name: "editor".to_owned(), layers };
        let verdict = Merge::decide(&settings, &Device::default(), &application);
        match verdict.map_err(|failure| failure.message().to_owned())? {
            Verdict::Document(document) => Ok(document.body().len()),
            other => Err(format!("{other:?} is no document").into()),
        }
    };
    for _ in 0..repetitions / 10 {
        black_box(decide()?);
    }
    let begun = Instant::now();
    for _ in 0..repetitions {
        black_box(decide()?);
    }
    println!("{:.3}", begun.elapsed().as_secs_f64() * 1e6 / f64::from(repetitions));
    Ok(())
}
