//! Behaviours that ask for what is not theirs.

use schemars::JsonSchema;
use serde::Deserialize;
use syncline_plugin::{Content, File, Inventory, Store, prelude::*};

/// Which call a path goes through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Through {
    /// Read it as a file of a source; fails if there is anything to read.
    #[default]
    Read,
    /// Ask for its size; fails as `read`.
    Info,
    /// List it as a folder of a source; fails as `read`.
    Files,
    /// Declare it as a folder of a source.
    TreeFolder,
    /// Declare a tree to stand at it.
    TreeAt,
    /// Declare it as a file of a source.
    FileSource,
    /// Declare a file to stand at it.
    FileAt,
    /// Declare a content to stand at it.
    Content,
    /// Declare an inventory to stand at it.
    Inventory,
    /// Prune below it.
    Prune,
}

pub(crate) fn store_not_granted() -> Result<()> {
    let store = Store::open("not-bound")?;
    stolen(&store.files("")?.count())
}

pub(crate) fn go(path: &str, through: Through) -> Result<()> {
    let targets = targets();
    let source = sources().into_iter().next();
    let source = source
        .ok_or_else(|| Failure::settings("bind a source to the sync: there is nothing to go out of"))?;
    match through {
        Through::Read => stolen(&source.open()?.read_at(path, 0, 4_096)?.len()),
        Through::Info => stolen(&source.open()?.info(path)?),
        Through::Files => stolen(&source.open()?.files(path)?.collect::<Result<Vec<_>>>()?),
        Through::TreeFolder => Tree::of(&source).folder(path).declare(&targets),
        Through::TreeAt => Tree::of(&source).at(path).declare(&targets),
        Through::FileSource => File::of(&source, path).at("stolen").declare(&targets),
        Through::FileAt => File::of(&source, "a").at(path).declare(&targets),
        Through::Content => Content::of("planted\n")?.declare(path, 0, &targets),
        Through::Inventory => Inventory::of("").at(path).declare(&targets),
        Through::Prune => Prune::below(path).declare(&targets),
    }
}

/// The host let something out: a failure that no test expects.
fn stolen(what: &dyn std::fmt::Debug) -> Result<()> {
    Err(Failure::bug(format!("the host gave away {what:?}")).with_code("stolen"))
}
