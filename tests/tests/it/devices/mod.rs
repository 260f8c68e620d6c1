//! Devices: the real server, and agents as processes.

mod agent;
mod foreign;
mod killed;
