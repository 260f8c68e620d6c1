//! The real agent against a small server, with faults on both sides and between them.

mod apply;
mod connect;
mod device;
mod kill;
mod server;
mod talk;
