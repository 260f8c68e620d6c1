//! A guest that misbehaves as its settings say when it is asked about a device: `{"do": "endless-loop"}`.
//!
//! [`Do`] lists all it can do. Each behaviour that the host should refuse ends in answers if the host does not: a test that
//! expects a failure then sees them.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Instant, SystemTime},
};

use schemars::JsonSchema;
use serde::Deserialize;
use syncline_plugin::{
    FailureKind, Fault,
    policy::{Origin, Provenance, Setting},
    prelude::*,
};

/// What to do, and how much of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The behaviour.
    #[serde(rename = "do")]
    behaviour: Do,
    /// For `giant-document`: bytes.
    #[serde(default)]
    amount: Option<u32>,
}

/// All that this guest can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Do {
    /// The strongest layer of each application as its document: what a good plugin could do.
    Good,
    /// Return a failure for all.
    Fail,
    /// A failure for the first application, documents for the others.
    FailFirst,

    /// Count for ever.
    EndlessLoop,
    /// Write log lines for ever.
    EndlessCalls,
    /// Ask for memory for ever.
    MemoryBomb,
    /// End by a panic.
    Trap,

    /// No answer at all.
    NoAnswers,
    /// All answers but the last.
    MissingAnswer,
    /// One answer too many.
    ExtraAnswer,
    /// All answers, the last one first.
    WrongOrder,
    /// An answer for what is not there, in place of the first.
    UnknownApplication,
    /// Documents of `amount` bytes, or of one byte too many.
    GiantDocument,
    /// A media type with a line end in it.
    BadContentType,
    /// Say where values come from, asked or not.
    UnaskedProvenance,
    /// Say it of a layer that there is not.
    ForgedLayer,
    /// Say it of a fact that was not given.
    ForgedFact,

    /// How often this instance was asked, kept in a static variable.
    Counter,
    /// What the language calls random.
    Random,
    /// The time of day.
    Clock,
    /// Time that passes.
    Elapsed,
}

struct Hostile;

static ASKED: AtomicU32 = AtomicU32::new(0);

impl DevicePolicy for Hostile {
    type Settings = Settings;

    fn resolve(settings: &Settings, device: &Device, applications: &[Application]) -> Result<Vec<Answer>> {
        let mut answers = good(applications)?;
        match settings.behaviour {
            Do::Good => {}
            Do::Fail => return Err(failure()),
            Do::FailFirst => set(&mut answers, Verdict::Failed(failure())),
            Do::EndlessLoop => endless_loop(),
            Do::EndlessCalls => loop {
                info!("and again");
            },
            Do::MemoryBomb => memory_bomb(),
            Do::Trap => panic!("trapped as the settings asked for"),
            Do::NoAnswers => answers.clear(),
            Do::MissingAnswer => drop(answers.pop()),
            Do::ExtraAnswer => answers.extend(good(applications)?.pop()),
            Do::WrongOrder => answers.reverse(),
            Do::UnknownApplication => {
                if let Some(first) = answers.first_mut() {
                    first.application = "not\nasked".to_owned();
                }
            }
            Do::GiantDocument => {
                let bytes = settings.amount.unwrap_or((1 << 20) + 1) as usize;
                for answer in &mut answers {
                    answer.verdict = Document::new("text/plain", vec![b'x'; bytes]).into();
                }
            }
            Do::BadContentType => {
                set(&mut answers, Document::new("text/plain\r\nx: y", *b"").into());
            }
            Do::UnaskedProvenance => set(&mut answers, explained(Origin::Plugin("because".to_owned()))),
            Do::ForgedLayer => {
                let forged = Setting { layer: 4_711, pointer: String::new() };
                set(&mut answers, explained(Origin::Setting(forged)));
            }
            Do::ForgedFact => set(&mut answers, explained(Origin::Fact("host.name".to_owned()))),
            Do::Counter => {
                let asked = ASKED.fetch_add(1, Relaxed) + 1;
                set(&mut answers, Document::of(&asked)?.into());
            }
            Do::Random => {
                set(&mut answers, Document::of(&RandomState::new().build_hasher().finish())?.into())
            }
            Do::Clock => set(&mut answers, Document::of(&time_of_day())?.into()),
            Do::Elapsed => set(&mut answers, Document::of(&format!("{:?}", Instant::now()))?.into()),
        }
        black_box(device);
        Ok(answers)
    }
}

fn good(applications: &[Application]) -> Result<Vec<Answer>> {
    let answer = |application: &Application| {
        let verdict = match application.layers.last() {
            Some(layer) => Document::of(&layer.settings)?.into(),
            None => Verdict::Withdrawn,
        };
        Ok(Answer { application: application.name.clone(), verdict })
    };
    applications.iter().map(answer).collect()
}

fn set(answers: &mut [Answer], verdict: Verdict) {
    if let Some(first) = answers.first_mut() {
        first.verdict = verdict;
    }
}

fn explained(origin: Origin) -> Verdict {
    let entry = Provenance { pointer: String::new(), origin, overruled: Vec::new() };
    Document::new("text/plain", *b"x").explained([entry]).into()
}

#[expect(clippy::disallowed_methods, reason = "shows that there is no clock to be read")]
fn time_of_day() -> String {
    format!("{:?}", SystemTime::now())
}

fn endless_loop() {
    let mut number = 0_u64;
    while black_box(number) != u64::MAX {
        number += 1;
    }
}

fn memory_bomb() {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

fn failure() -> Failure {
    Failure::new(FailureKind::Invalid, Fault::Settings, "failed as the settings asked for")
        .with_code("asked-for")
}

syncline_plugin::export!(device-policy: Hostile);
