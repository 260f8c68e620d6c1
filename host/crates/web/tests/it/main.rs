//! The client against small real servers on this machine.

mod download;
mod refused;
mod server;
mod trust;
