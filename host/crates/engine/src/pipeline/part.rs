//! A part of what a sync declares: the files that come from one collection. What a File Status Report looks at, and what a
//! repair copies.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use syncline_domain::{
    Name, RelPath,
    declaration::{DeclaredFiles, FileDeclarations},
    operation::{Operation, OperationKind},
};
use syncline_files::TargetDiff;

/// The files of one collection.
pub(crate) struct Part {
    /// What declares them, and nothing else: nothing is removed by it.
    pub declarations: FileDeclarations,
    /// For each target the files that something else declares by their own path, which goes before what a tree says.
    elsewhere: BTreeMap<Name, HashSet<RelPath>>,
}

impl Part {
    /// What of the declarations comes from the source of this name.
    pub fn of(all: FileDeclarations, source: &Name) -> Self {
        let mut part = Self { declarations: FileDeclarations::default(), elsewhere: BTreeMap::new() };
        part.declarations.trees = all.trees.into_iter().filter(|tree| tree.source == *source).collect();
        for DeclaredFiles { targets, files, stage } in all.files {
            let (own, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.source == *source);
            for other in &others {
                part.declared_elsewhere(&targets, &other.path);
            }
            if !own.is_empty() {
                part.declarations.files.push(DeclaredFiles { targets, files: own, stage });
            }
        }
        for content in &all.contents {
            part.declared_elsewhere(&content.targets, &content.path);
        }
        for inventory in &all.inventories {
            part.declared_elsewhere(&inventory.targets, &inventory.path);
        }
        part
    }

    fn declared_elsewhere(&mut self, targets: &BTreeSet<Name>, path: &RelPath) {
        for target in targets {
            self.elsewhere.entry(target.clone()).or_default().insert(path.clone());
        }
    }

    /// The files of the part that are not on the target as declared: those that are missing, and those with another content.
    /// Times and modes that differ are no news.
    pub fn differing<'a>(&'a self, diff: &'a TargetDiff) -> impl Iterator<Item = Operation> + 'a {
        let elsewhere = self.elsewhere.get(diff.target());
        diff.operations().filter(move |one| {
            matches!(one.kind, OperationKind::Copy | OperationKind::Update)
                && !elsewhere.is_some_and(|paths| paths.contains(&one.path))
        })
    }

    /// Leaves of a difference what [`Part::differing`] finds, and of that what is among `found`.
    pub fn keep_differing(&self, diff: &mut TargetDiff, found: Option<&BTreeSet<RelPath>>) {
        let paths = self.differing(diff).map(|one| one.path);
        let wanted: HashSet<RelPath> =
            paths.filter(|path| found.is_none_or(|found| found.contains(path))).collect();
        diff.retain(|path| wanted.contains(path));
    }
}

#[cfg(test)]
mod tests {
    use syncline_domain::declaration::{DeclaredContent, DeclaredFile, DeclaredPrune, DeclaredTree};

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn path(text: &str) -> RelPath {
        RelPath::from_text(text).unwrap()
    }

    #[test]
    fn of_all_that_is_declared_the_files_of_one_collection_are_left() {
        let targets: BTreeSet<Name> = [name("site")].into();
        let tree = |source: &str| DeclaredTree {
            targets: targets.clone(),
            at: RelPath::root(),
            source: name(source),
            folder: RelPath::root(),
            including: vec![],
            excluding: vec![],
            stage: 0,
        };
        let file = |source: &str, at: &str| DeclaredFile {
            source: name(source),
            source_path: path("x"),
            path: path(at),
            digest: None,
        };
        let all = FileDeclarations {
            trees: vec![tree("patches"), tree("engines")],
            files: vec![DeclaredFiles {
                targets: targets.clone(),
                files: vec![file("patches", "a"), file("engines", "b")],
                stage: 3,
            }],
            contents: vec![DeclaredContent {
                targets: targets.clone(),
                path: path("c"),
                bytes: b"c".as_slice().into(),
                stage: 0,
            }],
            inventories: vec![],
            prunes: vec![DeclaredPrune { targets: targets.clone(), folder: RelPath::root(), keep: vec![] }],
        };
        let part = Part::of(all, &name("patches"));
        let expected = FileDeclarations {
            trees: vec![tree("patches")],
            files: vec![DeclaredFiles { targets, files: vec![file("patches", "a")], stage: 3 }],
            ..FileDeclarations::default()
        };
        assert_eq!(part.declarations, expected);
        assert_eq!(part.elsewhere[&name("site")], [path("b"), path("c")].into());
    }
}
