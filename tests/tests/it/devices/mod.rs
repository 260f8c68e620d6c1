//! Devices: the real server, and agents as processes.

mod foreign;
