//! What is to be removed from a target: undeclared things in pruned folders. Links are removed as links, mounted file
//! systems are never entered, and folders that are stores of their own are passed over.

use syncline_domain::{Failure, FailureKind, Fault, RelPath};

use super::walk::Part;
use crate::{
    context::Context,
    errors,
    intent::View,
    store::{Dir, EntryKind, Meta, Names, Target},
};

pub(crate) struct Pruner<'a> {
    pub(crate) target: &'a Target,
    pub(crate) view: &'a View,
    pub(crate) context: &'a Context<'a>,
}

/// A folder that is being looked through.
struct Frame {
    path: RelPath,
    meta: Meta,
    rest: Vec<Vec<u8>>,
    /// Something in it stays.
    stays: bool,
}

impl Pruner<'_> {
    /// Everything in a folder in which nothing is declared. The folder itself stays.
    pub(crate) fn content(&self, path: &RelPath, part: &mut Part) -> Result<(), Failure> {
        let dir = match self.target.store.named_dir(path) {
            Ok(dir) => dir,
            Err(failure) if errors::is_nested(&failure) => {
                self.pass_over_store(path);
                return Ok(());
            }
            Err(failure) if errors::is_missing(&failure) => return self.target.store.check(),
            // A link or file: nothing is below it that could be removed.
            Err(failure) if failure.code == "not-a-folder" => {
                self.context.observer.passed_over(self.target.store.name(), path, "no folder to prune");
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let device = dir.meta()?.device;
        let mut names = Names::default();
        dir.names(&mut names)?;
        for (name, _) in names.iter() {
            self.undeclared(dir.as_ref(), name, device, part)?;
        }
        Ok(())
    }

    /// An undeclared thing in a pruned folder: it goes, with all below it, as far as nothing is to be kept.
    pub(crate) fn undeclared(
        &self,
        dir: &dyn Dir,
        name: &[u8],
        device: u64,
        part: &mut Part,
    ) -> Result<(), Failure> {
        let path = dir.path().join_name(name);
        if !self.view.may_remove(&path) {
            return Ok(());
        }
        let Some(meta) = dir.stat(name)? else { return Ok(()) };
        self.tree(path, &meta, device, part).map(drop)
    }

    /// A folder that stands where a file of `stage` should: whether all of it can go before that.
    pub(crate) fn clear(
        &self,
        path: &RelPath,
        meta: &Meta,
        stage: u8,
        part: &mut Part,
    ) -> Result<bool, Failure> {
        let mut names = Names::default();
        self.target.store.dir(path)?.names(&mut names)?;
        let mut own = Part::default();
        if names.is_empty() {
            own.removal(path.clone(), meta, None);
        } else if !self.view.may_remove(path) || !self.tree(path.clone(), meta, meta.device, &mut own)? {
            return Ok(false);
        }
        part.removals.extend(own.removals.into_iter().map(|mut removal| {
            removal.before = Some(stage);
            removal
        }));
        Ok(true)
    }

    /// Plans the removal of what stands at `path`. Whether all of it goes.
    fn tree(&self, path: RelPath, meta: &Meta, device: u64, part: &mut Part) -> Result<bool, Failure> {
        if meta.kind != EntryKind::Folder {
            part.removable(1);
            part.removal(path, meta, None);
            return Ok(true);
        }
        if meta.device != device {
            part.removal(path.clone(), meta, Some(self.mounted(&path)));
            return Ok(false);
        }
        let Some(first) = self.frame(path, *meta)? else { return Ok(false) };
        let mut stack = vec![first];
        let mut all = true;
        while let Some(frame) = stack.last_mut() {
            self.context.observer.keep_going()?;
            let Some(name) = frame.rest.pop() else {
                let Some(done) = stack.pop() else { break };
                all = !done.stays;
                if !done.stays {
                    part.removal(done.path, &done.meta, None);
                } else if let Some(above) = stack.last_mut() {
                    above.stays = true;
                }
                continue;
            };
            if let Some(below) = self.step(frame, &name, part)? {
                stack.push(below);
            }
        }
        Ok(all)
    }

    /// One entry of a folder that is being looked through; a frame if it is a folder to go on with.
    fn step(&self, frame: &mut Frame, name: &[u8], part: &mut Part) -> Result<Option<Frame>, Failure> {
        let path = frame.path.join_name(name);
        if !self.view.may_remove(&path) {
            frame.stays = true;
            return Ok(None);
        }
        let Some(meta) = self.target.store.dir(&frame.path)?.stat(name)? else { return Ok(None) };
        if meta.kind == EntryKind::Folder && meta.device == frame.meta.device {
            let below = self.frame(path, meta)?;
            frame.stays |= below.is_none();
            return Ok(below);
        }
        if meta.kind == EntryKind::Folder {
            frame.stays = true;
            part.removal(path.clone(), &meta, Some(self.mounted(&path)));
            return Ok(None);
        }
        part.removable(1);
        part.removal(path, &meta, None);
        Ok(None)
    }

    /// `None` for a store of its own, which stays with all it holds.
    fn frame(&self, path: RelPath, meta: Meta) -> Result<Option<Frame>, Failure> {
        let mut names = Names::default();
        self.target.store.dir(&path)?.names(&mut names)?;
        if names.of_a_store() {
            self.pass_over_store(&path);
            return Ok(None);
        }
        self.context.observer.scanned(names.len() as u64);
        let rest = names.iter().map(|(name, _)| name.to_vec()).collect();
        Ok(Some(Frame { path, meta, rest, stays: false }))
    }

    fn pass_over_store(&self, path: &RelPath) {
        self.context.observer.passed_over(self.target.store.name(), path, errors::NESTED);
    }

    fn mounted(&self, path: &RelPath) -> Failure {
        let message = format!(
            "store {}: {} is not removed: another file system is mounted there; unmount it, or keep it in the declaration",
            self.target.store.name(),
            errors::place(path)
        );
        Failure::new(FailureKind::Denied, Fault::Settings, "mount-point", message)
    }
}
