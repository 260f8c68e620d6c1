//! The end-to-end tests: one binary, a module a feature, real servers as processes.

mod architecture;
mod copy;
mod guard;
mod hostile;
mod kill;
mod nodes;
mod operations;
mod plugins;
mod schedules;
mod stores;
mod stranger;
