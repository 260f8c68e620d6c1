//! Which targets of a run can be filled now: opened side by side, so that one that is away does not keep the others waiting.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use syncline_domain::{
    Failure, Name,
    place::StoreRecord,
    run::{RunMode, TargetResult, Waits},
    server::{DistributionServer, Opening},
};
use syncline_files::Target;

use super::{JobTarget, lanes::Apart};
use crate::{Engine, Result, servers::waits};

/// Stores that are looked at at once.
const LOOKS_AT_A_TIME: usize = 64;

/// Whether a target can be filled.
pub(crate) enum Reach {
    /// It can.
    Open(Target),
    /// It cannot be used now.
    Gone(Failure),
    /// It is not its time.
    Later(Waits),
    /// This run is not for it: plugins are told of it all the same, since rules may name it.
    LeftOut,
}

impl JobTarget {
    /// What becomes of a target that is not filled; `None` if it is, or if the run is not for it.
    pub(super) fn missing(&self) -> Option<TargetResult> {
        match &self.reach {
            Reach::Open(_) | Reach::LeftOut => None,
            Reach::Gone(failure) => {
                Some(TargetResult::new(self.name.clone(), Default::default(), Some(failure.clone())))
            }
            Reach::Later(waits) => Some(TargetResult::waiting(self.name.clone(), waits.clone())),
        }
    }
}

/// Opens the targets of a run that is for `only` some of them, or all.
pub(super) async fn open(
    engine: &Engine,
    records: Vec<StoreRecord>,
    only: Option<&[Name]>,
    mode: RunMode,
) -> Result<Vec<JobTarget>> {
    let now = engine.clock().now();
    let servers = engine.db().servers().await?;
    let servers: BTreeMap<&Name, &DistributionServer> =
        servers.iter().map(|server| (&server.store, server)).collect();
    let looks = records.into_iter().map(|record| {
        let server = servers.get(&record.name).copied();
        let is_for = only.is_none_or(|only| only.contains(&record.name));
        async move {
            let apart = apart(&record, server, now);
            // A preview writes nothing: it is told what there is to do, at any time.
            let later = server.filter(|_| mode == RunMode::Apply).and_then(|server| waits(server, now));
            let reach = match later {
                _ if !is_for => Reach::LeftOut,
                Some(waits) => Reach::Later(waits),
                None => match engine.open_in_time(&record).await {
                    Ok(store) => Reach::Open(Target { name: record.name.clone(), store }),
                    Err(error) => Reach::Gone(error.into_failure()),
                },
            };
            let mut labels = record.labels;
            labels.entry("store".to_owned()).or_insert_with(|| record.name.to_string());
            JobTarget { name: record.name, labels, reach, apart }
        }
    });
    Ok(stream::iter(looks).buffered(LOOKS_AT_A_TIME).collect().await)
}

fn apart(record: &StoreRecord, server: Option<&DistributionServer>, now: Timestamp) -> Apart {
    let window = server.and_then(|server| server.spec.window.as_ref());
    let closes = window.and_then(|window| match window.at(now) {
        Ok(Opening::OpenUntil(closes)) => Some(closes),
        _ => None,
    });
    Apart {
        site: server.and_then(|server| server.spec.site.clone()),
        slow: record.bytes_per_second.is_some(),
        closes,
    }
}
