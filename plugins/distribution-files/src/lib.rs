//! Keeps distribution servers filled with files of the library.
//!
//! [`settings`] is what an administrator says, [`plan`] decides from it which files stand where, without a call to the
//! host, and this file declares that.

mod plan;
mod settings;

use syncline_plugin::{Inventory, Prune, prelude::*};

use plan::Plan;
use settings::Settings;

struct DistributionFiles;

impl FileSync for DistributionFiles {
    type Settings = Settings;

    fn declare(settings: Settings, _request: Request) -> Result<Outcome> {
        let (bound, targets) = (sources(), targets());
        let plan = plan::decide(&settings, &bound, &targets)?;
        for name in &plan.left_alone {
            info!(server = name; "no rule concerns this server: nothing is declared for it");
        }
        declare(&plan)?;
        info!(trees = plan.trees.len(), servers = plan.filled.len(); "declared what the rules say");
        Ok(Outcome::done())
    }
}

fn declare(plan: &Plan) -> Result<()> {
    for tree in &plan.trees {
        Tree::of(tree.collection)
            .including(tree.include)
            .excluding(tree.exclude)
            .at(tree.folder)
            .stage(tree.stage)
            .declare(&tree.servers)?;
    }
    if let Some(manifest) = &plan.manifest {
        Inventory::of(manifest.folder).at(manifest.path).stage(manifest.stage).declare(&plan.filled)?;
    }
    for prune in &plan.prunes {
        let servers: Vec<&str> = prune.servers.iter().copied().collect();
        Prune::below(prune.folder).keeping(plan.keep).declare(&servers)?;
    }
    Ok(())
}

syncline_plugin::export!(DistributionFiles);
