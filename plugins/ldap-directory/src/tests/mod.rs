//! Reading directories: one in memory that can misbehave, and real servers.

mod memory;
mod misbehaving;
mod reading;
mod recorder;
mod samba;
mod slapd;
mod wire;

use std::{cell::RefCell, rc::Rc};

use syncline_plugin::Result;

use crate::{Connection, Source, settings::Settings};
use memory::Memory;
use recorder::Recorder;

/// A directory, and what a host knows of it.
struct Lab {
    memory: Rc<RefCell<Memory>>,
    host: Recorder,
    settings: Settings,
    source: Source,
}

impl Lab {
    fn new(memory: Memory, settings: &str) -> Self {
        let settings = syncline_plugin::settings::parse(settings).unwrap();
        let source = Source { name: "hq".to_owned(), kind: String::new(), bases: Vec::new() };
        Self { memory: Rc::new(RefCell::new(memory)), host: Recorder::default(), settings, source }
    }

    fn run(&mut self) -> Result<()> {
        let memory = &self.memory;
        let mut connect = |_: &str| -> Result<Box<dyn Connection>> {
            Ok(Box::new(memory::Session::new(Rc::clone(memory))))
        };
        self.host.run(&self.settings, std::slice::from_ref(&self.source), &mut connect)
    }

    /// Runs, and compares what the host knows then, a line an entry.
    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        self.run().unwrap();
        assert_eq!(self.host.lines(), expected);
    }

    fn change(&self, change: impl FnOnce(&mut Memory)) {
        change(&mut self.memory.borrow_mut());
    }
}
