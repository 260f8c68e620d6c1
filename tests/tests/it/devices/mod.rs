//! Devices: the real server, and agents as processes.

mod agent;
mod chromium;
mod foreign;
mod killed;
mod nodes;
mod plugin;
mod users;
